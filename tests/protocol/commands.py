"""A frame of every command kind of the catalogue, as a host in a session would send it: with the smallest payload, a usual and the largest."""

from bare_pump import block_bytes, simple_program
from ends import framed, sessions
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import BYTES, TAIL, pack
from thecal.protocol.frame import TAG_BYTES

REQUESTS = [row for row in cat.MESSAGES if row[2] == cat.REQUEST]
USUAL_TAIL_BYTES = 40


def smallest(row):
    """Values of the shortest payload that the catalogue allows, everything at its lower bound."""
    return [bytes(low) if kind in (BYTES, TAIL) else low for _, kind, _, low, _ in row[5]]


def usual(row):
    """Values in the middle of their ranges; a stage carries a whole program."""
    if row[0] == cat.STAGE:
        block = block_bytes(cat.PROGRAM, {**simple_program(500_000, 48_000), "order_id": 0x2A01_5C})[:200]
        return [cat.PROGRAM, len(block), 0, block]
    values = []
    for index, (_, kind, _, low, high) in enumerate(row[5]):
        if kind in (BYTES, TAIL):
            length = low if kind == BYTES else min(high, USUAL_TAIL_BYTES)
            values.append(bytes((37 * index + 11 * at + 1) & 0xFF for at in range(length)))
        else:
            values.append(low + (high - low) * 5 // 8)
    return values


def largest(row):
    """As `usual`, the rest of the payload as long as it may be."""
    return [bytes(range(1, high + 1)) if kind == TAIL else value for value, (_, kind, _, _, high) in zip(usual(row), row[5])]


def command(row, values):
    """(the line bytes, the pump's channel that would open them): the fifth sealed frame of its session, so that the counter is not 1."""
    host, pump = sessions()
    host.sending.counter = pump.receiving.counter = 4
    payload = bytearray(256)
    end = pack(row[5], values, payload)
    assert end >= 0, (row[1], row[5][-1 - end])
    line = framed(host.sending if TAG_BYTES[row[3]] else None, row[0], bytes(payload[:end]), seq=200, request_id=77)
    return line, pump.receiving


def commands():
    """(name, row, values) of each command, smallest, usual and largest, each payload once."""
    found = []
    for row in REQUESTS:
        known = []
        for size in (smallest, usual, largest):
            if size(row) not in known:
                known.append(size(row))
                found.append(("%s, %s" % (row[1], size.__name__), row, known[-1]))
    return found
