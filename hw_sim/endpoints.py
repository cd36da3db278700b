"""Three ways in for a host: `sim://` (virtual time, in this process), TCP and a pty (wall time, paced at N x).

Under `sim://` the host's own timeouts are virtual: a read advances the world until bytes arrive or the timeout has passed
(pyserial's read_until uses wall time, so it is overridden). `Server` runs a world against the wall clock; while a therapy
stage is open it drops to 1x, else a 300 s stage would be five seconds at 60x (R10).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qsl, urlsplit

import serial
from serial.serialutil import PortNotOpenError, SerialBase

from ..firmware.limits import STAGE_LIFE_S
from ..protocol import catalogue as cat
from ..protocol.frame import FRAME, Decoder
from .control import Control
from .control_door import ControlDoor
from .doors import Doors
from .recorder import Recorder
from .session import Session
from .world import Pacer, World

SEEDS = 2**31
OPTIONS = ("scenario", "runtime", "seed", "firmware", "store", "line")
PENDING_US = 10_000_000     # an answer that is not on the line 10 virtual seconds after the last byte to the pump never comes
BURST_BYTES = 256           # handed over in one piece: a whole frame (251), so that the next request leaves while the next reply comes
IDLE_S = 0.005              # longest the server sleeps between looks at its sockets


class WrongThread(serial.SerialException):
    """A sim:// port was used from a thread other than the one that opened it: its world has one clock and one owner."""


class EndlessRead(serial.SerialException):
    """A sim:// read without a timeout while nothing is on the line: it would run virtual time for ever."""


class VirtualClock:
    """The world's clock as a host sees it (host/transport.py)."""

    virtual = True

    def __init__(self, port: VirtualPort) -> None:
        self._port = port

    def now_s(self) -> float:
        """Virtual seconds."""
        return self._port.world.now_us / 1e6

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass."""
        self._port.check_thread()
        self._port.world.run_until(self._port.world.now_us + round(seconds * 1e6))


class VirtualPort(SerialBase):
    """A pyserial port on a world. `VirtualPort(world=...)` is open at once; as sim://'s handler it opens its URL's own world (R4)."""

    def __init__(self, *args: Any, world: World | None = None, **kwargs: Any) -> None:
        self._world = world
        self._owns_world = world is None
        self._thread = threading.get_ident()
        super().__init__(*args, **kwargs)
        self.clock = VirtualClock(self)
        if world is not None:
            self.is_open = True
            self._port = "sim://"

    @property
    def world(self) -> World:
        """The world behind this port: truth and faults, for those who may see them."""
        if self._world is None:
            raise PortNotOpenError()
        return self._world

    def chance(self, count: int) -> bytes:
        """`count` bytes for the host's nonces: from the world's seed, so that a run can be repeated. Simulated: no secret."""
        return self.world.chance(count)

    def check_thread(self) -> None:
        """Raise WrongThread unless this is the thread that opened the port."""
        if threading.get_ident() != self._thread:
            raise WrongThread("sim:// is used from a second thread; its virtual time belongs to the thread that opened it")

    def open(self) -> None:
        """Make the URL's world. Raises SerialException for an unknown option or scenario, or a runtime that is missing."""
        if self.is_open:
            raise serial.SerialException("port is already open")
        self._thread = threading.get_ident()
        self._world = world_of_url(str(self._port))
        self.is_open = True

    def close(self) -> None:
        """End the world if this port made it."""
        if self.is_open:
            self.is_open = False
            if self._owns_world and self._world is not None:
                self._world.close()

    def _reconfigure_port(self) -> None:
        """Line settings are the simulated board's: 115200 8N1, whatever the host asks for."""

    @property
    def in_waiting(self) -> int:
        """Bytes that have arrived."""
        return self.world.line.waiting_for_host(self.world.now_us)

    def read(self, size: int = 1) -> bytes:
        """At most `size` bytes; virtual time passes until they are there or the timeout is over."""
        if not self.is_open:
            raise PortNotOpenError()
        self.check_thread()
        world = self.world
        if world.line.waiting_for_host(world.now_us) < size:
            deadline_us = self._deadline_us()
            world.run_until_host_bytes(deadline_us, size)
            # As a USB adapter does, hand over a frame's worth in one piece: a host that reads byte by byte costs a wake each.
            burst_us = world.line.next_for_host_us(BURST_BYTES)
            if burst_us is not None:
                world.run_until(max(world.now_us, min(burst_us, deadline_us)))
        return world.line.take_for_host(world.now_us, size)

    def _deadline_us(self) -> int:
        world = self.world
        timeout_s = self.timeout
        if timeout_s is not None:
            return world.now_us + round(timeout_s * 1e6)
        if world.line.next_for_host_us(1) is None and world.line.wake_us() is None:
            raise EndlessRead("a read from sim:// without a timeout, and nothing is on the line: set a timeout")
        return world.now_us + PENDING_US

    def read_until(self, expected: bytes = b"\n", size: int | None = None) -> bytes:
        """As pyserial's, on virtual time."""
        found = bytearray()
        while size is None or len(found) < size:
            byte = self.read(1)
            if not byte:
                break
            found += byte
            if found.endswith(expected):
                break
        return bytes(found)

    def write(self, data: Any) -> int:
        """Put `data` on the line at this virtual instant."""
        if not self.is_open:
            raise PortNotOpenError()
        self.check_thread()
        self.world.inject(bytes(data))
        return len(data)

    def reset_input_buffer(self) -> None:
        """Drop what has arrived."""
        self.world.line.take_for_host(self.world.now_us, self.in_waiting)


def open_sim(url: str) -> VirtualPort:
    """The entry point behind sim:// for host/transport.py. Raises SerialException as VirtualPort.open."""
    port = VirtualPort(timeout=1.0)
    port.port = url
    port.open()
    return port


def sim_options(url: str) -> dict[str, str]:
    """What a sim:// URL asks for, by name (OPTIONS). Raises SerialException for anything else in it."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown or parts.netloc or parts.path not in ("", "/"):
        what = f"unknown option {unknown[0]!r}" if unknown else f"{parts.netloc + parts.path!r} is not an option"
        raise serial.SerialException(f"{url}: {what}; sim:// takes ?{'=...&'.join(OPTIONS)}=...")
    return options


def world_of_url(url: str, recorder: Recorder | None = None) -> World:
    """A world from `sim://?scenario=NAME&runtime=inprocess&seed=3`; without a scenario a pump on the shelf.

    Options: scenario (name or file), runtime (micropython, inprocess), seed, firmware (folder), store (file), line (impairment.py).
    Raises SerialException naming the option and its bound, StoreInvalid for a store file of another size.
    """
    from .runner import FirmwareError, RuntimeMissing, StoreInvalid
    from .scenario import ScenarioError, load_scenario, world_for
    from .staging import StagingError
    options = sim_options(url)
    try:
        scenario = load_scenario(options["scenario"]) if "scenario" in options else None
        return world_for(
            scenario, runtime=options.get("runtime", "micropython"), seed=seed_of(options["seed"]) if "seed" in options else None,
            firmware_dir=Path(options["firmware"]) if "firmware" in options else None,
            store_path=Path(options["store"]) if "store" in options else None, line=options.get("line"), recorder=recorder)
    except StoreInvalid as error:       # a file of the user's, not a port that is missing
        raise StoreInvalid(f"{url}: {error}") from error
    except (ScenarioError, RuntimeMissing, FirmwareError, StagingError, ValueError) as error:
        raise serial.SerialException(f"{url}: {error}") from error


def seed_of(text: str) -> int:
    """The seed that a URL spells. Raises ValueError for anything but a whole number, 0 .. 2**31 - 1."""
    if not (text.isascii() and text.isdigit() and int(text) < SEEDS):
        raise ValueError(f"seed is {text!r}: it must be a whole number, 0 .. {SEEDS - 1}")
    return int(text)


class StageWatch:
    """Listens on the line for therapy stages: `open` from the first STAGE until its COMMIT or DISCARD is answered, or it expires."""

    def __init__(self) -> None:
        schema = cat.schema_crc()
        self._decoders = {"host": Decoder(schema), "pump": Decoder(schema)}
        self.open = False
        self._heard_us = 0

    def look(self, now_us: int) -> bool:
        """Whether a stage is open; one that its host has left (a pty does not say so) ends when the pump drops it."""
        if self.open and now_us - self._heard_us > STAGE_LIFE_S * 1_000_000:
            self.open = False
        return self.open

    def hear(self, direction: str, data: bytes, now_us: int) -> None:
        """Take bytes of one direction ("host" or "pump") at virtual `now_us`."""
        decoder = self._decoders[direction]
        for byte in data:
            if decoder.feed(byte) != FRAME:
                continue
            if direction == "host" and decoder.message_id in (cat.STAGE, cat.CHECK):
                self.open, self._heard_us = True, now_us
            elif direction == "pump" and decoder.message_id in (cat.COMMIT | cat.REPLY_BIT, cat.DISCARD | cat.REPLY_BIT, cat.REFUSED, cat.REFUSED_SEALED):
                self.open = False


class Server:
    """Serves one world on TCP and/or a pty, paced at `speed` (1x while a stage is open). One host at a time on each.

    `record` names a file that gets every host byte with its virtual instant: `thecal-sim replay FILE` runs it again. `control` is a TCP
    port for commands (control.py), `terminal` a stream that has them typed.
    """

    def __init__(self, world: World, *, speed: float = 1.0, tcp: int | None = None, pty: Path | None = None,
                 record: Path | None = None, header: dict[str, Any] | None = None, control: int | None = None, terminal: TextIO | None = None) -> None:
        self.world = world
        self._speed = speed
        self._pacer = Pacer(world, speed)
        self._stage = StageWatch()
        self._doors = Doors(self._from_host, self._host_left, tcp=tcp, pty=pty)
        self._record: Session | None = None
        try:
            self._control = ControlDoor(Control(world, self._commanded).answer, port=control, terminal=terminal)
        except OSError:
            self._doors.close()
            raise
        self._record = Session(record, header or {}) if record else None

    @property
    def control_port(self) -> int | None:
        """The port for commands, also when 0 was asked for."""
        return self._control.port

    @property
    def tcp_port(self) -> int | None:
        """The TCP port, also when 0 was asked for."""
        return self._doors.tcp_port

    @property
    def dropped(self) -> int:
        """Bytes that nobody took off the pty or the socket."""
        return self._doors.dropped

    def _commanded(self, text: str) -> None:
        if self._record:
            self._record.commanded(self.world.now_us, text)

    def _host_left(self) -> None:
        self._stage.open = False            # a host that went away holds no stage

    def _from_host(self, data: bytes) -> None:
        world = self.world
        if self._record:
            self._record.heard(world.now_us, data)
        self._stage.hear("host", data, world.now_us)
        world.inject(data)

    def _to_host(self) -> None:
        world = self.world
        data = world.line.take_for_host(world.now_us, 4096)
        if data:
            self._stage.hear("pump", data, world.now_us)
            self._doors.send(data)

    def run(self, seconds: float | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Serve until `seconds` of virtual time have passed, `stop()` says so, or for ever."""
        world = self.world
        end_us = world.now_us + round(seconds * 1e6) if seconds is not None else 1 << 62
        while world.now_us < end_us and not (stop and stop()):
            speed = min(1.0, self._speed) if self._stage.look(world.now_us) else self._speed
            if speed != self._pacer.speed:
                self._pacer.change(speed)
            target_us = min(end_us, self._pacer.target_us())
            # In pieces of 20 virtual ms while bytes are on the line, so that the host gets them on time.
            while world.now_us < target_us:
                world.run_until(min(target_us, max(world.now_us + 20_000, world.next_us())))
                self._to_host()
                self._doors.poll(0)
            wait_s = min(IDLE_S, max(0.0, (world.next_us() - world.now_us) / 1e6 / speed))
            self._doors.poll(max(wait_s, 0.0005))
            self._control.poll()

    def close(self) -> None:
        """Close every way in; the record gets its end and trace hash."""
        if self._record:
            self._record.close(self.world)
        self._control.close()
        self._doors.close()
