"""The pump's end of the link, sans I/O; the host's is protocol/requester.py, which a pump never loads.

The pump keeps its last sealed reply and answers a repeated request id from that cache: executed at most once. Across a pump reset
the cache is gone, so what changes therapy is stage -> commit with the digest in the store (firmware/settings.py).
"""

from .catalogue import REPLY_BIT, head
from .frame import FRAME, MAX_FRAME, MAX_PAYLOAD, TAG_BYTES, Decoder, encode
from .session import FORGED, OPENED, REPEATED


class Responder:
    """Takes bytes, hands whole requests to `serve`, keeps the last sealed reply for repeats.

    `serve(decoder, outcome) -> (reply id, length)`: outcome OPENED (also for open classes) or FORGED (a tagged frame without a
    session, or with a wrong tag: never to be executed). It reads the request off the decoder and writes the reply into
    `responder.payload`. `write(buffer, length)` puts a finished frame on the line. Requests of open classes are executed as often
    as they come: all of them may be. Counters: repeats, replays; `unproved` (bytes taken, and sent in answer, but for those of new
    sealed requests) and `tags_wasted` (computed for others); the caller sets both back when it has booked them.
    """

    def __init__(self, schema_crc, serve, write):
        self._schema_crc = schema_crc
        self.decoder = Decoder(schema_crc)
        self._serve = serve
        self._write = write
        self.payload = bytearray(MAX_PAYLOAD)   # `serve` and `push` callers write reply payloads here
        self._kept = bytearray(MAX_PAYLOAD)     # the last sealed request's reply, in clear: a repeat is sealed anew
        self._kept_id = 0
        self._kept_length = 0
        self._last_request = -1
        self._last_message = -1
        self._frame = bytearray(MAX_FRAME)
        self._push_seq = 0
        self._seq = 0
        self.session = None
        self.repeats = 0
        self.replays = 0
        self.unproved = 0
        self.tags_wasted = 0

    def open(self, session):
        """From now on frames are those of `session` (None: of none); the last reply of another session repeats nothing."""
        self.session = session
        self._last_request = -1

    def feed(self, byte):
        """Take one byte; when it completes a good request, execute it (or repeat the kept reply) and write the reply."""
        self.unproved += 1
        if self.decoder.feed(byte) != FRAME:
            return
        decoder = self.decoder
        if decoder.message_id & REPLY_BIT:
            return              # our own echo, or a second pump: never a request
        if not TAG_BYTES[decoder.message_class]:
            reply_id, length = self._serve(decoder, OPENED)
            self._send(reply_id, decoder.request_id, self.payload, length)
            return
        outcome = FORGED
        if self.session is not None:
            outcome = self.session.receiving.open(decoder.body, decoder.length, decoder.message_class)
            if outcome != OPENED:
                self.tags_wasted += 1
        known = decoder.request_id == self._last_request and decoder.message_id == self._last_message
        if known and (outcome == OPENED or outcome == REPEATED):
            self.repeats += 1
            self._send(self._kept_id, decoder.request_id, self._kept, self._kept_length)
        elif outcome == OPENED or outcome == FORGED:
            self._answer(decoder, outcome)
        else:
            self.replays += 1
        if outcome == OPENED:
            self.unproved = 0

    def _answer(self, decoder, outcome):
        reply_id, length = self._serve(decoder, outcome)
        if outcome == OPENED:
            self._last_request = decoder.request_id
            self._last_message = decoder.message_id
            self._kept_id = reply_id
            self._kept_length = length
            self._kept[:length] = memoryview(self.payload)[:length]
        self._send(reply_id, decoder.request_id, self.payload, length)

    def _send(self, message_id, request_id, payload, length):
        self.unproved += self._frame_out(message_id, self._seq, request_id, payload, length)
        self._seq = (self._seq + 1) & 0xFF

    def _frame_out(self, message_id, seq, request_id, payload, length):
        channel = self.session.sending if self.session is not None else None
        size = encode(self._frame, head(message_id)[3], message_id, seq, request_id, payload, length, self._schema_crc, channel=channel)
        self._write(self._frame, size)
        return size

    def push(self, message_id, length):
        """Send `payload[:length]` unasked and unacknowledged; gaps are the host's to count."""
        self._frame_out(message_id, self._push_seq, 0, self.payload, length)
        self._push_seq = (self._push_seq + 1) & 0xFF
