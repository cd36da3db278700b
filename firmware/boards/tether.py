"""The tether: real MicroPython in lockstep with hw_sim over two inherited pipes. Spec: hw_sim/TETHER.md.

Started as `main.py READ_FD WRITE_FD STORE_FILE [FIRMWARE_DIR]`. The link never uses stdout: an uncaught traceback of this
MicroPython goes there. A failing step is reported in its reply and ends the process with status 1.
"""

import io
import sys
from array import array

from ..ports import MAX_DELAY_MS, PowerCut
from .heap import settled
from .latched import DONE, FAILED, FLIP, POWER_LOST, REPLY_BYTES, REQUEST_BYTES, STEP, Latch, bundle, lose_power, torn_length

_MAX_TEXT = 1200        # of a traceback; fits the transmit buffer
_NOTHING = bytearray()
TRAIL = 128             # store writes remembered between two appends to the wear file


class FileStore:
    """The store of a tethered pump: a preallocated file, byte-addressed. Beside it a file of what was written, for the simulator's wear."""

    def __init__(self, path, latch):
        self._path = path
        self._file = open(path, "r+b", buffering=0)     # and no flush(): on MicroPython that is an fsync, 200 us a write
        self._latch = latch
        self._trail = array("I", bytes(4 * TRAIL))      # a count of every line would be 16 KB of this heap
        self._trailed = 0

    def read(self, address, buffer, length):
        """Fill buffer[:length] from `address`."""
        self._file.seek(address)
        self._file.readinto(memoryview(buffer)[:length])

    def write(self, address, buffer, length):
        """Write buffer[:length]; raises PowerCut at the write the simulator chose."""
        cut = self._latch.count_write()
        if cut:
            length = torn_length(self._latch, length)
        self._file.seek(address)
        self._file.write(buffer if length == len(buffer) else memoryview(buffer)[:length])      # records are whole buffers: nothing allocated
        self._trail[self._trailed] = address << 12 | length
        self._trailed += 1
        if self._trailed == TRAIL:
            self.flush()
        if cut:
            lose_power()

    def flush(self):
        """Append what was written since the last time: a number of four bytes a write, address * 4096 + length."""
        with open(self._path + ".wear", "ab") as file:
            file.write(memoryview(self._trail)[:self._trailed])
        self._trailed = 0


def read_exactly(stream, buffer, length):
    """Fill buffer[:length] from a pipe; False at its end."""
    view = memoryview(buffer)
    got = 0
    while got < length:
        count = stream.readinto(view[got:length])
        if not count:
            return False
        got += count
    return True


def _traceback(error):
    text = io.StringIO()
    sys.print_exception(error, text)
    return text.getvalue()


def _build(ports, folder):
    """The pump: our App, or whatever `build(ports)` of FOLDER/pump.py returns (anything with a step())."""
    if folder:
        sys.path.insert(0, folder)
        pump = __import__("pump").build(ports)
    else:
        from ..app import App
        pump = App(ports)
    settled()
    return pump


class Tether:
    """Reads requests, steps the firmware, writes replies."""

    def __init__(self, rx, tx, store_path, folder):
        self._rx = rx
        self._tx = tx
        self._store_path = store_path
        self._folder = folder
        self._latch = Latch()
        self._request = bytearray(REQUEST_BYTES)
        self._reply = bytearray(REPLY_BYTES)
        self._pump = None
        self.store = None

    def exchange(self):
        """One request to step and its reply; False for any other, and at the end. Whatever a step raises comes out."""
        # No try and no 12th word in what runs at every wake: such a frame is sought in the heap, and in a full one that takes as long as a round.
        if not self._receive():
            return False
        if self._pump is None:
            self.store = FileStore(self._store_path, self._latch)
            self._pump = _build(bundle(self._latch, self.store, "simulated"), self._folder)
        self._latch.end(self._reply, DONE, self._pump.step())
        self._send()
        return self._reply[2] == DONE

    def _receive(self):
        request = self._request
        if self._rx.readinto(request) != REQUEST_BYTES:
            return False        # the end; a request is far below the pipe's atomic size, so it never comes in pieces
        length, rx = request[REQUEST_BYTES - 2] | request[REQUEST_BYTES - 1] << 8, _NOTHING
        if length:
            rx = bytearray(length)
            if not read_exactly(self._rx, rx, length):
                return False
        return self._latch.begin(request, rx) == STEP

    def _turned_over(self):
        """Where the request that was no step asks for it, a bit of the pump's memory is another one; False when it was the last request."""
        request = self._request
        if request[2] != FLIP:
            return False
        from .ram import turn_over      # not above: it takes heap, and few pumps are hit
        self._latch.end(self._reply, turn_over(self._pump, request), MAX_DELAY_MS)
        self._send()
        request[2] = 0      # at the end of the pipe it would stand there still
        return True

    def _send(self):
        self._tx.write(self._reply)
        length = self._latch.tx_length
        if length:
            self._tx.write(memoryview(self._latch.tx)[:length])

    def serve(self):
        """Answer requests until the simulator is done, asks for a reset, the power goes or a step fails; the last two are told too."""
        latch, text = self._latch, b""
        try:
            while self.exchange() or self._turned_over():
                continue
            return
        except PowerCut:
            kind = POWER_LOST
        except Exception as error:
            kind, text = FAILED, _traceback(error).encode()[-_MAX_TEXT:]
        latch.tx[:len(text)] = text
        latch.tx_length = len(text)
        latch.end(self._reply, kind, MAX_DELAY_MS)
        self._send()


def run():
    """Serve the two pipes of the command line until the simulator quits, the power goes or a step fails."""
    store, folder = sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else ""
    tether = Tether(open(int(sys.argv[1]), "rb", buffering=0), open(int(sys.argv[2]), "wb", buffering=0), store, folder)
    tether.serve()
    if tether.store:
        tether.store.flush()
