"""The simulator's hand on a pump's memory: one bit of one record in RAM turned over, as radiation does (hw_sim/TETHER.md, kind 3).

No board has this module and no pump knows of it: boards/tether.py takes it when a bit is to be turned, hw_sim's in-process runner likewise. A
foreign firmware may hand its own records over: a method `ram_records()` that returns a list of bytearrays, in the order of RECORDS.
"""

from .latched import FLIPPED, NO_RECORD

# The commissioning block, the committed program's (the supervisor's is the same bytes), the supervisor's copy of fallback and safe state, the
# rates of the schedule that the controller runs (32 bits each), the state record, when boluses were.
RECORDS = ("commissioning", "program", "copy", "schedule", "state", "boluses")


def _turned(block, bit):
    data = bytearray(block)
    data[bit >> 3] ^= 1 << (bit & 7)
    return bytes(data)


def _schedule(schedule, bit):
    """The rate under this bit, in its tuple of a tuple; False when there are not so many."""
    days = [list(day) for day in schedule._rates]
    at = bit >> 5
    for day in days:
        if at < len(day):
            day[at] ^= 1 << (bit & 31)
            schedule._rates = tuple([tuple(rates) for rates in days])
            return True
        at -= len(day)
    return False


def _flip(pump, name, bit):
    """Turn the bit in a pump of ours; False when the record has none such."""
    supervisor, settings = pump.supervisor, pump.settings
    if name == "schedule":
        return _schedule(pump.schedule, bit)
    if name == "commissioning" or name == "program":
        block = pump.commission_block if name == "commissioning" else pump.program_block
        if bit >> 3 >= len(block):
            return False
        block = _turned(block, bit)     # whoever holds this object holds the new one: in memory it is one place
        if name == "commissioning":
            pump.commission_block = block
        else:
            pump.program_block = supervisor._block = block
        return True
    buffer = settings.bolus_state
    if name == "copy":
        buffer = supervisor._copy
    elif name == "state":
        buffer = settings._state.buffer
    if bit >> 3 >= len(buffer):
        return False
    buffer[bit >> 3] ^= 1 << (bit & 7)
    return True


def turn_over(pump, request):
    """Do what a request of kind FLIP asks: record at byte 16, bit at 18. FLIPPED or NO_RECORD; a pump that was not built yet has none."""
    record, bit = request[16] | request[17] << 8, request[18] | request[19] << 8 | request[20] << 16
    if pump is None or record >= len(RECORDS):
        return NO_RECORD
    if hasattr(pump, "ram_records"):
        records = pump.ram_records()
        if record >= len(records) or bit >> 3 >= len(records[record]):
            return NO_RECORD
        records[record][bit >> 3] ^= 1 << (bit & 7)
        return FLIPPED
    if not hasattr(pump, "program_block"):
        return NO_RECORD
    return FLIPPED if _flip(pump, RECORDS[record], bit) else NO_RECORD
