"""Bounds what a firmware may take of the wall's time, and tells whose exception it was that came out of it.

`Watch` looks from a thread of its own. When one stretch of firmware (an import, a build, a step) outlasts its limit the measures
are taken one by one, each given a moment to work: an exception thrown into the thread (ends a spin), a SIGINT (wakes a blocking C call
such as time.sleep in the main thread), and where neither helps the whole process is left by `os._exit`, after `flush`, with status 1 and
a sentence on stderr. That last road is taken only for a C call that cannot be woken, or one in a thread that is not the main one.
"""

from __future__ import annotations

import ctypes
import dis
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

STUCK_S = 20.0          # wall seconds that one step may take before it counts as never returning
GRACE_S = 2.0           # that a measure gets to work
STUCK_STATUS = 1        # as for every other failing firmware


class StepStuck(BaseException):
    """Thrown into the thread of an in-process firmware that does not return."""


class Watch:
    """Takes `measures` in turn when one stretch lasts over `limit_s` wall seconds; costs the hot path two stores."""

    def __init__(self, measures: Sequence[Callable[[], None]], limit_s: float = STUCK_S) -> None:
        self.stepping = False
        self.count = 0
        self.fired = False
        self.limit_s = limit_s
        self._measures = measures
        self._over = threading.Event()
        threading.Thread(target=self._run, name="thecal-step-watch", daemon=True).start()

    def _run(self) -> None:
        seen, left, wait_s = -1, list(self._measures), self.limit_s
        while left and not self._over.wait(wait_s):
            if self.stepping and self.count == seen:
                self.fired = True
                left.pop(0)()
                wait_s = GRACE_S
            seen = self.count if self.stepping else -1

    @contextmanager
    def stretch(self) -> Iterator[None]:
        """Watch what is done inside."""
        self.count += 1
        self.stepping = True
        try:
            yield
        finally:
            self.stepping = False

    def stop(self) -> None:
        """End the thread."""
        self._over.set()


def interruptions(flush: Callable[[], None]) -> list[Callable[[], None]]:
    """The measures against a firmware in the calling thread. `flush` is called before the process is left."""
    thread = threading.get_ident()

    def throw() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(StepStuck))

    def wake() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)    # take back what a C call never saw: one end is enough
        if thread == threading.main_thread().ident and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(thread, signal.SIGINT)

    def leave() -> None:
        sys.stderr.write("thecal-sim: the firmware did not return and cannot be interrupted: leaving\n")
        sys.stderr.flush()
        try:
            flush()
        finally:
            os._exit(STUCK_STATUS)

    return [throw, wake, leave]


def raised_by_code(error: BaseException) -> bool:
    """Whether a `raise` statement threw it. A Ctrl-C comes between two instructions, or out of a C call, and is the user's."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
