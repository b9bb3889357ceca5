"""``amiss score``: scores of very many images, by blocks, on the cores of one machine or on many machines."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.backend_option import Backend, backend_line
from amiss.cli.common_options import Json, output_option
from amiss.cli.console import progress_display, say, say_json, unusable_lines
from amiss.cli.exit_codes import ExitCode
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.errors import InputError
from amiss.core.listing import describe_ignored

if TYPE_CHECKING:
    from amiss.shards.merge import Merged
    from amiss.shards.run import Scored


def score(
    model: Annotated[Path | None, typer.Argument(help="Artefact written by `amiss fit`.")] = None,
    images: Annotated[Path | None, typer.Argument(help="Folder, or table with a column path.")] = None,
    output: Annotated[
        Path | None,
        output_option("Folder for scores.parquet and its parts; what is there already is not done again."),
    ] = None,
    on: Annotated[str, typer.Option(help="Who works: local (processes of this machine) or ray (a cluster).")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many work at once. Default: all cores, of the machine or cluster.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="Do one of n equal shares, such as 0/3; for job arrays. Merge afterwards.")
    ] = None,
    merge: Annotated[Path | None, typer.Option(help="Only merge the parts in this folder into scores.parquet.")] = None,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Take scores of several kinds of processors when their golden images agree."),
    ] = False,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Score a million images by blocks of 1,000: the same bytes from one worker, many, or a job array.

    The same command goes on after an interruption. Exits with 3 when an image could not be used, with 1 when a block
    failed three times.
    """
    if merge is not None:
        if any(given is not None for given in (model, images, output, shard)):
            raise InputError("--merge must be alone, got a model, images, --output or --shard as well")
        _merge(merge, mixed, {}, [], json=json)
        return
    if model is None or images is None or output is None:
        raise InputError("MODEL, IMAGES and --output must be given, or --merge")
    from amiss.front import load
    from amiss.shards.blocks import Shard
    from amiss.shards.manifest import Manifest
    from amiss.shards.run import Options, check_output
    from amiss.shards.run import score as run
    from amiss.shards.score import ScoreTask, chosen_backend

    options = Options(on, workers, Shard() if shard is None else Shard.parse(shard), mixed)
    check_output(output)
    manifest = Manifest(images)
    inspector = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    places = {"model": model, "trusted_key": trusted_key, "accepted": accepted, "root": manifest.root, "output": output}
    known = {name: "" if place is None else str(place.absolute()) for name, place in places.items()}
    with progress_display() as progress:
        scored = run(
            inspector,
            lambda head: ScoreTask(backend=chosen_backend(inspector, backend), run=head, **known),
            manifest,
            output,
            options,
            progress=progress,
        )
    lines = [inspector.statement(), *backend_line(inspector, backend), describe_ignored(manifest.ignored)]
    facts = {"ignored": [one.summary() for one in manifest.ignored], "statement": inspector.statement()}
    if scored.failed or shard is not None:
        _report(scored, output, facts, [line for line in lines if line], shard, json=json)
    else:
        _merge(output, mixed, facts | {"done_before": scored.before}, [line for line in lines if line], json=json)


def _merge(output: Path, mixed: bool, facts: dict[str, Any], lines: list[str], *, json: bool) -> None:
    from amiss.shards.merge import merge

    merged = merge(output, mixed=mixed)
    if json:
        say_json({**_plain(merged), **facts})
    else:
        counts = ", ".join(f"{count} {label}" for label, count in merged.labels.items())
        say(f"{merged.images} images: {counts}", *lines, *merged.notes)
        errors = merged.labels.get("error", 0)
        say(*unusable_lines(merged.unusable)[:21], *(["The rows labelled error have the reasons."] if errors else []))
        say(f"Written to {merged.path}")
    if merged.labels.get("error"):
        raise typer.Exit(ExitCode.UNUSABLE)


def _plain(merged: Merged) -> dict[str, Any]:
    return {
        **{name: value for name, value in asdict(merged).items() if name not in ("path", "unusable")},
        "output": str(merged.path),
        "unusable": [{"name": name, "reason": reason} for name, reason in merged.unusable],
    }


def _report(
    scored: Scored, output: Path, facts: dict[str, Any], lines: list[str], shard: str | None, *, json: bool
) -> None:
    """What is said where there is nothing to merge yet."""
    from amiss.shards.run import summary

    if json:
        say_json({**summary(scored), "shard": shard, "output": str(output), **facts})
    else:
        done = scored.blocks - len(scored.failed)
        which = "" if shard is None else f" of shard {shard}"
        say(
            f"{done} of {scored.blocks} blocks{which} are done ({scored.before} were before; {scored.images} images).",
            *(f"Block {number} failed three times: {why}" for number, why in scored.failed.items()),
            *lines,
        )
        say(
            "The same command tries the blocks that failed again."
            if scored.failed
            else f"When all shards are done: amiss score --merge {output}"
        )
    if scored.failed:
        raise typer.Exit(ExitCode.FAILED)
    if scored.errors:
        raise typer.Exit(ExitCode.UNUSABLE)
