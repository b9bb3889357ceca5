"""Who made a model: Ed25519 signatures, in a file beside it.

The hashes inside an artefact find damage; whoever writes another model writes other hashes. A signature can be made
only by whoever has the private key, and everybody who has the public key can check it. It is over the fingerprint of
the model, so it holds for the folder and for the single file, and lies beside the model in ``NAME.sig``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amiss.artefact import Artefact, fingerprint, read_artefact
from amiss.core.errors import InputError, MissingExtraError, UntrustedArtefactError
from amiss.core.plain_json import parse_json
from amiss.storage import write_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VARIABLE = "AMISS_TRUSTED_KEY"
"""Environment variable: a file of public keys, one of which must have signed whatever model is loaded."""

PASSWORD = "AMISS_KEY_PASSWORD"
"""Environment variable: the password of a private key that has one."""

SUFFIX = ".sig"

_VERSION = 1
_LARGEST = 1_000_000  # bytes of a key file or signature
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def signature_path(model: str | Path) -> Path:
    """Where the signature of a model lies: ``part.amiss.sig`` beside ``part.amiss``."""
    path = Path(os.path.abspath(model))  # noqa: PTH100 - a link keeps its name
    return path.with_name(path.name + SUFFIX)


def read_password(file: str | Path | None) -> bytes | None:
    """The password of a private key: the first line of a file, else AMISS_KEY_PASSWORD, else none.

    Raises:
        InputError: The file cannot be read, or has no first line.
    """
    if file is None:
        return os.fsencode(os.environ.get(PASSWORD, "")) or None
    try:
        found = _read(Path(file)).partition(b"\n")[0].rstrip(b"\r")
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: the file of a password cannot be read ({error})"[:300]) from error
    if not found:
        raise InputError(f"{file}: the first line must be the password of the key, got an empty one")
    return found


def new_key(path: str | Path, *, password: bytes | None = None) -> tuple[Path, Path]:
    """Make a key pair: a private key that only its owner may read, and ``NAME.pub`` for those who check.

    Args:
        path: Of the private key.
        password: With which the private key is encrypted; None leaves it as it is.

    Returns:
        Both files.

    Raises:
        InputError: One of them is there already; a private key is never replaced.
        MissingExtraError: cryptography is not installed.
    """
    _cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = Path(path), Path(f"{path}.pub")
    for each in (private, public):
        if each.exists():
            raise InputError(f"a new key must have a new name, got {each}, which is there already")
    pem = serialization.Encoding.PEM
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    key = Ed25519PrivateKey.generate()
    private.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
        file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    write_file(public, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def sign_artefact(model: str | Path, key: str | Path, *, password: bytes | None = None) -> Path:
    """Sign a model and write the signature beside it.

    Args:
        model: What `Inspector.save` wrote.
        key: File of an Ed25519 private key, PEM.
        password: Of the key, where it has one.

    Returns:
        The file of the signature.

    Raises:
        ArtefactError: The model is incomplete or damaged.
        InputError: It is not such a key, or the password is missing or wrong.
        MissingExtraError: cryptography is not installed.
    """
    private = _private_key(Path(key), password)
    named = fingerprint(read_artefact(model))
    content = {
        "amiss_signature": _VERSION,
        "fingerprint": named,
        "public_key": private.public_key().public_bytes_raw().hex(),
        "signature": private.sign(_message(named)).hex(),
    }
    path = signature_path(model)
    write_file(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
    return path


def verify_artefact(model: str | Path, keys: str | Path) -> str:
    """Check that a model was signed with one of the keys, and is what was signed.

    Args:
        model: What `Inspector.save` wrote.
        keys: File of Ed25519 public keys, PEM, one or several.

    Returns:
        The fingerprint of the model.

    Raises:
        UntrustedArtefactError: It is not signed, signed with another key, or not what was signed.
        ArtefactError: It is incomplete or damaged.
        InputError: The file holds no such key.
        MissingExtraError: cryptography is not installed.
    """
    artefact = read_artefact(model)
    check_signature(model, artefact, keys)
    return fingerprint(artefact)


def check_signature(model: str | Path, artefact: Artefact, keys: str | Path) -> None:
    """As `verify_artefact`, for an artefact that has been read from there."""
    trusted = _public_keys(Path(keys))
    content = _read_signature(signature_path(model), model)
    signer = next((key for key in trusted if key.public_bytes_raw().hex() == content["public_key"]), None)
    if signer is None:
        raise UntrustedArtefactError(
            f"{model}: must be signed with a key of {keys}, got a signature with {content['public_key'][:16]}..."
        )
    from cryptography.exceptions import InvalidSignature

    named = fingerprint(artefact)
    try:
        signer.verify(bytes.fromhex(content["signature"]), _message(named))
    except (InvalidSignature, ValueError) as error:
        raise UntrustedArtefactError(
            f"{model}: the signature is not of this model ({named[:16]}...); it was changed or replaced after signing"
        ) from error


def named_model(signature: Path) -> str | None:
    """Fingerprint of the model that a signature says it is of, unchecked; None where the file says no such thing."""
    try:
        content = _read_signature(signature, signature)
    except UntrustedArtefactError:
        return None
    named = content.get("fingerprint", "")
    return named if isinstance(named, str) and re.fullmatch("[0-9a-f]{64}", named) else None


def _message(named: str) -> bytes:
    return f"amiss model {_VERSION} {named}".encode()


def _read_signature(path: Path, model: str | Path) -> dict[str, str]:
    try:
        content: Any = parse_json(_read(path))
    except FileNotFoundError as error:
        raise UntrustedArtefactError(f"{model}: must be signed, got no {path.name} beside it") from error
    except (OSError, ValueError) as error:
        raise UntrustedArtefactError(f"{path}: not a signature of Amiss ({error})"[:300]) from error
    if not isinstance(content, dict) or content.get("amiss_signature") != _VERSION:
        raise UntrustedArtefactError(f"{path}: not a signature of Amiss, or one of another version")
    if not all(isinstance(content.get(name), str) for name in ("public_key", "signature")):
        raise UntrustedArtefactError(f"{path}: a signature of Amiss must have public_key and signature")
    return content


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"larger than {_LARGEST} bytes")
    return data


def _private_key(path: Path, password: bytes | None) -> Ed25519PrivateKey:
    _cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    must = "must be an Ed25519 private key, PEM"
    try:
        data = _read(path)
        locked = b"ENCRYPTED" in data
        if locked:
            must = f"has a password, which must be in a file (--key-password-file) or in {PASSWORD}, got "
            must += "none" if password is None else "another"
        key = serialization.load_pem_private_key(data, password if locked else None)
    except Exception as error:  # of many kinds: no file, no key, no password or another
        raise InputError(f"{path}: {must} ({error})"[:300]) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: must be an Ed25519 private key, got another kind of key")
    return key


def _public_keys(path: Path) -> list[Ed25519PublicKey]:
    _cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        found = [serialization.load_pem_public_key(block) for block in _PEM.findall(_read(path))]
    except Exception as error:  # of many kinds
        raise InputError(f"{path}: must hold Ed25519 public keys, PEM ({error})"[:300]) from error
    keys = [key for key in found if isinstance(key, Ed25519PublicKey)]
    if not keys or len(keys) < len(found):
        raise InputError(f"{path}: must hold Ed25519 public keys, PEM, got {len(keys)} among {len(found)} keys")
    return keys


def _cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("signatures need cryptography; pip install 'amiss[sign]'") from error
