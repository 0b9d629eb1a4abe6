"""Errors by whose fault, each with the exit code that every Edgewise command ends with.

An error is one sentence that names the thing and the remedy; commands print it as it is and add nothing. Where the
remedy is known it is an attribute of its own, so that a report can show it in a column of its own.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means, the same for every Edgewise command."""

    OK = 0
    ERROR = 1
    USAGE = 2
    GATE_REFUSED = 3
    TRUST_REFUSED = 4
    ROLLOUT_HALTED = 5
    INTERRUPTED = 130
    """Ctrl-C, as shells count it: 128 and the signal's number."""


class EdgewiseError(Exception):
    """Something went wrong that the user can mend; the text says what and how."""

    exit_code = ExitCode.ERROR

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        """`problem`: what is wrong. `remedy`: what to do about it, in the imperative; neither ends in a full stop then.

        `str(error)` is the whole sentence: "PROBLEM; REMEDY.", or `problem` as it is where there is no remedy.
        """
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}." if self.remedy else self.problem


class UsageError(EdgewiseError):
    """What the user gave (an option, a settings key, an input file) cannot be used."""

    exit_code = ExitCode.USAGE


class GateRefusedError(EdgewiseError):
    """The gate measured the model and found it unfit; nothing was released."""

    exit_code = ExitCode.GATE_REFUSED


class TrustError(EdgewiseError):
    """A signature, version, expiry or digest does not hold; nothing was parsed or loaded."""

    exit_code = ExitCode.TRUST_REFUSED


class RolloutHaltedError(EdgewiseError):
    """A rollout stopped itself; the devices it had not reached keep what they run."""

    exit_code = ExitCode.ROLLOUT_HALTED


class MessageError(EdgewiseError):
    """A message on the wire is not what its topic promises."""
