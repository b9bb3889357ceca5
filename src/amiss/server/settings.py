"""`Settings`: what amiss.toml says, checked before anything begins."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from amiss.core.errors import DataError

TEMPLATE = """# Settings of `amiss serve`. Every line that is commented out shows what holds without it.

[station]
name = "line 1"              # fixed with the store
# threads = 2                # that score; all cores when it is not said
# deadline_ms = 500          # from the arrival of a part to its verdict on disk; later is reject

[store]
path = "store"               # on a disk of this machine; made when missing
# url = "postgresql://user@host/name"     # instead of SQLite in the folder
# keep = "good=24h,anomalous=365d"
# quota = "20G"              # bytes of images that are kept at most
# floor = "64M"              # bytes that must stay free

[http]
# host = "127.0.0.1"         # another address needs a person (amiss serve person add) and TLS, or behind_proxy
# port = 8470
# certificate = "server.crt"
# key = "server.key"
# behind_proxy = false       # a proxy in front speaks TLS
# hosts = []                 # names by which others call this machine

[audit]
# rate = 0.01                # share of parts that a person labels without seeing the verdict

[recipe.part]
artefact = "part.amiss"      # its first version; later ones are deployed by people, and stay

# [connect.camera]           # judge what comes into a folder
# kind = "folder"
# recipe = "part"
# folder = "images"
# names = "{lot}/{serial}_*"
# sidecars = false
# results = "results"
"""
"""What `amiss serve init` writes."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StationTable(_Table):
    """`[station]`."""

    name: Annotated[str, Field(pattern=r"^[\w][\w .-]{0,63}$")] = "station"
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    deadline_ms: Annotated[float, Field(gt=0, le=600_000)] = 500.0


class StoreTable(_Table):
    """`[store]`."""

    path: str = "store"
    url: str | None = None
    keep: str = ""
    quota: str = "20G"
    floor: str = "64M"


class HttpTable(_Table):
    """`[http]`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8470
    certificate: str | None = None
    key: str | None = None
    behind_proxy: bool = False
    hosts: tuple[str, ...] = Field(default=(), strict=False)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @model_validator(mode="after")
    def _both(self) -> HttpTable:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given together")
        return self


class AuditTable(_Table):
    """`[audit]`."""

    rate: Annotated[float, Field(ge=0, le=1)] = 0.01


class RecipeTable(_Table):
    """`[recipe.NAME]`."""

    artefact: str | None = None


class FolderTable(_Table):
    """`[connect.NAME]` of the kind "folder"."""

    kind: Annotated[str, Field(pattern="^folder$")]
    recipe: str
    folder: str
    names: str | None = None
    sidecars: bool = False
    results: str | None = None
    poll: Annotated[float, Field(ge=0.02, le=3600)] = 0.5


class Settings(_Table):
    """Everything; paths are relative to the folder of the file.

    Args:
        station: Name, threads, deadline.
        store: Where the record is kept.
        http: Where it listens.
        audit: Share of parts that are audited.
        recipe: Kinds of parts, by name.
        connect: Where parts come from besides HTTP, by name.
    """

    station: StationTable = StationTable()
    store: StoreTable = StoreTable()
    http: HttpTable = HttpTable()
    audit: AuditTable = AuditTable()
    recipe: dict[str, RecipeTable] = {}
    connect: dict[str, FolderTable] = {}

    @model_validator(mode="after")
    def _recipes(self) -> Settings:
        for name, source in self.connect.items():
            if source.recipe not in self.recipe:
                known = ", ".join(self.recipe) or "none"
                raise ValueError(f"connect.{name}: recipe must be one of {known}, got {source.recipe!r}")
        return self


def read_settings(path: Path) -> Settings:
    """Settings from a file, with paths made absolute.

    Raises:
        DataError: It cannot be read, is not TOML, or says something unknown or out of range.
    """
    try:
        raw = tomllib.loads(path.read_bytes().decode("utf-8"))
        found = Settings.model_validate(raw)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be TOML ({error})") from error
    except ValidationError as error:
        raise DataError(f"{path}: {_words(error)}") from error
    rooted = _rooted(found, path.resolve().parent)
    _check_folders(path, rooted.connect)
    _check_results(path, rooted.connect)
    return rooted


def _words(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors()[0]
    where = ".".join(str(each) for each in first["loc"]) or "settings"
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"[:300]


def _check_folders(path: Path, connect: dict[str, FolderTable]) -> None:
    """Each image is judged once, so that of two sources only one would judge it, and nobody could say which.

    Raises:
        DataError: Two sources watch one folder, or one watches a folder within that of another.
    """
    watched: dict[str, Path] = {}
    for name, source in connect.items():
        folder = Path(os.path.realpath(source.folder))
        for other, taken in watched.items():
            if folder.is_relative_to(taken) or taken.is_relative_to(folder):
                raise DataError(
                    f"{path}: connect.{name}: folder must lie apart from that of connect.{other}, since each image is "
                    f"judged once, got {source.folder!r} and {str(taken)!r}"
                )
        watched[name] = folder


def _check_results(path: Path, connect: dict[str, FolderTable]) -> None:
    """Results go by the names of images, which are the same in many folders.

    Raises:
        DataError: Two sources have one folder for them.
    """
    taken: dict[str, str] = {}
    for name, source in connect.items():
        if source.results is not None:
            other = taken.setdefault(os.path.realpath(source.results), name)
            if other != name:
                raise DataError(
                    f"{path}: connect.{name}: results must be a folder of their own, got {source.results!r}, which "
                    f"connect.{other} has"
                )


def _rooted(found: Settings, root: Path) -> Settings:
    def at(path: str | None) -> str | None:
        return None if path is None else str(root / path)

    changed: dict[str, Any] = {
        "store": found.store.model_copy(update={"path": at(found.store.path)}),
        "http": found.http.model_copy(update={"certificate": at(found.http.certificate), "key": at(found.http.key)}),
        "recipe": {name: one.model_copy(update={"artefact": at(one.artefact)}) for name, one in found.recipe.items()},
        "connect": {
            name: one.model_copy(update={"folder": at(one.folder), "results": at(one.results)})
            for name, one in found.connect.items()
        },
    }
    return found.model_copy(update=changed)
