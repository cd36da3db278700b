"""sim:// (every timeout virtual), TCP and pty, paced: the same script, the same answers; record and replay; 1x while a stage is open."""

import contextlib
import json
import os
import socket
import stat
import sys
import threading
import time

import pytest
import serial

from thecal.firmware.limits import STAGE_LIFE_S
from thecal.host.fill import Fill
from thecal.host.implant import Implant
from thecal.host.prescription import Prescription
from thecal.host.programmer import Programmer
from thecal.hw_sim.control_door import ask
from thecal.hw_sim.session import replay
from thecal.hw_sim.endpoints import EndlessRead, Server, StageWatch, VirtualPort, WrongThread, open_sim
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import pack, unpack
from thecal.protocol.frame import CLASS_ROUTINE, FRAME, MAX_FRAME, Decoder, encode
from thecal.protocol.handshake import HostHandshake
from thecal.protocol.session import CLINICIAN, Channel, shelf_key

S = 1_000_000
PATIENT_S = 60.0        # wall seconds that a live test may take at most; nothing below measures them
posix = pytest.mark.skipif(sys.platform == "win32", reason="a pty is POSIX's")


def frame(message_id, values=(), number=1):
    payload, out = bytearray(255), bytearray(MAX_FRAME)
    row = cat.message(message_id)
    end = pack(row[5], values, payload)
    assert end >= 0
    channel = Channel(bytes(32), b"to pump", b"") if row[3] >= CLASS_ROUTINE else None      # a watch on the line needs no key
    return bytes(out[:encode(out, row[3], message_id, number, number, payload, end, cat.schema_crc(), channel=channel)])


def kinds(data):
    decoder = Decoder(cat.schema_crc())
    return [decoder.message_id for byte in data if decoder.feed(byte) == FRAME]


def in_thread(function):
    """Run it in another thread and return what it raised."""
    raised = []

    def run():
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENT_S)
    return raised[0] if raised else None


# ---------------------------------------------------------------------------------------------------- sim://
class TestVirtualPort:
    @pytest.mark.req("TH-RULE-10")
    def test_a_timeout_is_virtual_and_exact(self, new_world):
        world = new_world()
        port = VirtualPort(world=world, timeout=3 * 86_400.0)
        assert port.read(1) == b"" and world.now_us == 3 * 86_400 * S
        port.timeout = 0
        assert port.read(10) == b"" and world.now_us == 3 * 86_400 * S
        port.timeout = 0.25
        assert port.read_until(b"\0") == b"" and world.now_us == 3 * 86_400 * S + 250_000

    def test_a_read_ends_as_soon_as_its_bytes_are_there(self, new_world):
        world = new_world()
        port = world.port(timeout_s=3600.0)
        port.write(frame(cat.HELLO, (1, 0)))
        first = port.read(1)
        assert len(first) == 1 and world.now_us < S // 10
        rest = port.read_until(b"\0")
        assert kinds(first + rest) == [cat.HELLO | cat.REPLY_BIT] and world.now_us < S // 10

    def test_read_until_stops_at_its_size_and_at_its_mark(self, new_world):
        port = new_world().port(timeout_s=1.0)
        port.write(frame(cat.HELLO, (1, 0)) + frame(cat.IDENTITY, (), 2))
        assert len(port.read_until(b"\0", size=3)) == 3
        assert port.read_until(b"\0").endswith(b"\0")
        assert kinds(b"\0" + port.read_until(b"\0")) == [cat.IDENTITY | cat.REPLY_BIT]

    def test_what_has_arrived_is_counted_and_can_be_dropped(self, new_world):
        world = new_world()
        port = world.port()
        assert port.in_waiting == 0
        port.write(frame(cat.HELLO, (1, 0)))
        world.run_until(S)
        assert port.in_waiting > 10
        port.reset_input_buffer()
        assert port.in_waiting == 0

    @pytest.mark.req("TH-RULE-10")
    def test_a_read_that_would_run_time_for_ever_is_a_named_error(self, new_world):
        world = new_world()
        port = VirtualPort(world=world, timeout=None)
        with pytest.raises(EndlessRead, match="set a timeout"):
            port.read(1)
        assert world.now_us == 0
        port.write(frame(cat.HELLO, (1, 0)))
        assert len(port.read(5)) == 5
        assert port.read(9999)[-1:] == b"\0", "what is on its way is all there will be"
        with pytest.raises(EndlessRead):
            port.read(1)

    @pytest.mark.parametrize("use", [
        lambda port: port.read(1), lambda port: port.write(b"x"), lambda port: port.read_until(b"\0"), lambda port: port.clock.sleep(1)])
    def test_another_thread_is_a_named_error(self, new_world, use):
        world = new_world()
        port = world.port()
        error = in_thread(lambda: use(port))
        assert isinstance(error, WrongThread) and "second thread" in str(error) and world.now_us == 0
        assert isinstance(error, serial.SerialException), "a host that knows only pyserial still catches it"

    def test_the_clock_is_the_worlds(self, new_world):
        world = new_world()
        port = world.port()
        assert port.clock.virtual and port.clock.now_s() == 0.0
        port.clock.sleep(86_400.5)
        assert port.clock.now_s() == 86_400.5 and world.now_us == 86_400_500_000

    def test_a_closed_port_is_closed(self, new_world):
        world = new_world()
        port = world.port()
        port.close()
        for use in (lambda: port.read(1), lambda: port.write(b"x")):
            with pytest.raises(serial.PortNotOpenError):
                use()
        world.run_until(S)      # a borrowed world goes on

    def test_an_opened_url_owns_its_world_and_ends_it(self):
        port = open_sim("sim://?runtime=inprocess&seed=3")
        world = port.world
        with pytest.raises(serial.SerialException, match="already open"):
            port.open()
        port.close()
        assert world.closed
        with pytest.raises(serial.PortNotOpenError):
            _ = VirtualPort().world

    def test_line_settings_are_the_boards(self, new_world):
        port = new_world().port()
        port.baudrate = 9600
        port.write(frame(cat.HELLO, (1, 0)))
        assert port.read_until(b"\0").endswith(b"\0") and port.world.line.baud == 115_200


# ---------------------------------------------------------------------------------------------------- live
@contextlib.contextmanager
def serving(world, **options):
    """A Server in its own thread; ends it and raises what it raised."""
    server, over, raised = Server(world, **options), threading.Event(), []

    def run():
        try:
            server.run(stop=over.is_set)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server
    finally:
        over.set()
        thread.join(PATIENT_S)
        server.close()
    if raised:
        raise raised[0]


def script(pump):
    """What a clinician does; the answers that no pacing may change."""
    pump.commission(Implant.reference())
    pump.refill(Fill("18 mL", "baclofen", "200 ug/mL"))
    pump.program(Prescription.simple("baclofen", concentration="200 ug/mL", dose="100 ug/day"), confirm=True)
    programmed = pump.status()
    pump.stop("mri")
    stopped = pump.status()
    pump.resume()
    running = pump.status()
    return (pump.identity().to_dict(), programmed.running_digest == running.running_digest, stopped.to_dict()["mode"], running.to_dict()["mode"],
            running.to_dict()["rate_nl_day"], [event.to_dict()["name"] for event in pump.log()], pump.program_running())


@pytest.fixture
def filled(new_world):
    def make(**options):
        world = new_world(**options)
        world.plant.fill(18_000.0, {"baclofen": 200.0})
        return world

    return make


class TestLive:
    @pytest.mark.req("TH-RULE-01")
    def test_the_same_script_gives_the_same_answers_on_every_way_in(self, filled, tmp_path):
        with Programmer(filled().port()) as pump:
            virtual = script(pump)
        with serving(filled(), speed=60.0, tcp=0) as server, \
                Programmer.open(f"socket://127.0.0.1:{server.tcp_port}", timeout_s=PATIENT_S) as pump:
            assert script(pump) == virtual
        if sys.platform != "win32":
            with serving(filled(), speed=60.0, pty=tmp_path / "pump0"), Programmer.open(str(tmp_path / "pump0"), timeout_s=PATIENT_S) as pump:
                assert script(pump) == virtual

    @pytest.mark.req("TH-RULE-09")
    def test_a_live_session_replayed_has_its_trace_hash(self, filled, tmp_path):
        record = tmp_path / "session.jsonl"
        with serving(filled(), speed=200.0, tcp=0, record=record) as server, \
                Programmer.open(f"socket://127.0.0.1:{server.tcp_port}", timeout_s=PATIENT_S) as pump:
            script(pump)
        recorded, replayed = replay(filled(), record)
        assert recorded == replayed
        other = replay(filled(seed=7), record)
        assert other[0] == recorded != other[1]

    @pytest.mark.micropython
    def test_and_on_real_micropython_too(self, filled, tmp_path):
        record = tmp_path / "session.jsonl"
        with serving(filled(), speed=200.0, tcp=0, record=record) as server, \
                Programmer.open(f"socket://127.0.0.1:{server.tcp_port}", timeout_s=PATIENT_S) as pump:
            script(pump)
        recorded, replayed = replay(filled(runtime="micropython"), record)
        assert recorded == replayed

    def test_a_session_that_is_not_whole_is_refused_by_name(self, filled, tmp_path):
        path = tmp_path / "session.jsonl"
        for text in ("", "nonsense\n", '{"schema": "else"}\n', '{"schema": "thecal.session/1"}\n{"t_us": 1, "hex": "00"}\n'):
            path.write_text(text)
            with pytest.raises(ValueError, match="session.jsonl is not a"):
                replay(filled(), path)

    def test_one_host_at_a_time_and_the_next_when_it_has_gone(self, new_world):
        with serving(new_world(), speed=60.0, tcp=0) as server:
            address = ("127.0.0.1", server.tcp_port)
            with socket.create_connection(address, timeout=PATIENT_S) as first:
                first.sendall(frame(cat.HELLO, (1, 0)))
                assert first.recv(1)
                with socket.create_connection(address, timeout=PATIENT_S) as second:
                    assert second.recv(10) == b"", "turned away"
            for _ in range(2000):       # the server sees the end when it next looks
                with socket.create_connection(address, timeout=PATIENT_S) as third:
                    with contextlib.suppress(OSError):
                        third.sendall(frame(cat.HELLO, (1, 0)))
                        if third.recv(1):
                            break
            else:
                raise AssertionError("never served again")

    def test_a_port_in_use_is_said_with_its_number(self, new_world):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = taken.getsockname()[1]
            with pytest.raises(OSError, match=f"TCP port {port} on 127.0.0.1 cannot be opened"):
                Server(new_world(), tcp=port)

    @posix
    def test_the_pty_is_raw_and_its_link_comes_and_goes(self, new_world, tmp_path):
        link = tmp_path / "pump0"
        link.symlink_to(tmp_path / "left behind")
        server = Server(new_world(), pty=link)
        import termios
        iflag, oflag, _, lflag = termios.tcgetattr(server._doors._slave)[:4]
        assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG) and not oflag & termios.OPOST and not iflag & termios.ICRNL
        assert link.is_symlink() and stat.S_ISCHR(os.stat(link).st_mode)
        server.close()
        assert not link.exists() and not link.is_symlink()
        link.write_text("a file of yours")
        with pytest.raises(OSError, match="pump0 exists and is not a link"):
            Server(new_world(), pty=link)
        assert link.read_text() == "a file of yours"


# ---------------------------------------------------------------------------------------------------- 1x while a stage is open
STAGE = frame(cat.STAGE, (cat.STOP, 5, 0, b"\1\0\0\0\0"), 5)


class RawHost:
    """A host without a Programmer, for use between two turns of a server: `ask` is a generator that ends when the reply is there."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENT_S)
        self._socket.setblocking(False)
        self._decoder, self._number, self.session, self.reply = Decoder(cat.schema_crc()), 0, None, {}

    def ask(self, message_id, values=()):
        row, payload, out = cat.message(message_id), bytearray(255), bytearray(MAX_FRAME)
        self._number += 1
        channel = self.session.sending if self.session else None
        size = encode(out, row[3], message_id, 0, self._number, payload, pack(row[5], values, payload), cat.schema_crc(), channel=channel)
        self._socket.sendall(out[:size])
        while not self._answered(message_id | cat.REPLY_BIT):
            yield

    def _answered(self, reply_id):
        with contextlib.suppress(BlockingIOError):
            for byte in self._socket.recv(4096):
                if self._decoder.feed(byte) == FRAME and self._decoder.message_id == reply_id:
                    row = cat.message(reply_id)
                    if row[3] >= CLASS_ROUTINE:
                        self.session.receiving.open(self._decoder.body, self._decoder.length, row[3])
                    found = [0] * len(row[5])
                    unpack(row[5], self._decoder.payload(), 0, self._decoder.length, found)
                    self.reply = dict(zip([field[0] for field in row[5]], found))
                    return True
        return False

    def open_session(self):
        shake = HostHandshake(cat.schema_crc(), CLINICIAN, shelf_key(1001, CLINICIAN), bytes(16))
        yield from self.ask(cat.SESSION_OPEN, shake.open_values())
        assert shake.answer(*(self.reply[name] for name in ("device_nonce", "boot_count", "serial", "proof")))
        confirm, session = shake.confirm, shake.session
        self.session = session
        yield from self.ask(cat.SESSION_CONFIRM, (confirm,))

    def close(self):
        self._socket.close()


class TestStage:
    def test_it_opens_with_a_stage_and_closes_with_what_answers_it(self):
        for last in (cat.COMMIT | cat.REPLY_BIT, cat.DISCARD | cat.REPLY_BIT, cat.REFUSED, cat.REFUSED_SEALED):
            watch = StageWatch()
            assert not watch.look(0)
            for byte in STAGE:
                watch.hear("host", bytes([byte]), 0)
            assert watch.look(0)
            watch.hear("pump", frame(cat.STAGE | cat.REPLY_BIT, (5,)), S)
            watch.hear("pump", frame(cat.STATUS | cat.REPLY_BIT, [field[3] if field[1] < 10 else bytes(field[3]) for field in
                                                                  cat.message(cat.STATUS | cat.REPLY_BIT)[5]]), S)
            assert watch.look(S)
            values = [field[3] if field[1] < 10 else bytes(field[3]) for field in cat.message(last)[5]]
            watch.hear("pump", frame(last, values), 2 * S)
            assert not watch.look(2 * S)

    def test_damage_opens_nothing_and_a_stage_that_was_left_ends_with_the_pumps_own(self):
        watch = StageWatch()
        watch.hear("host", STAGE[:9] + bytes([STAGE[9] ^ 1]) + STAGE[10:], 0)
        assert not watch.look(0)
        watch.hear("host", STAGE, S)
        assert watch.look(S + STAGE_LIFE_S * S) and not watch.look(S + STAGE_LIFE_S * S + 1)

    def test_the_server_drops_to_the_speed_of_the_wall_and_back(self, new_world):
        """No thread: the host lives in the server's own `stop` callback."""
        server = Server(new_world(ready=True), speed=500.0, tcp=0)
        host = RawHost(server.tcp_port)
        speeds = []

        def talk():
            yield from host.open_session()
            for message_id, values in ((cat.STAGE, (cat.STOP, 5, 0, b"\1\0\0\0\0")), (cat.STATUS, ()), (cat.DISCARD, ()), (cat.STATUS, ())):
                yield from host.ask(message_id, values)
                speeds.append(server._pacer.speed)

        script = talk()
        try:
            server.run(stop=lambda: next(script, "done") == "done")
        finally:
            host.close()
            server.close()
        assert speeds[1] == 1.0 and speeds[3] == 500.0

    @pytest.mark.req("TH-LINK-08", "TH-PROG-04")
    def test_a_host_that_hangs_up_holds_no_stage(self, new_world):
        server = Server(new_world(ready=True), speed=500.0, tcp=0)
        client = socket.create_connection(("127.0.0.1", server.tcp_port), timeout=PATIENT_S)
        client.sendall(STAGE)
        seen = []

        def host():
            seen.append((server._stage.open, server._doors._client is not None))
            if server._stage.open and len(seen) < 10_000:
                client.close()
            return (True, True) in seen and not server._stage.open

        try:
            server.run(stop=host)
        finally:
            client.close()
            server.close()
        assert seen[-1] == (False, False)


def test_a_live_pump_takes_commands_at_its_control_port_and_the_record_replays(new_world, tmp_path):
    path = tmp_path / "session.jsonl"
    world = new_world(ready=True)
    with serving(world, speed=600.0, tcp=0, control=0) as server:
        assert ask(server.control_port, "fault rotor_stall").startswith("ok rotor_stall at ")
        deadline = time.monotonic() + PATIENT_S
        while "rotor_stall" not in world.fired and time.monotonic() < deadline:
            time.sleep(0.05)
        assert json.loads(ask(server.control_port, "faults")[3:])[0]["fired_s"] > 0
        assert json.loads(ask(server.control_port, "truth lost_steps")[3:]) > 0
        assert ask(server.control_port, "heal rotor_stall") == "ok"
        assert ask(server.control_port, "fault gremlin").startswith("refused: no fault of the plant is called 'gremlin'")
    shelf = new_world()
    with serving(shelf, speed=1000.0, control=0, record=path) as server:
        assert ask(server.control_port, "env field 0.004") == "ok"
    assert replay(new_world(), path)[0] == shelf.recorder.trace_hash
    with pytest.raises(OSError, match="cannot be opened"), contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        Server(new_world(), control=taken.getsockname()[1])


def test_a_record_says_where_it_came_from_and_ends_with_its_hash(new_world, tmp_path):
    path = tmp_path / "session.jsonl"
    world = new_world()
    server = Server(world, speed=1000.0, record=path, header={"scenario": "x", "seed": 1})
    server.run(seconds=5.0)
    server.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[0] == {"schema": "thecal.session/1", "scenario": "x", "seed": 1}
    assert rows[-1] == {"end_us": world.now_us, "trace_hash": world.recorder.trace_hash} and world.now_us == 5 * S


def test_a_seed_or_a_store_of_a_url_is_refused_with_its_bound(tmp_path):
    for seed in ("x", "-1", "1.5", str(2**31), ""):
        with pytest.raises(serial.SerialException, match=f"seed is '{seed}': it must be a whole number, 0 .. 2147483647"):
            open_sim("sim://?runtime=inprocess&seed=" + seed)
    store = tmp_path / "fram.bin"
    store.write_bytes(b"mine")
    with pytest.raises(ValueError, match="fram.bin has 4 bytes: a pump's memory has exactly 262144"):
        open_sim("sim://?runtime=inprocess&store=%s" % store)
    assert store.read_bytes() == b"mine"


def test_a_second_host_is_told_that_the_pump_is_busy(new_world):
    from thecal.host.errors import NoConnection
    from thecal.host.programmer import Programmer
    with serving(new_world(), speed=60.0, tcp=0) as server:
        with socket.create_connection(("127.0.0.1", server.tcp_port), timeout=PATIENT_S) as first:
            first.sendall(frame(cat.HELLO, (1, 0)))
            assert first.recv(1)
            with pytest.raises(NoConnection, match="closed before a byte came: it is busy, another programmer has the pump") as refused:
                Programmer.open("socket://127.0.0.1:%d" % server.tcp_port, timeout_s=PATIENT_S)
            assert refused.value.exit_status == 3
