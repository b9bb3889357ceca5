"""PATH#all: several products as one data set, of every kind of set that has products."""

from pathlib import Path

import pytest

from amiss.core.errors import DataError, InputError
from amiss.data import open_dataset
from amiss.testing import toy_part, toy_texture, write_images, write_mvtec


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    for name, world in (("bolt", toy_part), ("nut", toy_texture)):
        write_images(root / "good" / name, world(3, seed=0).images)
        write_mvtec(
            root / "mvtec" / name,
            world(3, seed=0).images,
            world(2, seed=1).images,
            dent=world(2, seed=2, defective=True),
        )
    rows = [
        f"good/{name}/{path.name},{name}"
        for name in ("bolt", "nut")
        for path in sorted((root / "good" / name).iterdir())
    ]
    (root / "parts.csv").write_text("\n".join(["path,product", *rows]) + "\n")
    return root


def products(origins: tuple) -> list[str]:
    return [origin.product for origin in origins]


@pytest.mark.parametrize("source", ["good", "mvtec", "parts.csv"])
def test_all_products_together(root: Path, source: str) -> None:
    joined = open_dataset(f"{root / source}#all")
    assert products(joined.normal_origins) == ["bolt"] * 3 + ["nut"] * 3
    for name in ("bolt", "nut"):
        alone = open_dataset(f"{root / source}#{name}")
        chosen = [index for index, origin in enumerate(joined.normal_origins) if origin.product == name]
        assert joined.normal.subset(chosen).names == alone.normal.names
    if source == "mvtec":
        assert len(joined.test) == 8 and products(joined.test_origins) == ["bolt"] * 4 + ["nut"] * 4
        assert [joined.mask(index, (64, 64)).any() for index in range(8)] == joined.anomalous.tolist()


def test_what_cannot_be_joined_is_refused(root: Path, tmp_path: Path) -> None:
    write_images(tmp_path, toy_part(2, seed=0).images)
    with pytest.raises(InputError, match="no folders inside that could be products"):
        open_dataset(f"{tmp_path}#all")
    write_images(tmp_path / "bolt", toy_part(2, seed=1).images)
    with pytest.raises(DataError, match="must lie in the folder of its product"):
        open_dataset(f"{tmp_path}#all")
    with pytest.raises(InputError, match=r"product must be one of bolt, nut, got 'bold'. Did you mean 'bolt'"):
        open_dataset(f"{root / 'good'}#bold")
    text = (root / "parts.csv").read_text()
    (root / "gap.csv").write_text(text.replace(",nut", ",", 1))
    with pytest.raises(DataError, match="every row must state its product"):
        open_dataset(f"{root / 'gap.csv'}#all")
    for source in ("mvtec", "parts.csv"):
        with pytest.raises(DataError, match="#all, for one model of all"):
            open_dataset(root / source)


def test_a_product_may_be_called_all(root: Path, tmp_path: Path) -> None:
    for name in ("all", "nut"):
        write_images(tmp_path / name, toy_part(2, seed=0).images)
    assert len(open_dataset(f"{tmp_path}#all").normal) == 2
