"""How verbs are told whom to trust: ``--trusted-key FILE`` and ``--accepted FOLDER``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TrustedKey = Annotated[
    Path | None,
    typer.Option(
        help="File of public keys: refuse a model that none of them has signed (amiss sign). "
        "Default: the environment variable AMISS_TRUSTED_KEY."
    ),
]
Accepted = Annotated[
    Path | None,
    typer.Option(
        help="Folder of own images: refuse a model that was not accepted with them (amiss accept), or says something "
        "else of them today. Default: the environment variable AMISS_ACCEPTED."
    ),
]
