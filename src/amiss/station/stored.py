"""Models in a store: kept with their signatures, and read against the fingerprints that the record has of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from amiss.core.errors import TamperedArtefactError
from amiss.inspector import Inspector
from amiss.ledger.store import Store
from amiss.signature import named_model, signature_path
from amiss.storage import write_file


def load_own(path: str) -> Inspector:
    """A model that this machine wrote: nobody is asked to have signed it.

    Raises:
        ArtefactError: It cannot be used.
    """
    return Inspector.load(path, trusted_key="")


def keep_model(store: Store, inspector: Inspector, signature: Path | None) -> None:
    """Put a model into a store, and its signature beside it.

    Args:
        store: The store.
        inspector: The model.
        signature: File of its signature; None, or a file that is not there or is of another model, for none.

    Raises:
        OutputError: The store cannot be written.
    """
    path = store.model(inspector.fingerprint)
    if not path.exists():
        inspector.save(path)
    if signature is not None and named_model(signature) == inspector.fingerprint:
        keep_signature(store, signature)


def keep_signature(store: Store, signature: Path) -> None:
    """Put a signature beside the model that it is of, if the store has it; whether it is true is asked later.

    Raises:
        OutputError: The store cannot be written.
    """
    named = named_model(signature)
    if named is not None and (path := store.model(named)).exists():
        write_file(signature_path(path), signature.read_bytes())


def read_model(store: Store, fingerprint: str, load: Callable[[str], Inspector] = load_own) -> Inspector:
    """A model out of a store, if it still is the one that was put there.

    Args:
        store: The store.
        fingerprint: Of the model, as the record has it.
        load: From an artefact's path to its inspector; a signature lies beside the artefact.

    Raises:
        ArtefactError: It cannot be used, or is another one by now.
    """
    path = store.model(fingerprint)
    inspector = load(str(path))
    if inspector.fingerprint != fingerprint:
        raise TamperedArtefactError(
            f"{path}: must be the model that its name and the record say, got another one "
            f"({inspector.fingerprint[:16]}...), so it was changed or replaced; put the right file back"
        )
    return inspector
