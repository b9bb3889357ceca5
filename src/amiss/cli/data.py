"""``amiss data``: what a data set holds, and whether every file of it can be used."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from amiss.cli.common_options import Json, output_option
from amiss.cli.console import hold_folder, progress_display, say, say_json
from amiss.cli.exit_codes import ExitCode
from amiss.cli.pages_option import Pages
from amiss.cli.suspect_lines import SUSPECT_METHOD, list_suspects
from amiss.core.errors import InputError
from amiss.core.listing import describe_ignored

SHOWN = 10
"""Errors that are listed for a person; JSON has all of them."""


Source = Annotated[
    str, typer.Argument(help="A folder, a manifest, KIND:PATH, PATH#CATEGORY, or elpv:mono; see docs/datasets.md.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Decode every image and mask, and look for leaks between training and test.")
]
Suspects = Annotated[
    bool,
    typer.Option(
        "--suspects",
        help="List the normal images that look strange to patchcore, each scored by a fold that has not seen it.",
    ),
]
Output = Annotated[Path | None, output_option("With --suspects: folder for suspects.html and suspects.json.")]
Seed = Annotated[int, typer.Option(help="Random seed of the split, for data sets without one.", min=0)]


def data(
    context: typer.Context,
    source: Source,
    check: Check = False,
    suspects: Suspects = False,
    output: Output = None,
    pages: Pages = "one",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Describe a data set. With --check, exits with 3 when a file is unusable or test figures would be misleading."""
    from amiss.core.pages import check_pages
    from amiss.data.check import account_for, check_dataset, describe, sample_sizes
    from amiss.data.open import open_dataset, read_address

    hold_folder(context, output)
    if output is not None and not suspects:
        raise InputError("--output must come with --suspects, got it alone")
    dataset = open_dataset(source, seed=seed)
    address = read_address(source)
    root = address.path / (address.category or "")
    root = root if root.is_dir() else address.path
    account = account_for(dataset, root) if address.kind != "elpv" and root.is_dir() else None
    dataset = dataset if check_pages(pages) == "one" else dataset.each_page()
    report: dict[str, Any] = {"kind": address.kind, **describe(dataset), "checked": check}
    report["files"] = None if account is None else account.summary()
    if check:
        with progress_display() as progress:
            found = check_dataset(dataset, progress=progress)
        report |= {"sizes": _sizes(found.sizes), "errors": list(found.errors)}
        report["notes"] += found.notes
    else:
        report["sizes"] = _sizes(sample_sizes(dataset))
    lines: list[str] = []
    if suspects:
        report["suspects"], lines = list_suspects(dataset, SUSPECT_METHOD, seed, output)
    if json:
        say_json(report)
    else:
        say(*_lines(report, "" if account is None else describe_ignored(account.ignored)), *lines)
    if report.get("errors"):
        raise typer.Exit(ExitCode.UNUSABLE)


def _sizes(sizes: Counter[tuple[int, int]]) -> list[dict[str, int]]:
    """Height, width and number of images, most common first."""
    return [{"height": height, "width": width, "images": count} for (height, width), count in sizes.most_common()]


def _lines(report: dict[str, Any], ignored: str) -> list[str]:
    tested = ", ".join(f"{count} {defect}" for defect, count in report["test"].items()) or "none"
    lines = [
        f"{report['name']} (read as {report['kind']})",
        f"normal:  {report['normal']} images{_origins(report['normal_origins'])}",
        f"test:    {tested}{_origins(report['test_origins'])}",
        f"masks:   {_masks(report)}",
        f"sizes:   {_size_line(report)}",
        f"licence: {report['licence'] or 'not known'}",
        *_file_lines(report["files"], ignored),
        *(f"note:    {note}" for note in report["notes"]),
    ]
    if not report["checked"]:
        return [*lines, "Files were not checked; --check decodes every one."]
    errors = report["errors"]
    lines += [f"error:   {error}" for error in errors[:SHOWN]]
    if len(errors) > SHOWN:
        lines.append(f"error:   {len(errors) - SHOWN} more; --json lists all of them")
    images = report["normal"] + sum(report["test"].values())
    return [
        *lines,
        f"{len(errors)} errors in {images} images." if errors else f"All {images} images are usable.",
    ]


def _file_lines(files: dict[str, Any] | None, ignored: str) -> list[str]:
    """Every file: found = used + masks + unused + ignored."""
    if files is None:
        return []
    unused = files["unused"]
    shown = f"{len(unused)} unused images (such as {unused[0]})" if unused else "no unused image"
    total = f"files:   {files['found']} found: {files['used']} images, {files['masks']} masks, {shown}, "
    return [f"{total}{len(files['ignored'])} ignored", *([f"         {ignored}"] if ignored else [])]


def _size_line(report: dict[str, Any]) -> str:
    sizes, seen = report["sizes"], "all images" if report["checked"] else "a sample"
    if len(sizes) <= 5:
        shown = ", ".join(f"{size['height']} x {size['width']} ({size['images']})" for size in sizes)
        return f"{shown or 'none'}; height x width, {seen}"
    low, high = ({side: pick(size[side] for size in sizes) for side in ("height", "width")} for pick in (min, max))
    return (
        f"{len(sizes)} different ones, height {low['height']} to {high['height']}, "
        f"width {low['width']} to {high['width']}, {seen}"
    )


def _masks(report: dict[str, Any]) -> str:
    if report["masks"] is None:
        return "none; images can be judged, pixels cannot"
    return f"{report['masks']}{', each region with its saturation' if report['saturation'] else ''}"


def _origins(counts: dict[str, int] | None) -> str:
    known = [f"{count} {what}" for what, count in (counts or {}).items() if count > (what == "products")]
    return f" from {', '.join(known)}" if known else ""
