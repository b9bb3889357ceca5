"""What amiss.toml may not say."""

from pathlib import Path

import pytest

from amiss.core.errors import DataError
from amiss.server.settings import read_settings


def test_two_sources_have_two_folders_for_results(tmp_path: Path):
    """Results go by the names of images: one source would write over what the other has said."""
    path = tmp_path / "amiss.toml"
    source = '[connect.{0}]\nkind = "folder"\nrecipe = "part"\nfolder = "{0}"\nresults = "{1}"\n'
    path.write_text("[recipe.part]\n" + source.format("top", "out/top") + source.format("side", "out/side"))
    assert len(read_settings(path).connect) == 2
    (tmp_path / "link").symlink_to("out")
    path.write_text("[recipe.part]\n" + source.format("top", "out/all") + source.format("side", "link/all"))
    with pytest.raises(
        DataError, match=r"connect\.side: results must be a folder of their own, got .*connect\.top has"
    ):
        read_settings(path)


@pytest.mark.parametrize(("one", "other"), [("in", "in"), ("in", "in/side"), ("in/top", "link")])
def test_two_sources_watch_folders_that_lie_apart(tmp_path: Path, one: str, other: str):
    """An image is judged once: with two recipes for one folder, one of them would never judge."""
    path = tmp_path / "amiss.toml"
    (tmp_path / "link").symlink_to("in")
    source = '[connect.{0}]\nkind = "folder"\nrecipe = "{0}"\nfolder = "{1}"\n'
    recipes = "[recipe.top]\n[recipe.side]\n"
    path.write_text(recipes + source.format("top", one) + source.format("side", other))
    with pytest.raises(DataError, match=r"connect\.side: folder must lie apart from that of connect\.top"):
        read_settings(path)
    path.write_text(recipes + source.format("top", "in/top") + source.format("side", "in/top 2"))
    assert len(read_settings(path).connect) == 2
