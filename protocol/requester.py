"""The host's end of the link, sans I/O and sans clock. The pump's is responder.py; no pump loads this.

Host-driven: a request is repeated until its reply comes, with a timer that learns (RFC 6298, section 2) on the clock the
caller passes in. Commands have window 1; idempotent reads (bulk pull by file and offset) may have several outstanding.
"""

from .catalogue import F_THERAPY, PUSH, R_LOCKED, R_SESSION, REFUSED, REFUSED_SEALED, REPLY_BIT, message
from .crc import crc32
from .frame import FRAME, HEADER, MAX_FRAME, TAG_BYTES, Decoder, encode
from .session import OPENED

MIN_RTO_MS = 25         # simulation.md 4.4
MAX_RTO_MS = 5000
MAX_BACKOFF_MS = 1000   # doubling ends here: a line that loses frames is not congested, and 8 tries fit a deadline of 5 s
FIRST_RTO_MS = 1000     # RFC 6298 2.1
TRIES = 8               # at 30 % loss each way (1 - 0.7^2)^8 = 0.5 % of requests stay open

OUT_REPLY, OUT_REFUSED, OUT_TIMEOUT, OUT_PUSH = 0, 1, 2, 3


class _Pending:
    def __init__(self, row, payload, frame, now_ms):
        self.row = row
        self.message_id = row[0]
        self.payload = payload
        self.frame = frame
        self.sent_ms = now_ms
        self.tries = 1


class Requester:
    """The host's end. Feed it line bytes and the time; it says what to send and what came.

    `outbox` is a bytearray the caller drains to the line; `session` is the open session or None. Times are milliseconds of any
    steady clock. Counters: retries, timeouts, stray (replies nobody waits for, forged or replayed ones included), push_gaps
    (telemetry frames that never arrived).
    """

    def __init__(self, schema_crc, crc=crc32, frame_ms=22, turnaround_ms=30):
        self._schema_crc = schema_crc
        self._crc = crc
        self.session = None
        self.decoder = Decoder(schema_crc, crc)
        self.outbox = bytearray()
        self._scratch = bytearray(MAX_FRAME)
        self._pending = {}
        self._flags = 0             # of the last request
        self._next_id = 1
        self._seq = 0
        self._floor_ms = max(MIN_RTO_MS, 3 * frame_ms + turnaround_ms)
        self._srtt = None
        self._rttvar = 0
        self.rto_ms = FIRST_RTO_MS
        self.retries = 0
        self.timeouts = 0
        self.stray = 0
        self.push_gaps = 0
        self._push_seq = None

    def submit(self, message_id, payload, now_ms):
        """Queue a request and return its request id (1..255). Raises ValueError for an id the catalogue does not have."""
        row = message(message_id)
        if row is None:
            raise ValueError("message id 0x%02x is not in the catalogue" % message_id)
        # In both orders: the pump keeps one reply, and a read behind a command would take its place.
        if self._pending and (row[4] | self._flags) & F_THERAPY:
            raise ValueError("%s waits for the reply before it: commands have window 1" % row[1])
        request_id = self._next_id
        self._next_id = request_id % 255 + 1
        frame = self._sealed(row, request_id, payload)
        self._pending[request_id] = _Pending(row, payload, frame, now_ms)
        self._flags = row[4]
        self.outbox.extend(frame)
        return request_id

    def _sealed(self, row, request_id, payload):
        """One whole frame. A tagged one takes the session's next counter."""
        channel = self.session.sending if self.session is not None else None
        size = encode(self._scratch, row[3], row[0], self._seq, request_id, payload, len(payload), self._schema_crc, self._crc,
                      channel)
        if size == 0:
            raise ValueError("%s: needs an open session and a payload of at most 220 bytes; it has %d" % (row[1], len(payload)))
        self._seq = (self._seq + 1) & 0xFF
        return bytes(memoryview(self._scratch)[:size])

    def forget(self):
        """Drop what is outstanding: its session is gone."""
        self._pending = {}
        self._push_seq = None       # the pump may have been reset: its count starts anew

    @property
    def outstanding(self):
        """Requests that wait for a reply."""
        return len(self._pending)

    def feed(self, data, now_ms):
        """Take bytes off the line; return a list of (OUT_*, request id, message id, payload)."""
        came = []
        for byte in data:
            if self.decoder.feed(byte) == FRAME:    # BAD is counted by the decoder; the timer will ask again
                event = self._frame(now_ms)
                if event is not None:
                    came.append(event)
        return came

    def _frame(self, now_ms):
        decoder = self.decoder
        row = message(decoder.message_id)
        if row is None or row[3] != decoder.message_class or not self._genuine(decoder):
            self.stray += 1
            return None
        if row[2] == PUSH:
            if self._push_seq is not None:
                self.push_gaps += (decoder.seq - self._push_seq - 1) & 0xFF
            self._push_seq = decoder.seq
            return (OUT_PUSH, 0, decoder.message_id, decoder.payload())
        pending = self._pending.get(decoder.request_id)
        if pending is None or not self._answers(decoder, pending.row):
            self.stray += 1
            return None
        del self._pending[decoder.request_id]
        if pending.tries == 1:      # Karn: a repeated request says nothing about the round trip
            self._learn(now_ms - pending.sent_ms)
        kind = OUT_REPLY if decoder.message_id == pending.message_id | REPLY_BIT else OUT_REFUSED
        return (kind, decoder.request_id, pending.message_id, decoder.payload())

    def _genuine(self, decoder):
        """Open a tagged frame; one of an open class is as it is."""
        if not TAG_BYTES[decoder.message_class]:
            return True
        session = self.session
        return session is not None and session.receiving.open(decoder.body, decoder.length, decoder.message_class) == OPENED

    @staticmethod
    def _answers(decoder, row):
        """Whether a frame may answer a request of this row. An unsealed refusal of a sealed request can only say: no session.

        Anything more it might claim could be forged, and "refused" taken for "not executed" is how boluses are given twice.
        """
        if decoder.message_id == row[0] | REPLY_BIT:
            return True
        if decoder.message_id not in (REFUSED_SEALED, REFUSED) or decoder.body[HEADER] != row[0]:
            return False        # a refusal names its message: one of another, perhaps somebody else's with the same request id, says nothing here
        if decoder.message_id == REFUSED_SEALED:
            return True
        return not TAG_BYTES[row[3]] or decoder.body[HEADER + 1] in (R_SESSION, R_LOCKED)

    def _learn(self, rtt_ms):
        if self._srtt is None:
            self._srtt = rtt_ms
            self._rttvar = rtt_ms // 2
        else:
            self._rttvar = (3 * self._rttvar + abs(self._srtt - rtt_ms)) // 4
            self._srtt = (7 * self._srtt + rtt_ms) // 8
        self.rto_ms = min(MAX_RTO_MS, max(self._floor_ms, self._srtt + 4 * self._rttvar))

    def poll(self, now_ms):
        """Repeat what is overdue; return a list of OUT_TIMEOUT events for requests that are given up."""
        gone = []
        for request_id in sorted(self._pending):
            pending = self._pending[request_id]
            if now_ms - pending.sent_ms < self._wait_ms(pending):
                continue
            if pending.tries >= TRIES:
                del self._pending[request_id]
                self.timeouts += 1
                gone.append((OUT_TIMEOUT, request_id, pending.message_id, b""))
                continue
            pending.tries += 1
            pending.sent_ms = now_ms
            self.retries += 1
            if TAG_BYTES[pending.row[3]] and not pending.row[4] & F_THERAPY:
                # Others may have been sent since: an old counter would be refused. A command is alone, and repeated to the byte.
                pending.frame = self._sealed(pending.row, request_id, pending.payload)
            self.outbox.extend(pending.frame)
        return gone

    def _wait_ms(self, pending):
        return max(self.rto_ms, min(MAX_BACKOFF_MS, self.rto_ms << (pending.tries - 1)))

    def next_due_ms(self, now_ms):
        """Milliseconds until `poll` has something to do; None when nothing is outstanding."""
        due = None
        for pending in self._pending.values():
            left = max(0, self._wait_ms(pending) - (now_ms - pending.sent_ms))
            if due is None or left < due:
                due = left
        return due
