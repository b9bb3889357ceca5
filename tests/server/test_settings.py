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
