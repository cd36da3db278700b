"""Delivery modes as one rectangular table mode x event, refusals included; the diagram in the docs is made from it.

The mode is never stored: it is derived from what the store holds (commissioned, program, stopped, paused) and the extra under
way. The table says what each event may do in each mode and where it leads; tests visit every cell. An event is a block kind
of the catalogue, or one of the ends and the reset behind them.
"""

from ..protocol.catalogue import LAST_KIND
from .infusion import BRIDGE, PRIME

SHELF, IDLE, RUNNING, STOPPED, PRIMING, BRIDGING, BOLUS, PAUSED = range(8)
REFUSE = -1

EV_PRIME_END, EV_BRIDGE_END, EV_BOLUS_END, EV_PAUSE_END, EV_RESET = range(LAST_KIND + 1, LAST_KIND + 6)
EVENTS = EV_RESET

LETTERS = "SIRXPGBW"        # one of each mode, in their order; "." refuses
# Columns, by group: commission program refill stop resume prime set_clock | bolus patient_bolus pause catheter |
# implant_record trial_record | silence acknowledge alarm_test visit calibration | prime, bridge, bolus and pause end, reset.
# R is where the program runs: that is bridging while a bridge is open, and idle without a program.
TABLE = (
    "I.....S" "...." ".." "SSS.." "....S",      # shelf: not commissioned
    "IRI..PI" "...I" "II" "IIIII" "....I",      # idle: no program yet
    ".RRX.PR" "BBWR" "RR" "RRRRR" "....R",      # running
    "XXX.R.X" "...X" "XX" "XXXXX" "....X",      # stopped by order; a bridge waits
    ".P.X..P" "...." "PP" "PPPPP" "R...R",      # priming
    ".GGX..G" "..W." "GG" "GGGGG" ".R..G",      # bridging: a program must restate the bridge
    "...X..B" "..W." "BB" "BBBBB" "..R.R",      # a clinician's or the patient's bolus; a stop or a pause cuts it
    ".WWXR.W" "...W" "WW" "WWWWW" "...RW",      # paused, for a time; a bridge waits
)


def derive(commissioned, program, stopped, paused, extra):
    """The mode that these truths make; `extra` as in firmware/infusion.py."""
    if not commissioned:
        return SHELF
    if stopped:
        return STOPPED
    if paused:
        return PAUSED
    if extra:
        return PRIMING if extra == PRIME else BRIDGING if extra == BRIDGE else BOLUS
    return RUNNING if program else IDLE


def leads_to(mode, event):
    """The mode that `event` (a block kind, or EV_*) leads to from `mode`, or REFUSE."""
    return LETTERS.find(TABLE[mode][event - 1:event])       # a slice: a letter by its index becomes a name that is kept for ever
