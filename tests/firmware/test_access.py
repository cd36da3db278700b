"""Who may speak: handshakes, roles, idle close, lockout, pairing. Therapy goes its way whatever is said on the line."""

import pytest
from bare_pump import SCHEMA, Bench, block_bytes, read, simple_program
from thecal.firmware.access import FIRST_LOCK_S, FREE_FORGERIES, IDLE_S, LONGEST_LOCK_S
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import CLASS_ROUTINE, MAX_FRAME, encode
from thecal.protocol.session import CLINICIAN, PATIENT, SERVICE, Session, shelf_key, transcript

OWN = bytes(range(32))


@pytest.fixture
def bench():
    made = Bench()
    made.program(500_000)
    return made


def events(bench, code):
    """(cause, a, b) of every event of a code."""
    log, found = bench.app.events, []
    data = log.read(log.first_byte(), log.end_byte() - log.first_byte())
    for at in range(0, len(data), cat.EVENT_BYTES):
        if data[at + 8] == code:
            found.append((data[at + 9], int.from_bytes(data[at + 10:at + 14], "little", signed=True),
                          int.from_bytes(data[at + 14:at + 18], "little", signed=True)))
    return found


def pair(bench, role, key):
    bench.magnet = True
    reply = bench.ask(cat.PAIR, (role, key))
    bench.magnet = False
    return reply


def test_a_wrong_key_proves_nothing_to_either_side(bench):
    bench.reboot()
    reply, said = bench.open_session(CLINICIAN, key=b"x" * 32)
    assert reply == cat.SESSION_OPEN | cat.REPLY_BIT and bench.session is None, "the host saw that the pump does not know its key"
    reply, said = bench.ask(cat.SESSION_CONFIRM, (b"y" * 16,))
    assert (reply, said["reason"]) == (cat.REFUSED, cat.R_SESSION)
    assert bench.app.telemetry.access.role == 0 and bench.app.telemetry.access.forgeries == 1


def test_roles_are_what_the_catalogue_says(bench):
    for role, allowed in ((CLINICIAN, cat.F_CLINICIAN), (SERVICE, cat.F_SERVICE), (PATIENT, cat.F_PATIENT)):
        for row in cat.MESSAGES:
            if row[2] != cat.REQUEST or not row[4] & cat.F_ALL or row[0] == cat.SESSION_CLOSE:
                continue
            bench.open_session(role)
            values = [field[3] if field[1] < 10 else bytes(field[3]) for field in row[5]]
            reply, said = bench.ask(row[0], values)
            refused = reply == cat.REFUSED and said["reason"] == cat.R_ROLE
            assert refused == (not row[4] & allowed), (role, row[1])


@pytest.mark.parametrize("kind, values, allowed", [
    (cat.SET_CLOCK, {"time_s": 63_600_000}, True), (cat.STOP, {"reason": 1}, False), (cat.PROGRAM, simple_program(600_000), False),
    (cat.PRIME, {"volume_nl": 1000, "rate_nl_day": 24_000_000}, False)])
def test_service_orders_nothing_that_a_patient_feels(bench, kind, values, allowed):
    bench.open_session(SERVICE)
    assert (bench.order(kind, values).get("reason") == cat.R_ROLE) == (not allowed)


def test_a_session_ends_idle_and_takes_its_stage_along_and_nothing_else(bench):
    bench.stage(cat.STOP, block_bytes(cat.STOP, {"order_id": 9, "reason": 1}))
    assert bench.ask(cat.CHECK)[0] == cat.CHECK | cat.REPLY_BIT
    pulses = bench.orders
    bench.run_s(IDLE_S + 300)
    assert bench.app.telemetry.access.role == 0 and bench.app.telemetry.stage.kind == 0
    assert bench.orders > pulses
    assert bench.status()["mode"] == 2, "and a new session opens"


def test_session_close_answers_and_then_is_closed(bench):
    bench.status()
    assert bench.ask(cat.SESSION_CLOSE)[0] == cat.SESSION_CLOSE | cat.REPLY_BIT
    assert bench.app.telemetry.access.role == 0


def test_asking_for_a_session_does_not_end_the_one_that_is_open(bench):
    bench.status()
    for number in range(20):
        bench.ask(cat.SESSION_OPEN, (CLINICIAN, bytes((number,)) * 16))
    session = bench.session
    assert bench.status()["mode"] == 2
    assert bench.session is session


def test_a_second_host_takes_over_only_with_the_key(bench):
    bench.status()
    first = bench.session
    assert bench.open_session(CLINICIAN)[0] == cat.SESSION_CONFIRM | cat.REPLY_BIT
    assert bench.session is not first and bench.status()["mode"] == 2
    bench.session = first
    came = bench.send(cat.STATUS, b"")
    assert read(came[0][1], came[0][3])["reason"] == cat.R_SESSION, "the first is told that its session is gone"


def forged(bench, number):
    """A status request sealed under keys that nobody agreed on."""
    said = transcript(SCHEMA, CLINICIAN, 1001, 1, bytes(16), number.to_bytes(16, "little"))
    out = bytearray(MAX_FRAME)
    size = encode(out, CLASS_ROUTINE, cat.STATUS, 0, number % 255 + 1, b"", 0, SCHEMA, channel=Session(CLINICIAN, b"?" * 32, said, True).sending)
    came = bench.send_raw(bytes(out[:size]))
    assert len(came) == 1 and came[0][1] == cat.REFUSED
    return read(came[0][1], came[0][3])


def test_forgeries_lock_writes_for_longer_each_time_and_nothing_else(bench):
    bench.status()
    lock_s = FIRST_LOCK_S
    for round_number in range(8):
        pulses, before_s = bench.orders, bench.app.uptime_s
        for number in range(FREE_FORGERIES):
            reason = forged(bench, round_number * 100 + number)["reason"]
        assert reason == cat.R_LOCKED
        assert events(bench, cat.E_LOCKED)[-1][2] == lock_s
        assert bench.ask(cat.SESSION_OPEN, (CLINICIAN, bytes(16)))[1]["reason"] == cat.R_LOCKED
        assert bench.ask(cat.STAGE, (cat.STOP, 5, 0, bytes(5)))[1]["reason"] == cat.R_LOCKED
        status = bench.status()
        assert status["locked_s"] == lock_s and status["mode"] == 2, "reads of the open session go on"
        for _ in range(lock_s // 300 + 1):
            bench.run_s(min(300, lock_s))
            bench.status()
        assert bench.orders - pulses == pytest.approx((bench.app.uptime_s - before_s) / 172.8, abs=1.01), "delivery as if nothing happened"
        assert bench.ask(cat.STAGE, (cat.STOP, 5, 0, bytes(5)))[0] == cat.STAGE | cat.REPLY_BIT
        lock_s = min(LONGEST_LOCK_S, 2 * lock_s)
    assert bench.status()["forgeries"] == 8 * FREE_FORGERIES


def test_pairing_needs_the_magnet_and_ends_the_shelf_key(bench):
    assert bench.ask(cat.PAIR, (CLINICIAN, OWN))[1]["reason"] == cat.R_MAGNET
    bench.status()
    assert pair(bench, CLINICIAN, OWN)[1] == {"role": CLINICIAN, "paired": 1}
    assert bench.app.telemetry.access.role == 0, "a session of the old key is over"
    bench.open_session(CLINICIAN)
    assert bench.session is None, "the shelf key is no longer the pump's"
    bench.open_session(CLINICIAN, key=OWN)
    assert bench.status()["mode"] == 2
    bench.reboot()
    bench.open_session(CLINICIAN, key=OWN)
    assert bench.status()["mode"] == 2
    bench.open_session(SERVICE)
    assert bench.session is not None, "other roles keep theirs"
    assert events(bench, cat.E_PAIR) == [(CLINICIAN, 0, 0)]


def test_pairing_at_the_pump_lifts_a_lockout(bench):
    bench.status()
    for number in range(FREE_FORGERIES):
        forged(bench, number)
    assert pair(bench, CLINICIAN, OWN)[0] == cat.PAIR | cat.REPLY_BIT
    assert bench.open_session(CLINICIAN, key=OWN)[0] == cat.SESSION_CONFIRM | cat.REPLY_BIT


def test_nonces_never_repeat_across_resets_even_with_poor_chance(bench):
    seen = set()
    for _ in range(5):
        for number in range(5):
            said = bench.ask(cat.SESSION_OPEN, (CLINICIAN, bytes((number,)) * 16))[1]
            seen.add(bytes(said["device_nonce"]))
        bench.reboot()
    assert len(seen) == 25
    assert bench.ask(cat.SESSION_OPEN, (CLINICIAN, b"z" * 16)) == bench.ask(cat.SESSION_OPEN, (CLINICIAN, b"z" * 16)), "a repeat gets the same answer"


def test_a_recorded_session_is_worth_nothing_later(bench):
    """Replay of a whole handshake and its orders, in the same boot and after a reset: nothing is executed."""
    recorded = []
    plain = bench.send_raw
    bench.send_raw = lambda data: recorded.append(data) or plain(data)
    bench.open_session(CLINICIAN)
    bench.stop()
    bench.send_raw = plain
    bench.resume()
    for reset in (False, True):
        if reset:
            bench.reboot()
        for data in recorded:
            bench.send_raw(data)
        assert bench.app.settings.stopped == 0
    assert shelf_key(1001, CLINICIAN) not in b"".join(recorded)


def test_a_flood_while_locked_fills_no_log(bench):
    bench.status()
    for number in range(FREE_FORGERIES):
        forged(bench, number)
    head = bench.app.events.head
    for number in range(200):
        forged(bench, 1000 + number)
    assert bench.app.events.head == head
    assert bench.status()["forgeries"] == FREE_FORGERIES + 200


def test_what_anyone_may_say_keeps_nobodys_session_open(bench):
    bench.status()
    for _ in range(IDLE_S // 60 + 1):
        bench.run_s(60)
        bench.ask(cat.ALARMS)
    assert bench.app.telemetry.access.role == 0


def test_live_telemetry_ends_with_the_session_that_asked(bench):
    bench.ask(cat.LIVE, (60,))
    bench.open_session(PATIENT)
    bench.run_s(300)
    assert not bench.pushed
