"""Everything the host can say no with: one base class, one exit status each (DESIGN 13), one clear sentence each.

Whoever catches `ThecalError` has caught every declared outcome; anything else that escapes is a defect of ours and is
meant to be seen with its traceback.
"""

from __future__ import annotations


class ThecalError(Exception):
    """Base of all declared failures. `exit_status` is what the command line ends with."""

    exit_status = 1


class RequestInvalid(ThecalError):
    """What was asked breaks a rule of ours (a unit, a hard limit, an impossible schedule); nothing was sent to the pump.

    `field` names the offending part of the request when there is one.
    """

    exit_status = 1

    def __init__(self, sentence: str, field: str | None = None):
        super().__init__(sentence)
        self.field = field


class PumpRefused(ThecalError):
    """The pump understood the request and said no. `code` is its status number, `field` the field it objects to."""

    exit_status = 1

    def __init__(self, sentence: str, code: int, field: str | None = None):
        super().__init__(sentence)
        self.code = code
        self.field = field


class KeyProblem(ThecalError):
    """The key is wrong or cannot be used; the sentence says which one and what to do."""

    exit_status = 1


class SessionLost(ThecalError):
    """The pump ended the session in the middle of a command, and once more after it was opened anew."""

    exit_status = 1


class WrongPump(ThecalError):
    """Another pump answers than the one this programmer has spoken to so far."""

    exit_status = 1


class UsageProblem(ThecalError):
    """The command line or the call was put wrongly (a missing port, a confirmation without a terminal)."""

    exit_status = 2


class NoConnection(ThecalError):
    """The port cannot be opened, is busy, or went away in the middle of a command."""

    exit_status = 3


class Timeout(ThecalError):
    """The port is open and nobody answers in time."""

    exit_status = 4


class ProtocolProblem(ThecalError):
    """The other side speaks another schema or version, or answers something that cannot be an answer."""

    exit_status = 5
