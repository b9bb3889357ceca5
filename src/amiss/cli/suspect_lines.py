"""What `--suspects` of `amiss data` and `amiss fit` share: finding good images that look strange, and listing them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amiss.cli.console import progress_display

if TYPE_CHECKING:
    from amiss.data import Dataset
    from amiss.recipe import Recipe

SUSPECT_METHOD = "patchcore"
"""Where no model is asked for: quick, and little disturbed by a few images that do not belong."""

SHOWN = 10
"""Images that are listed for a person; JSON and page have more."""


def list_suspects(
    dataset: Dataset, recipe: Recipe | str, seed: int, output: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """As plain JSON values, and as lines; and as a page in the folder `output`, if there is one.

    Args:
        dataset: Its normal images are looked at.
        recipe: What scores them, or the name of a method.
        seed: Random seed, with a name.
        output: Where the page goes.
    """
    from amiss.evaluation.suspects import find_suspects
    from amiss.recipe import Recipe
    from amiss.reporting.suspects_page import write_suspects

    asked = Recipe(method=recipe, seed=seed) if isinstance(recipe, str) else recipe
    with progress_display() as progress:
        found = find_suspects(dataset.normal, asked, origins=dataset.normal_origins, progress=progress)
    pages = () if output is None else write_suspects(output, found, dataset.name)
    summary = found.summary()
    rows = [f"  {row['score']:.4g}{_ratio(row['ratio'])}  {row['name']}" for row in summary["images"][:SHOWN]]
    return summary, [f"Suspects: {found.statement()}", *rows, *(f"Written to {page}" for page in pages)]


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f" ({ratio:.2f} x median)"
