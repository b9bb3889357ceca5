"""A site's own check of a model: images that the maker of the model does not have, and what it says of them.

The golden images inside a model come with it, from whoever made it. Those of a site stay with the site: it accepts a
model once, when it has seen the verdicts, and from then on that very model must say the same of them. What was accepted
is kept beside the images, in ``accepted.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amiss.core.errors import InputError, ParityError, UntrustedArtefactError
from amiss.core.images import Images
from amiss.core.plain_json import is_finite, parse_json
from amiss.core.progress import Progress, silent
from amiss.core.verdict import Label, Verdict
from amiss.inspector import Inspector
from amiss.storage import write_file

VARIABLE = "AMISS_ACCEPTED"
"""Environment variable: a folder of images with which whatever model is loaded must have been accepted."""

FILE = "accepted.json"
MOST = 100
"""Images in such a folder; they are inspected whenever a model is loaded."""


def accept(inspector: Inspector, folder: str | Path, *, progress: Progress = silent) -> list[Verdict]:
    """Inspect the images of a folder and keep there what this model says of them.

    Args:
        inspector: The model.
        folder: 1 to `MOST` images, good and defective. Models that were accepted before stay accepted.
        progress: See `amiss.core.progress`.

    Returns:
        The verdicts, for a person to look at.

    Raises:
        InputError: No image, too many, one that cannot be inspected, or an ``accepted.json`` of something else.
    """
    images = _images(folder)
    verdicts = list(inspector.inspect(images, progress=progress))
    if broken := [verdict for verdict in verdicts if verdict.label is Label.ERROR]:
        raise InputError(
            f"{folder}: every image must be inspected, got an error for {broken[0].name}: {broken[0].reason}"
        )
    rows = [
        {"name": name, "sha256": images.sha256(index), "label": str(verdict.label), "score": verdict.score}
        for index, (name, verdict) in enumerate(zip(_names(images, folder), verdicts, strict=True))
    ]
    path = Path(folder) / FILE
    models = {**(_read(path) if path.exists() else {}), inspector.fingerprint: rows}
    text = json.dumps({"amiss_accepted": 1, "models": models}, indent=2, sort_keys=True, allow_nan=False)
    write_file(path, (text + "\n").encode())
    return verdicts


def check_accepted(inspector: Inspector, folder: str | Path) -> None:
    """Check that a model was accepted with the images of a folder and still says the same of them, on this machine.

    Raises:
        UntrustedArtefactError: It was not accepted with these images, or says something else of them.
        ParityError: It is the accepted model, and scores differ on this machine.
        InputError: The folder is not one that `accept` has been used on.
    """
    known = _read(Path(folder) / FILE).get(inspector.fingerprint)
    if known is None:
        raise UntrustedArtefactError(
            f"the model {inspector.fingerprint[:16]}... was not accepted with the images of {folder}; to see what it "
            f"says of them: amiss accept MODEL {folder}"
        )
    images = _images(folder)
    found = {name: index for index, name in enumerate(_names(images, folder))}
    if set(found) != {row["name"] for row in known}:
        raise UntrustedArtefactError(f"{folder}: the images must be those of the acceptance, got others")
    for row in known:
        if images.sha256(found[row["name"]]) != row["sha256"]:
            raise UntrustedArtefactError(f"{folder}: {row['name']} must be as it was accepted, got another image")
    verdicts = list(inspector.inspect(images))
    largest = max(abs(row["score"]) for row in known)
    for row in known:
        verdict = verdicts[found[row["name"]]]
        moved = abs((verdict.score if verdict.score is not None else float("inf")) - row["score"])
        if verdict.label != row["label"] or not moved <= inspector.learned.tolerance * largest:
            raise ParityError(
                f"{row['name']} was accepted as {row['label']} with score {row['score']:.4g}, got {verdict.label} with "
                f"{verdict.score}; this machine or runtime computes something else"
            )


def _images(folder: str | Path) -> Images:
    images = Images(folder)
    if not 1 <= len(images) <= MOST:
        raise InputError(f"{folder}: must hold 1 to {MOST} images to accept a model with, got {len(images)}")
    return images


def _names(images: Images, folder: str | Path) -> list[str]:
    """Relative to the folder, which may move."""
    return [Path(name).relative_to(folder).as_posix() for name in images.names]


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content: Any = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); make it with: amiss accept MODEL {path.parent}") from error
    models = content.get("models") if isinstance(content, dict) and content.get("amiss_accepted") == 1 else None
    if not isinstance(models, dict) or not all(isinstance(rows, list) and rows for rows in models.values()):
        raise InputError(f"{path}: not what amiss accept writes")
    if not all(_is_row(row) for rows in models.values() for row in rows):
        raise InputError(f"{path}: not what amiss accept writes")
    return models


def _is_row(row: Any) -> bool:
    texts = ("name", "sha256", "label")
    return isinstance(row, dict) and all(isinstance(row.get(key), str) for key in texts) and is_finite(row.get("score"))
