"""`ExitCode`: what the command tells a script."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """One number for each kind of end; the meaning is what ``amiss --help`` and docs/exit_codes.md say."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """A number and its words."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    DONE = 0, "done; also when images are anomalous, unless inspect --exit-code asks to be told"
    FAILED = 1, "error: it could not be carried out, such as an output that cannot be written or a full disk"
    REFUSED = 2, "usage: the options, the data or the model cannot be used, and nothing was done"
    UNUSABLE = 3, "done, but an image could not be inspected or drawn, a file not used, or a bench run failed"
    PROMISE = 4, "promise: too few parts to make it, not shown by certify, or monitor has an alarm"
    ANOMALOUS = 5, "inspect --exit-code: every image was inspected, and some are anomalous or for review"
    INTERRUPTED = 130, "Ctrl-C; verdicts that were given are on disk"
    PIPE = 141, "nobody reads standard output any more; verdicts that were given are on disk"
    TERMINATED = 143, "SIGTERM; verdicts that were given are on disk"


def exit_code_lines() -> list[str]:
    """The table, one line per code."""
    return [f"{code.value:>3}  {code.meaning}" for code in ExitCode]
