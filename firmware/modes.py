"""Delivery modes as one rectangular table mode x event, refusals included; the diagram in the docs is made from it.

The mode is never stored: it is derived from what the store holds (commissioned, program, stopped) and the prime under way.
The table says what each event may do in each mode and where it leads; tests visit every cell.
"""

SHELF, IDLE, RUNNING, STOPPED, PRIMING = range(5)
REFUSE = -1

EV_COMMISSION, EV_PROGRAM, EV_REFILL, EV_STOP, EV_RESUME, EV_PRIME, EV_SET_CLOCK, EV_PRIME_END, EV_RESET = range(9)
EVENT_NAMES = ("commission", "program", "refill", "stop", "resume", "prime", "set clock", "prime ends", "reset")

_ = REFUSE
TABLE = (
    # commission  program  refill   stop     resume   prime    clock    prime end  reset
    (IDLE,        _,       _,       _,       _,       _,       SHELF,   _,         SHELF),      # shelf
    (IDLE,        RUNNING, IDLE,    _,       _,       PRIMING, IDLE,    _,         IDLE),       # idle: no program yet
    (_,           RUNNING, RUNNING, STOPPED, _,       PRIMING, RUNNING, _,         RUNNING),    # running
    (STOPPED,     STOPPED, STOPPED, _,       RUNNING, _,       STOPPED, _,         STOPPED),    # stopped by order
    (_,           PRIMING, _,       STOPPED, _,       _,       PRIMING, RUNNING,   RUNNING),    # priming
)
assert all(len(row) == len(EVENT_NAMES) for row in TABLE)


def derive(commissioned, program, stopped, priming):
    """The mode that these four truths make."""
    if not commissioned:
        return SHELF
    if stopped:
        return STOPPED
    if priming:
        return PRIMING
    return RUNNING if program else IDLE


def leads_to(mode, event):
    """The mode that `event` leads to from `mode`, or REFUSE.

    Without a program, what leads to running leads to idle and what leads to stopped is idle too: the caller derives.
    """
    return TABLE[mode][event]
