"""Who may speak: handshakes, roles, idle close, lockout, pairing. Therapy goes its way whatever is said on the line."""

import pytest
from bare_pump import SCHEMA, Bench, block_bytes, events, read, simple_program
from thecal.firmware.access import BYTE_NJ, FIRST_LOCK_S, FREE_FORGERIES, IDLE_S, LONGEST_LOCK_S, OPENS, TAG_NJ
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import CLASS_ROUTINE, MAX_FRAME, MIN_BODY, encode, trailer_bytes
from thecal.protocol.handshake import HostHandshake
from thecal.protocol.session import CLINICIAN, PATIENT, SERVICE, Session, shelf_key, transcript

OWN = bytes(range(32))


@pytest.fixture
def bench():
    made = Bench()
    made.program(500_000)
    return made


def pair(bench, role, key):
    bench.magnet = True
    reply = bench.ask(cat.PAIR, (role, key))
    bench.magnet = False
    return reply


@pytest.mark.req("TH-LINK-03")
def test_a_wrong_key_proves_nothing_to_either_side(bench):
    bench.reboot()
    reply, said = bench.open_session(CLINICIAN, key=b"x" * 32)
    assert reply == cat.SESSION_OPEN | cat.REPLY_BIT and bench.session is None, "the host saw that the pump does not know its key"
    reply, said = bench.ask(cat.SESSION_CONFIRM, (b"y" * 16,))
    assert (reply, said["reason"]) == (cat.REFUSED, cat.R_SESSION)
    assert bench.app.telemetry.access.role == 0 and bench.app.telemetry.access.forgeries == 1


@pytest.mark.req("TH-LINK-04")
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


ORDERS = ((cat.SET_CLOCK, {"time_s": 63_600_000}), (cat.STOP, {"reason": 1}), (cat.PROGRAM, simple_program(600_000)), (cat.ALARM_TEST, {"tone": 1}),
          (cat.PRIME, {"what": 1, "volume_nl": 1000, "rate_nl_day": 24_000_000}), (cat.BOLUS, {"volume_nl": 1000, "seconds": 60}), (cat.PATIENT_BOLUS, {}),
          (cat.SILENCE, {"row": 0, "hours": 1}), (cat.PAUSE, {"minutes": 1}), (cat.CATHETER, {"state": 0}),
          (cat.CALIBRATION, {"on": 1}))


@pytest.mark.req("TH-LINK-04")
@pytest.mark.parametrize("role, allowed", [
    (SERVICE, {cat.SET_CLOCK, cat.ALARM_TEST}), (PATIENT, {cat.PATIENT_BOLUS}), (CLINICIAN, {kind for kind, _ in ORDERS} - {cat.PATIENT_BOLUS})])
def test_service_orders_nothing_that_a_patient_feels_and_a_patient_only_the_own_bolus(bench, role, allowed):
    for kind, values in ORDERS:
        bench.open_session(role)
        assert (bench.order(kind, values).get("reason") == cat.R_ROLE) == (kind not in allowed), kind
        if bench.app.mode == 3:
            bench.role = CLINICIAN
            bench.session = None
            bench.resume()


@pytest.mark.req("TH-LINK-06", "TH-PROG-04")
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


@pytest.mark.req("TH-LINK-07")
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


@pytest.mark.req("TH-LINK-05")
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


@pytest.mark.req("TH-LINK-03")
def test_nonces_never_repeat_across_resets_even_with_poor_chance(bench):
    seen = set()
    for _ in range(5):
        for number in range(5):
            said = bench.ask(cat.SESSION_OPEN, (CLINICIAN, bytes((number,)) * 16))[1]
            seen.add(bytes(said["device_nonce"]))
        bench.reboot()
    assert len(seen) == 25
    assert bench.ask(cat.SESSION_OPEN, (CLINICIAN, b"z" * 16)) == bench.ask(cat.SESSION_OPEN, (CLINICIAN, b"z" * 16)), "a repeat gets the same answer"


@pytest.mark.req("TH-LINK-03")
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


@pytest.mark.req("TH-LINK-06")
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


# ---------------------------------------------------------------------------------------------------- handshakes, one in the way of another
def challenge(bench, number, role=CLINICIAN, key=None):
    """Ask for a session with a nonce of its own; the host's half, ready to confirm."""
    shake = HostHandshake(SCHEMA, role, shelf_key(1001, role) if key is None else key, b"n" * 15 + bytes((number,)))
    said = bench.ask(cat.SESSION_OPEN, shake.open_values())[1]
    shake.proved = shake.answer(said["device_nonce"], said["boot_count"], said["serial"], said["proof"])
    return shake


def confirm(bench, shake):
    """The role of the session that this proof opens, 0 for none."""
    bench.session = shake.session
    reply, _ = bench.ask(cat.SESSION_CONFIRM, (shake.confirm,))
    if reply == cat.REFUSED:
        bench.session = None
    return bench.app.telemetry.access.role if reply != cat.REFUSED else 0


def test_an_honest_proof_counts_although_somebody_else_asked_in_between(bench):
    access = bench.app.telemetry.access
    for number in range(3 * FREE_FORGERIES):
        honest = challenge(bench, 2 * number)
        challenge(bench, 2 * number + 1)
        assert confirm(bench, honest) == CLINICIAN
        assert bench.status()["mode"] == 2
    assert access.forgeries == 0 and access.locked_s() == 0


def test_a_repeated_question_gets_its_answer_although_somebody_else_asked_in_between(bench):
    first = bench.ask(cat.SESSION_OPEN, (CLINICIAN, b"1" * 16))
    second = bench.ask(cat.SESSION_OPEN, (SERVICE, b"1" * 16))
    assert bench.ask(cat.SESSION_OPEN, (CLINICIAN, b"1" * 16)) == first and bench.ask(cat.SESSION_OPEN, (SERVICE, b"1" * 16)) == second


def test_two_handshakes_are_kept_and_no_more_and_one_session_ends_both(bench):
    access = bench.app.telemetry.access
    oldest, older, newest = challenge(bench, 1), challenge(bench, 2, SERVICE), challenge(bench, 3)
    assert confirm(bench, oldest) == 0 and access.forgeries == 1
    assert confirm(bench, older) == SERVICE, "each under its own role's key"
    assert confirm(bench, newest) == 0 and access.forgeries == 1, "no handshake is left: nothing to guess at, nothing to count"
    assert access.role == SERVICE, "and the open session stands"


def test_handshakes_are_rationed_and_no_forgery_is_made_of_it(bench):
    access = bench.app.telemetry.access
    answers = [bench.ask(cat.SESSION_OPEN, (CLINICIAN, number.to_bytes(16, "little")))[1] for number in range(2 * OPENS)]
    assert [said.get("reason") for said in answers] == [None] * OPENS + [cat.R_LOCKED] * OPENS and answers[-1]["value"] == 1
    bench.run_s(3)
    answers = [bench.ask(cat.SESSION_OPEN, (CLINICIAN, number.to_bytes(16, "big")))[1] for number in range(1, 6)]
    assert [said.get("reason") for said in answers] == [None] * 3 + [cat.R_LOCKED] * 2, "one a second"
    assert access.forgeries == 0 and not events(bench, cat.E_LOCKED)
    bench.run_s(1)
    assert confirm(bench, challenge(bench, 200)) == CLINICIAN
    assert all("reason" not in bench.ask(cat.SESSION_OPEN, (CLINICIAN, b"again" + bytes(10) + bytes((number,))))[1] for number in range(OPENS))


# ---------------------------------------------------------------------------------------------------- who gave an order
def codes(bench):
    """Codes of all events, oldest first."""
    log = bench.app.events
    data = log.read(log.first_byte(), log.end_byte() - log.first_byte())
    return [data[at + 8] for at in range(0, len(data), cat.EVENT_BYTES)]


def test_reading_writes_nothing_and_every_session_is_named_before_its_first_order():
    bench = Bench()
    head = bench.app.events.head
    for _ in range(5):
        bench.open_session(CLINICIAN)
        bench.status()
    bench.open_session(PATIENT)
    assert bench.app.events.head == head, "a visit that only reads costs no flash write"
    bench.open_session(CLINICIAN)
    bench.program(500_000)
    bench.stop()
    bench.open_session(SERVICE)
    bench.must(cat.SET_CLOCK, {"time_s": bench.app.now_s + 60})
    bench.open_session(CLINICIAN)
    bench.resume()
    assert [code for code in codes(bench)[head:] if code not in (cat.E_ALARM, cat.E_ALARM_END)] == [
        cat.E_SESSION, cat.E_PROGRAM, cat.E_STOP, cat.E_SESSION, cat.E_SET_CLOCK, cat.E_SESSION, cat.E_RESUME]
    assert [row[0] for row in events(bench, cat.E_SESSION)][-3:] == [CLINICIAN, SERVICE, CLINICIAN]


@pytest.mark.req("TH-BAD-04")
def test_a_refused_order_is_on_record_with_whose_it_was_once_however_often_it_is_asked(bench):
    bench.open_session(CLINICIAN)
    named = len(events(bench, cat.E_SESSION))
    data = block_bytes(cat.RESUME, {"order_id": 78})
    for _ in range(3):
        bench.stage(cat.RESUME, data)
        assert bench.ask(cat.CHECK)[1]["reason"] == cat.R_STATE
    assert events(bench, cat.E_REFUSED) == [(cat.R_STATE, cat.RESUME, 0)] and len(events(bench, cat.E_SESSION)) == named + 1
    bolus = block_bytes(cat.BOLUS, {"order_id": 79, "volume_nl": 200, "seconds": 60})
    bench.stage(cat.BOLUS, bolus[:4] + bytes((199, 0, 0, 0)) + bolus[8:])
    assert bench.ask(cat.CHECK)[1]["reason"] == cat.R_BAD_FIELD, "no order: below what the catalogue allows"
    bench.stage(cat.STOP, block_bytes(cat.STOP, {"order_id": 80, "reason": 1}))
    digest = bench.ask(cat.CHECK)[1]["digest"]
    bench.run_s(301)
    assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_EXPIRED
    assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_NOT_STAGED
    assert events(bench, cat.E_REFUSED)[1:] == [(cat.R_BAD_FIELD, cat.BOLUS, 0), (cat.R_EXPIRED, cat.STOP, 0), (cat.R_NOT_STAGED, 0, 0)]


@pytest.mark.req("TH-BAD-04")
def test_nobody_else_can_fill_the_log_with_what_is_no_order(bench):
    for role in (SERVICE, PATIENT):
        bench.open_session(role)
        for order in range(20):
            bench.stage(cat.STOP, block_bytes(cat.STOP, {"order_id": 100 + order, "reason": 1}))
            assert bench.ask(cat.CHECK)[1]["reason"] == cat.R_ROLE
            assert bench.ask(cat.COMMIT, (bytes(8),))[1]["reason"] == cat.R_NOT_STAGED
    assert events(bench, cat.E_REFUSED) == []


def test_an_order_names_its_session_and_a_repeated_one_not_again(bench):
    bench.open_session(CLINICIAN)
    named = len(events(bench, cat.E_SESSION))
    data = block_bytes(cat.STOP, {"order_id": 77, "reason": 1})
    bench.stage(cat.STOP, data)
    stopping = bench.ask(cat.CHECK)[1]["digest"]
    assert bench.ask(cat.COMMIT, (stopping,))[1]["again"] == 0
    bench.open_session(CLINICIAN)
    assert bench.ask(cat.COMMIT, (stopping,))[1]["again"] == 1
    assert len(events(bench, cat.E_SESSION)) == named + 1


# ---------------------------------------------------------------------------------------------------- what it costs
LINE_BYTES_S = 11_520
SHORTEST_SEALED = MIN_BODY + trailer_bytes(CLASS_ROUTINE) + 2
WORST_MJ_HOUR = 3600 * (2 * LINE_BYTES_S * BYTE_NJ + LINE_BYTES_S // SHORTEST_SEALED * TAG_NJ) // 1_000_000
CELL_MJ = 22_000_000        # hw_sim/params/battery-reference.toml


def line(message_id, payload, message_class=0, channel=None):
    """One frame as bytes."""
    out = bytearray(MAX_FRAME)
    size = encode(out, message_class, message_id, 0, 1, payload, len(payload), SCHEMA, channel=channel)
    return bytes(out[:size])


def floods():
    """name -> frames to send again and again, as fast as the line takes them."""
    said = transcript(SCHEMA, CLINICIAN, 1001, 1, bytes(16), bytes(16))
    channel = Session(CLINICIAN, b"?" * 32, said, True).sending
    return {
        "forged": [line(cat.STATUS, b"", CLASS_ROUTINE, channel) for _ in range(50)],
        "opens": [line(cat.SESSION_OPEN, bytes((1,)) + number.to_bytes(16, "little")) for number in range(50)],
        "proofs": [line(cat.SESSION_OPEN, bytes((1,)) + number.to_bytes(16, "little")) + line(cat.SESSION_CONFIRM, bytes((number,)) * 16)
                   for number in range(50)],
        "hello": [line(cat.HELLO, bytes(5))],
        "identity": [line(cat.IDENTITY, b"")],
        "noise": [bytes((number % 255 + 1,)) * 200 for number in range(50)],
    }


def trickled(bench, frames, seconds):
    """`frames` round and round at the line's rate; the instants of the motor's orders, in steps of 20 ms.

    Answers leave at the line's rate too: as long as some are waiting, what comes is lost to overrun.
    """
    stream, at, seen, waiting = b"".join(frames) * 20, 0, [], 0
    count = LINE_BYTES_S // 50
    for tick in range(seconds * 50):
        before = bench.orders
        bench.run(20)
        waiting = max(0, waiting - count)
        if stream and not waiting:
            bench.send_raw((stream[at:] + stream)[:count])
            waiting = bench.latch.tx_length
        at += count
        at %= len(stream) or 1
        if bench.orders > before:
            seen.append(tick)
    return seen


@pytest.mark.parametrize("kind", floods())
def test_a_flood_costs_a_bounded_energy_that_the_status_tells_and_therapy_keeps_its_timing(kind):
    seconds = 10
    quiet, loud = Bench(), Bench()
    for one in (quiet, loud):
        one.program(24_000_000)
        one.status()
    before_mj = loud.status()["wasted_mj"]
    assert trickled(loud, floods()[kind], seconds) == trickled(quiet, [], seconds) != []
    spent_mj = loud.app.settings.wasted_mj - before_mj
    received_mj = seconds * LINE_BYTES_S * BYTE_NJ // 1_000_000
    assert received_mj // 2 <= spent_mj <= WORST_MJ_HOUR * seconds // 3600 + 2
    loud.send_raw(bytes(1))
    assert loud.status()["wasted_mj"] >= before_mj + spent_mj and quiet.status()["wasted_mj"] == before_mj
    assert loud.status()["running_digest"] == quiet.status()["running_digest"]


def test_an_hour_of_the_worst_flood_is_what_the_page_says():
    assert WORST_MJ_HOUR == pytest.approx(87_000, rel=0.01) and WORST_MJ_HOUR / CELL_MJ == pytest.approx(0.004, rel=0.03)
    assert CELL_MJ / WORST_MJ_HOUR / 24 == pytest.approx(10, rel=0.06)


def test_an_honest_visit_costs_next_to_nothing_and_sealed_words_nothing(bench):
    access = bench.app.telemetry.access

    def spent_nj():
        return bench.app.settings.wasted_mj * 1_000_000 + access._spent_nj

    bench.session = None
    before = spent_nj()
    bench.open_session(CLINICIAN)
    opened = spent_nj()
    assert 150_000 < opened - before < 250_000
    for _ in range(10):
        bench.status()
    assert spent_nj() == opened


def test_the_count_survives_resets_and_stays_at_its_top(bench):
    bench.app.telemetry.access.spend(0, 4000)
    bench.stop()
    kept_mj = bench.app.settings.wasted_mj
    bench.reboot()
    assert kept_mj >= 10 and bench.status()["wasted_mj"] == kept_mj
    bench.app.settings.wasted_mj = next(row[4] for row in cat.message(cat.STATUS | cat.REPLY_BIT)[5] if row[0] == "wasted_mj")
    bench.app.telemetry.access.spend(0, 1000)
    assert bench.status()["wasted_mj"] == (1 << 30) - 1


def test_a_locked_pump_computes_nothing_for_a_handshake(bench):
    bench.status()
    for number in range(FREE_FORGERIES):
        forged(bench, number)
    access = bench.app.telemetry.access
    booked = []
    access.spend = lambda count, tags: booked.append(tags)
    for number in range(20):
        assert bench.ask(cat.SESSION_OPEN, (CLINICIAN, bytes(15) + bytes((number,))))[1]["reason"] == cat.R_LOCKED
        assert bench.ask(cat.SESSION_CONFIRM, (bytes(16),))[1]["reason"] == cat.R_LOCKED
    assert sum(booked) == 0 and len(booked) == 40
