"""``amiss results``: ask the record of a station: list, show, export, verify, replay, prune, rebuild, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.common_options import output_option
from amiss.cli.console import hold_file, say, say_json
from amiss.cli.exit_codes import ExitCode
from amiss.cli.results_lines import part_line, part_lines
from amiss.core.extras import needs_extra

if TYPE_CHECKING:
    from amiss.ledger.reader import Filter, Reader
    from amiss.ledger.store import Store

results = typer.Typer(name="results", help="Query the record that amiss watch keeps.", no_args_is_help=True)

StoreFolder = Annotated[Path, typer.Argument(help="Folder given to amiss watch --store.")]
Label = Annotated[str | None, typer.Option(help="good, review, anomalous or error.")]
Lot = Annotated[str | None, typer.Option(help="Parts of this lot.")]
Recipe = Annotated[str | None, typer.Option(help="Parts judged by this recipe.")]
Serial = Annotated[str | None, typer.Option(help="Parts with this serial number.")]
Since = Annotated[str | None, typer.Option(help="From this time on, such as 2026-01-31T22:00; local unless it says.")]
Until = Annotated[str | None, typer.Option(help="Before this time.")]
Database = Annotated[str | None, typer.Option(help="PostgreSQL with user and password, where the store needs it.")]
StationName = Annotated[str | None, typer.Option("--station", help="Another station of the same database.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@results.command("list")
def list_parts(
    store: StoreFolder,
    label: Label = None,
    lot: Lot = None,
    recipe: Recipe = None,
    serial: Serial = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many parts, newest first.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, help="Continue after this event, the last one listed.")] = None,
    database: Database = None,
    station: StationName = None,
    json: Json = False,
) -> None:
    """Parts and their verdicts, the newest first."""
    only = _filter(label, lot, recipe, serial, since, until)
    with _reading(store, database, station) as reader:
        left = limit
        while left and (page := reader.parts(only, before=before, limit=min(left, 1000))):
            for part in page:
                say_json(part) if json else say(part_line(part))
            left, before = left - len(page), page[-1]["seq"]
        if not json and before is not None and not left:
            say(f"More: --before {before}")


@results.command()
def show(
    store: StoreFolder,
    part: Annotated[str, typer.Argument(help="Its id, its serial number, or the number of its event (#12).")],
    database: Database = None,
    station: StationName = None,
    json: Json = False,
) -> None:
    """One part, with all that is known of it."""
    with _reading(store, database, station) as reader:
        found = reader.part(part)
        path = reader.store.image(found["sha256"])
        kept = found["image"] is not None and found["image"]["state"] == "kept"
        if json:
            say_json({**found, "path": str(path) if kept else None})
        else:
            say(*part_lines(found, str(path) if kept else None))


@results.command()
def export(
    context: typer.Context,
    store: StoreFolder,
    output: Annotated[
        Path, typer.Argument(help="File to write: .csv, .jsonl or .parquet of parts, or .chain of all events.")
    ],
    label: Label = None,
    lot: Lot = None,
    recipe: Recipe = None,
    serial: Serial = None,
    since: Since = None,
    until: Until = None,
    database: Database = None,
    station: StationName = None,
    json: Json = False,
) -> None:
    """Write parts as a table, or the chain as lines that sha256sum checks (docs/how-to/check-chain.sh)."""
    only = _filter(label, lot, recipe, serial, since, until)
    hold_file(context, output)
    with _reading(store, database, station) as reader:
        from amiss.ledger.export import export as write

        count = write(reader, output, only)
        seq, head = reader.head()
    if json:
        say_json({"file": str(output), "rows": count, "seq": seq, "head": head})
    else:
        say(f"{output}: {count} {'events' if output.suffix == '.chain' else 'parts'}; head {head} (event {seq})")


@results.command()
def verify(
    store: StoreFolder,
    head: Annotated[
        list[str] | None, typer.Option(help="Hash of an event that was kept elsewhere: it must be in the chain.")
    ] = None,
    witness: Annotated[
        Path | None, typer.Option(help="Folder of result files: the hash of each must be in the chain.")
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="Read every image that is kept, and compare it.")] = False,
    database: Database = None,
    station: StationName = None,
    json: Json = False,
) -> None:
    """Check that the record is what was written. Exits with 1 when it is not."""
    with _reading(store, database, station) as reader:
        from amiss.connect.result_files import witnessed
        from amiss.ledger.verify import verify as check

        heads = dict.fromkeys(head or [], "--head")
        if witness is not None:
            heads |= dict(witnessed(witness))
        found = check(reader, heads=heads, read_images=images)
    if json:
        say_json(found.summary())
    else:
        say(*found.shown)
        if found.faults > len(found.shown):
            say(f"and {found.faults - len(found.shown)} more")
        state = "sound" if not found.faults else f"NOT SOUND, {found.faults} faults"
        read = "read and compared" if found.read else "there"
        say(f"{found.events} events, tables and {found.images} images ({read}): {state}. Head {found.head}")
        if not heads:
            say("Whether the end was cut off shows only against a hash kept elsewhere: --head or --witness.")
    if found.faults:
        raise typer.Exit(ExitCode.FAILED)


@results.command()
def replay(
    store: StoreFolder,
    parts: Annotated[
        list[str] | None, typer.Argument(help="Ids, serial numbers or numbers of events; else by the filters.")
    ] = None,
    label: Label = None,
    lot: Lot = None,
    recipe: Recipe = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many parts, newest first.")] = 20,
    database: Database = None,
    station: StationName = None,
    json: Json = False,
) -> None:
    """Score stored images with the stored models again. Exits with 1 when one differs, with 3 when one is missing."""
    only = _filter(label, lot, recipe, None, since, until)
    counts: Counter[str] = Counter()
    with _reading(store, database, station) as reader:
        from amiss.station.replay import DIFFERENT, MISSING, Replay

        chosen = [reader.part(one) for one in parts] if parts else reader.parts(only, limit=limit)
        for one in Replay(reader.store).run(chosen):
            counts[one.outcome] += 1
            if json:
                say_json(one.summary())
            else:
                say(f"{one.outcome:<20} {one.part['seq']:>7}  {one.part['name']}{f': {one.why}' if one.why else ''}")
    if not json:
        say(f"{len(chosen)} parts: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    if counts[DIFFERENT]:
        raise typer.Exit(ExitCode.FAILED)
    if counts[MISSING]:
        raise typer.Exit(ExitCode.UNUSABLE)


@results.command()
def prune(
    store: StoreFolder,
    quota: Annotated[str, typer.Option(help="Bytes of images that are kept at most.")] = "20G",
    database: Database = None,
    json: Json = False,
) -> None:
    """Remove images whose time is over, or that are too many. amiss watch does so itself; not while it runs."""
    with _reading(store, database, None, writing=True) as (reader, writer):
        from amiss.ledger.images import Keeping
        from amiss.ledger.prune import prune as remove

        removed = remove(writer, reader, Keeping.of(quota=quota))
        kept = reader.kept()
    if json:
        say_json({"removed": removed, "kept": kept})
        return
    for why, count in removed.items():
        say(f"removed by {why}: {count['images']} images, {count['bytes']:,} bytes")
    for kind, count in sorted(kept.items()):
        say(f"kept {kind}: {count['images']} images, {count['bytes']:,} bytes")


@results.command()
def rebuild(store: StoreFolder, database: Database = None, json: Json = False) -> None:
    """Make all tables anew from the events, and bring a store of an older Amiss up to date. Not while it is written."""
    with _reading(store, database, None, writing=True) as (_, writer):
        from amiss.ledger.verify import rebuild as make

        events = make(writer)
    say_json({"events": events}) if json else say(f"Tables made anew from {events} events.")


@results.command()
def report(
    context: typer.Context,
    store: StoreFolder,
    output: Annotated[Path, output_option("Page to write.")] = Path("shift.html"),
    label: Label = None,
    lot: Lot = None,
    recipe: Recipe = None,
    since: Since = None,
    until: Until = None,
    worst: Annotated[int, typer.Option(min=0, max=200, help="Parts on the photo wall.")] = 24,
    database: Database = None,
    station: StationName = None,
    json: Json = False,
) -> None:
    """One HTML page for a shift: counts, lots, scores, where on the part, the worst, and what to set aside."""
    only = _filter(label, lot, recipe, None, since, until)
    hold_file(context, output)
    with _reading(store, database, station) as reader:
        from amiss.reporting.shift_page import write_shift
        from amiss.station.shift import collect_shift

        shift = collect_shift(reader, only, photos=worst)
    write_shift(output, shift)
    if json:
        say_json({"file": str(output), "counts": shift.counts, "rate": shift.rate.summary()})
    else:
        say(f"{shift.rate} anomalous; written to {output}")


def _filter(
    label: str | None, lot: str | None, recipe: str | None, serial: str | None, since: str | None, until: str | None
) -> Filter:
    with needs_extra("amiss results", "station"):
        from amiss.ledger.events import read_time
        from amiss.ledger.reader import Filter

    begin, end = (None if text is None else read_time(text) for text in (since, until))
    return Filter(label=label, lot=lot, recipe=recipe, serial=serial, since=begin, until=end)


@contextmanager
def _reading(folder: Path, url: str | None, station: str | None, *, writing: bool = False) -> Iterator[Any]:
    """A reader of a store; with its writer, where something is to be changed."""
    with needs_extra("amiss results", "station"):
        from amiss.ledger.reader import Reader
        from amiss.ledger.store import Store
        from amiss.ledger.writer import Writer

    store: Store = Store.open(folder, url)
    if not writing:
        with store.reading() as engine:
            yield _known(Reader(engine, store, station))
        return
    with Writer(store) as writer, store.reading() as engine:
        yield Reader(engine, store), writer


def _known(reader: Reader) -> Reader:
    from amiss.core.errors import InputError

    stations = reader.stations()
    if stations and reader.station not in stations:
        raise InputError(f"station must be one of {', '.join(stations)}, got {reader.station!r}")
    return reader
