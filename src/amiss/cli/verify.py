"""``amiss verify``: is a model what somebody trusted has signed?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from amiss.cli.common_options import Json
from amiss.cli.console import say, say_json


def verify(
    model: Annotated[Path, typer.Argument(help="Artefact written by `amiss fit`, with MODEL.sig beside it.")],
    key: Annotated[Path, typer.Option(help="File of Ed25519 public keys (PEM), one or several.")],
    json: Json = False,
) -> None:
    """Check that one of the keys signed this very model. Nothing in the model is run."""
    from amiss.signature import verify_artefact

    fingerprint = verify_artefact(model, key)
    if json:
        say_json({"model": str(model), "fingerprint": fingerprint, "verified": True})
        return
    say(f"{model} is signed with a key of {key}, and is what was signed (fingerprint {fingerprint[:16]}...).")
