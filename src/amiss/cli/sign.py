"""``amiss sign``: a signature beside a model says who made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from amiss.cli.common_options import Json
from amiss.cli.console import say, say_json


def sign(
    model: Annotated[Path | None, typer.Argument(help="Artefact written by `amiss fit`.")] = None,
    key: Annotated[Path | None, typer.Option(help="File of an Ed25519 private key (PEM).")] = None,
    new_key: Annotated[
        Path | None,
        typer.Option(help="Make a key pair first: the private key in this file, the public key in FILE.pub."),
    ] = None,
    key_password_file: Annotated[
        Path | None,
        typer.Option(help="File whose first line is the password of the private key. Default: AMISS_KEY_PASSWORD."),
    ] = None,
    json: Json = False,
) -> None:
    """Sign a model: MODEL.sig beside it can be made only by whoever has the private key."""
    from amiss import signature
    from amiss.core.errors import InputError

    used = new_key if key is None else key
    if used is None or (key is not None and new_key is not None):
        raise InputError("one of --key and --new-key must be given, --key FILE with a key made before")
    if model is None and key is not None:
        raise InputError("a model to sign must be given: amiss sign MODEL --key FILE")
    password = signature.read_password(key_password_file)
    lines: list[str] = []
    result: dict[str, str] = {}
    if new_key is not None:
        private, public = signature.new_key(new_key, password=password)
        result |= {"private_key": str(private), "public_key": str(public)}
        lines.append(
            f"Private key: {private}; keep it secret, and never beside the models. Public key: {public}; give it to "
            "every station."
        )
    if model is not None:
        written = signature.sign_artefact(model, used, password=password)
        result |= {"model": str(model), "signature": str(written)}
        lines.append(f"Written to {written}. Next, with the public key: amiss verify {model} --key PUBLIC_KEY")
    if json:
        say_json(result)
    else:
        say(*lines)
