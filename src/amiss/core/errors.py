"""Every error that Amiss raises on purpose. One tree, so that ``except AmissError`` catches all of them.

    AmissError
    ├── InputError (ValueError)          an argument or option is out of its allowed values
    │   ├── ImageError                   one file or array is not a usable image: ``.name``, ``.reason``
    │   ├── DataError                    a folder or data set is empty or laid out differently
    │   └── ConflictError                somebody else was there before: a key, a version, a part is taken
    ├── CalibrationError (ValueError)    too few normal images for the promise that was asked for
    ├── DivergedError (ArithmeticError)  training has come to a loss that is not finite
    ├── NotReadyError (RuntimeError)     used before ``learn`` or ``calibrate``
    ├── BusyError (RuntimeError)         a station has no room for another part just now
    ├── MissingExtraError (ImportError)  an optional library is not installed
    ├── OutputError (OSError)            what was to be written cannot be, or belongs to another run
    └── ArtefactError                    a saved inspector cannot be used
        ├── IncompleteArtefactError      a part is missing or cut off
        ├── TamperedArtefactError        the content is not what was written
        ├── UntrustedArtefactError       not signed with a trusted key, or not accepted here
        ├── SchemaError                  written by an Amiss whose artefacts are others
        └── ParityError                  this machine's scores differ from those of the golden images

A message says what must hold, what was got, and what to do.
"""


class AmissError(Exception):
    """Base of all errors that Amiss raises on purpose."""


class InputError(AmissError, ValueError):
    """An argument or option is out of its allowed values."""


class ImageError(InputError):
    """One file or array is not a usable image.

    Args:
        name: File path or array index, as the user knows it.
        reason: What is wrong with it, in one phrase.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return type(self), (self.name, self.reason)


class DataError(InputError):
    """A folder or data set is empty or laid out differently from what its reader knows."""


class ConflictError(InputError):
    """It would be right at another time or in another place; here something else was there before. Look again."""


class CalibrationError(AmissError, ValueError):
    """Too few normal images for the promise that was asked for."""


class DivergedError(AmissError, ArithmeticError):
    """Training has come to a loss that is not finite; says at which step and what to try."""


class NotReadyError(AmissError, RuntimeError):
    """A detector was used before ``learn``, or a rule before ``calibrate``."""


class BusyError(AmissError, RuntimeError):
    """A station has no room for another part just now; come again."""


class MissingExtraError(AmissError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""


class OutputError(AmissError, OSError):
    """What was to be written cannot be, or the place belongs to another run; the message names it."""


class ArtefactError(AmissError):
    """A saved inspector cannot be used."""


class IncompleteArtefactError(ArtefactError):
    """A part of the artefact is missing or cut off."""


class TamperedArtefactError(ArtefactError):
    """The content of the artefact is not what was written."""


class UntrustedArtefactError(ArtefactError):
    """The artefact is not signed with a trusted key, or was not accepted with the images of this site."""


class SchemaError(ArtefactError):
    """The artefact was written by a version of Amiss whose artefacts are others."""


class ParityError(ArtefactError):
    """On this machine the golden images do not get the scores they had when the artefact was written."""
