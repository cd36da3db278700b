"""Hard limits and unit constants, with the relations that code relies on asserted beside them.

Intermediate products stay below 2**30, the largest integer that costs a 32-bit MicroPython no heap (DESIGN R8).
"""

DAY_S = 86400
WEEK_S = 604800
SMALL = 1 << 30

MAX_RATE_NL_DAY = 24000000      # head: 24 mL/day, clinical.md 1.1
FLOOR_RATE_NL_DAY = 48000       # lowest programmable flow 0.048 mL/day, clinical.md 1.1
MAX_PULSE_NL = 4000
LEAST_BOLUS_NL = 200            # of the catalogue's bolus block, for the patient's too
LEAST_BOLUS_S = 30
MAX_CHUNK_S = 3600              # longest stretch integrated in one go
assert (DAY_S - 1) * MAX_CHUNK_S + DAY_S < SMALL
assert (MAX_RATE_NL_DAY // DAY_S + 1) * MAX_CHUNK_S < SMALL
assert 2 * MAX_PULSE_NL * DAY_S < SMALL

CHECK_S = 300                   # sensor rounds at least this often while drug is ordered (DESIGN R7)
IDLE_CHECK_S = 3600             # nothing ordered: still awake every hour
HOLD_MARGIN_MS = 30             # the enable one-shot outlives the train by this, for the last step to settle
STAGE_LIFE_S = 300              # a staged block is dropped after this
CLOCK_JUMP_S = 300              # alarms.md row 12
CLOCK_FOLLOW_S = 600            # of the tick, in which the RTC may drift by a second unremarked: 0.17 %, ten times a bad crystal
MAX_GAP_S = 30 * DAY_S          # a boot gap longer than this is a clock fault, not an outage

STALL_PULSES = 3                # alarms.md row 7: 3 pulses in a row without motion ...
STALL_S = 1800                  # ... or 30 min
EDGE_COUNTS = 8                 # encoder noise and settling, in counts of 4096; a pulse is 117
PULSE_S = 2                     # a reset so soon behind the order of a pulse came in it: half a second of enable, and two clocks' whole seconds
MISSING_BYTES = 7               # of the supervisor's window of lost pulses, in the state record
LOW_DAYS = 7                    # alarms.md row 19
LOW_UL = 2000
STOPPED_LONG_S = 6 * 3600       # alarms.md row 16, abrupt_stop drugs
LEVEL_SHIFT = 4                 # the level filter's weight: 1/16 a round
TARE_ROUNDS = 16                # rounds after a refill until the level filter has settled and is compared with the book
TARE_MOST_UL = 1000             # alarms.md 4: a larger difference is a pocket fill or a fault, never sensor drift
OFFSET_MOST_UL = 6000           # of all tares together: twice the drift of ten years, 50 uL a root day (DESIGN 8); a sensor further off is not tared any more
TONE_CRITICAL_S = 600           # alarms.md 2: C every 10 min
TONE_NOTICE_S = 3600            # N hourly
