"""The programmer: stage, read-back, commit; nothing done twice, nothing done that was not read back."""

import pytest
from fake_pump import FakeClock, FakePump, day, event

from thecal.host import Fill, Implant, Prescription, ordering, programmer
from thecal.host.blocks import program_block, read_program, unpack
from thecal.host.errors import KeyProblem, NoConnection, ProtocolProblem, PumpRefused, RequestInvalid, SessionLost, Timeout, UsageProblem, WrongPump
from thecal.host.keystore import Key, Keystore
from thecal.host.limits import Baseline
from thecal.host.raw import TapPort
from thecal.host.programmer import Programmer
from thecal.protocol import catalogue as cat
from thecal.protocol.session import CLINICIAN, SERVICE, shelf_key

START = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")
MORE = Prescription.simple("baclofen", concentration="500 ug/mL", dose="180 ug/day")


def test_reading_the_pump(pump, fake):
    fake.events = [event(0, 5, cat.E_BOOT, 1, 1), event(1, 6, cat.E_STOP)]
    fake.first_day, fake.days = 735, [day(735, 10), day(736, 20)]
    fake.status_fields = {"alarms": 1 << 18}
    identity = pump.identity()
    assert (identity.serial, identity.firmware_version, identity.runtime, identity.boot_count) == (1001, "1.2", "fake", 3)
    assert pump.status().mode == "running"
    assert [alarm.row for alarm in pump.alarms()] == [19]
    assert [e.name for e in pump.log()] == ["boot", "stopped"]
    assert [e.seq for e in pump.log(since=1)] == [1] and pump.log(since=50) == []
    assert [d.day for d in pump.history()] == [735, 736]
    assert pump.implant() is None and pump.program_running() is None


def test_a_log_whose_beginning_was_overwritten(pump, fake):
    fake.first_event, fake.events = 500, [event(500 + n, n, cat.E_BOOT) for n in range(30)]
    assert [e.seq for e in pump.log()] == list(range(500, 530))
    assert [e.seq for e in pump.log(since=520)] == list(range(520, 530))


@pytest.mark.req("TH-PROG-01")
def test_a_program_is_staged_read_back_and_committed(pump, fake):
    done = pump.program(START)
    assert read_program(fake.program).patterns == START.patterns
    assert done.program == START and not done.again and done.running_digest == done.digest
    assert pump.program_running().dose_text() == "baclofen 150 ug/day"
    row = done.to_dict()
    assert row["program"]["drugs"][0]["daily_dose"] == "150 ug/day" and row["digest"] == done.digest


def test_a_program_of_many_chunks(pump, fake):
    steps = [{"from": "%02d:00" % hour, "dose": "%d ug/h" % (5 + hour % 3)} for hour in range(13)]
    week = {name: steps[: 13 - number] for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat"))}
    big = Prescription.flex("baclofen", concentration="500 ug/mL", steps=steps[:7], weekdays=week)
    pump.program(big)
    assert len(fake.program) > 2 * ordering.STAGE_CHUNK
    assert pump.program_running().patterns == big.patterns


def test_the_review_is_what_a_clinician_signs(pump, fake):
    pump.program(START)
    fake.clock.sleep(86_400)
    seen = []
    pump.program(MORE, confirm=lambda review: not seen.append(review))
    assert seen[0].current.dose_text() == "baclofen 150 ug/day" and seen[0].pending == MORE and seen[0].warnings == []
    assert len(fake.orders) == 2


@pytest.mark.req("TH-PROG-06")
def test_no_confirmation_no_change(pump, fake):
    for confirm in (False, lambda review: False):
        with pytest.raises(RequestInvalid, match="not confirmed; the pump keeps its program"):
            pump.program(START, confirm=confirm)
    assert fake.orders == [] and fake.checked == b"", "what was staged is discarded"


@pytest.mark.req("TH-PROG-05")
def test_a_hard_limit_stops_before_anything_is_sent(pump, fake):
    pump.program(START)
    with pytest.raises(RequestInvalid, match="hard limit"):
        pump.program(Prescription.simple("baclofen", concentration="2000 ug/mL", dose="2100 ug/day"))
    assert len(fake.orders) == 1 and fake.kind == cat.PROGRAM


def test_the_baseline_comes_from_the_pump(pump, fake):
    pump.program(START)
    fake.clock.sleep(3600)
    with pytest.raises(RequestInvalid, match="last change of baclofen was 1 h ago.*give a reason to override"):
        pump.program(MORE)
    assert "1 h" in pump.program(MORE, override="emergency").warnings[0]
    with pytest.raises(RequestInvalid, match="starting dose"):
        pump.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="230 ug/day"), baseline=Baseline())


def test_the_day_of_therapy_comes_from_the_history():
    def zic(dose):
        return Prescription.simple("ziconotide", concentration="25 ug/mL", dose=dose)

    for first_day, refused in ((735 - 16, True), (735 - 24, False)):
        fake = FakePump(FakeClock())
        fake.program = program_block(zic("16.8 ug/day"), 1)
        fake.first_day, fake.days = first_day - 1, [day(first_day - 1, 0), day(first_day, 5)]
        pump = Programmer(fake)
        if refused:
            with pytest.raises(RequestInvalid, match="this is day 16"):
                pump.program(zic("19.2 ug/day"), override="clinical judgement")
        else:
            assert pump.program(zic("19.2 ug/day"), override="clinical judgement").program is not None


@pytest.mark.req("TH-PROG-01")
@pytest.mark.parametrize("knob, words", [("readback", "read-back of the program block"), ("digest_of_staged", "digest of the program block")])
def test_a_pump_that_reads_back_something_else_commits_nothing(pump, fake, knob, words):
    setattr(fake, knob, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ProtocolProblem, match=words):
        pump.program(START)
    assert fake.orders == []


def test_a_refused_block_names_the_blocks_own_field(pump, fake):
    index = [row[0] for row in cat.block(cat.PROGRAM)].index("fallback_nl_day")
    fake.refuse[cat.CHECK] = (cat.R_LIMIT, index, 150_000)
    with pytest.raises(PumpRefused, match=r"the pump refused check: outside the pump's limits \(fallback_nl_day, value 150000\)") as caught:
        pump.program(START)
    assert (caught.value.code, caught.value.field) == (cat.R_LIMIT, "fallback_nl_day")


@pytest.mark.req("TH-LINK-01")
@pytest.mark.parametrize("after", [cat.STAGE, cat.CHECK, cat.COMMIT])
def test_a_pump_reset_in_between_does_the_order_once(pump, fake, after):
    fake.reset_after = after
    pump.program(START)
    assert len(fake.orders) == 1


@pytest.mark.req("TH-LINK-01")
def test_nothing_is_done_twice_on_a_bad_line():
    again = 0
    for seed in range(12):
        fake = FakePump(FakeClock())
        pump = Programmer(fake, timeout_s=120.0)
        fake._dice.seed(seed)
        fake.loss = 0.2
        pump.program(START)
        pump.stop()
        pump.resume()
        assert [kind for kind, _ in fake.orders] == [cat.PROGRAM, cat.STOP, cat.RESUME]
        again += fake._responder.repeats
    assert again > 0, "the line was bad enough to need the pump's kept reply"


def test_two_equal_orders_are_two_orders(pump, fake):
    fill = Fill("18.6 mL", "baclofen", "500 ug/mL")
    assert not pump.refill(fill).again and not pump.refill(fill).again
    assert len({block for _, block in fake.orders}) == 2


def test_the_same_pump_and_script_give_the_same_bytes():
    def script():
        fake = FakePump(FakeClock())
        pump = Programmer(fake)
        pump.commission(Implant())
        pump.program(START)
        return fake.orders
    assert script() == script()


def test_the_other_orders(pump, fake):
    pump.commission(Implant.reference(77))
    assert pump.implant().serial == 77
    pump.prime()
    assert unpack(cat.PRIME, fake.orders[-1][1])["volume_nl"] == 375_000
    pump.set_clock(63_600_000)
    assert pump.status().time_s == 63_600_000
    pump.stop("mri")
    assert pump.status().mode == "stopped" and fake.orders[-1][1][-1] == 3
    assert pump.resume().kind == "resume"
    assert pump.refill(Fill("18.6 mL", "baclofen", "700 ug/mL")).warnings
    with pytest.raises(RequestInvalid, match="above the starting dose"):
        pump.refill(Fill("18.6 mL", "sufentanil", "5000 ug/mL"))
    with pytest.raises(RequestInvalid, match="stop reason"):
        pump.stop("boredom")
    with pytest.raises(RequestInvalid, match="prime of 2 mL is more than tubing and catheter holds: 0.375 mL"):
        pump.prime("both", "2 mL")


def test_watching(pump, fake):
    frames = pump.watch(60)
    first, second = next(frames), next(frames)
    assert second.time_s - first.time_s == 60 and pump.telemetry_gaps == 0
    frames.close()
    assert fake.live_s == 0, "the pump is told to stop pushing"
    frames = pump.watch(60)
    next(frames)
    fake.live_s = 0
    with pytest.raises(Timeout, match="no telemetry for 185 s"):
        next(frames)


def test_waiting_follows_the_pumps_clock(pump, fake):
    before = fake.time_s
    status = pump.wait(days=1, hours=2, minutes=3, seconds=4)
    assert status.time_s == before + 86_400 + 7384
    assert len(fake.clock.sleeps) == 1, "virtual time is slept through in one go"


def test_opening_and_closing(monkeypatch, fake):
    monkeypatch.setattr(programmer, "open_port", lambda url: fake)
    with Programmer.open("toy://", timeout_s=2.0) as pump:
        assert pump.port is fake and pump.clock is fake.clock
        assert pump.status().mode == "running"
    assert fake.closed
    mute = FakePump(FakeClock())
    mute.mute = True
    monkeypatch.setattr(programmer, "open_port", lambda url: mute)
    with pytest.raises(Timeout, match="the pump on toy:// did not answer within 2 s"):
        Programmer.open("toy://", timeout_s=2.0)
    assert mute.closed, "a port that was opened in vain is closed"
    with pytest.raises(UsageProblem, match="above 0"):
        Programmer(fake, timeout_s=0)


def test_the_whole_line_on_the_real_firmware():
    """From a prescription to pulses: the same calls on the in-process firmware in virtual time."""
    with Programmer.open("sim://?runtime=inprocess") as pump:
        pump.commission(Implant())
        pump.port.world.plant.fill(18_600.0, {"baclofen": 500.0})
        pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
        pump.prime("both")
        done = pump.program(START)
        status = pump.wait(days=2)
        assert (status.mode, status.running_digest, status.alarms) == ("running", done.digest, [])
        assert abs(status.demanded_nl - status.ordered_nl) < status.pulse_nl
        assert 970_000 <= status.demanded_nl <= 976_000, "0.375 mL of prime and two days at 0.3 mL less the 22.5 min of priming"
        orders = [event.name for event in pump.log() if event.name in ("boot", "commissioned", "refill", "prime started", "program committed")]
        assert orders[:5] == ["boot", "commissioned", "refill", "prime started", "program committed"]
        assert len(pump.history()) == 2
        with pytest.raises(PumpRefused, match="not in this mode: it is running"):
            pump.resume()


def test_a_port_that_goes_away_in_mid_command(pump, fake):
    pump.status()
    fake.gone = OSError("unplugged")
    with pytest.raises(NoConnection, match="went away in the middle of a command: unplugged"):
        pump.program(START)


# ---------------------------------------------------------------------------------------------------- sessions and keys
@pytest.mark.parametrize("what, words", [("reset_before_reply", None), ("forge", None), ("lose_reply", None)])
def test_a_commit_whose_reply_never_came_is_answered_from_the_store(fake, what, words):
    fake.keys[CLINICIAN] = b"k" * 32
    keys = Keystore.memory()
    keys.settle(1001, CLINICIAN, Key(b"k" * 32))
    pump = Programmer(fake, keys=keys)
    pump.status()
    setattr(fake, what, {cat.COMMIT: cat.R_SESSION} if what == "forge" else cat.COMMIT)
    done = pump.program(START)
    assert [kind for kind, _ in fake.orders] == [cat.PROGRAM] and done.running_digest == done.digest
    assert done.again is (what != "lose_reply"), "the kept reply within a session, the store behind a new one"


def test_a_commit_that_was_not_executed_is_staged_anew_with_the_same_bytes(fake):
    pump, staged = Programmer(fake), []
    on_stage, on_commit = fake._on_stage, fake._on_commit

    def refused_once(digest):
        fake._on_commit = on_commit
        fake.end_session()
        fake._sealed = False
        return fake._refused(cat.COMMIT, cat.R_SESSION)
    fake._on_commit = refused_once
    fake._on_stage = lambda *values: staged.append(bytes(values[3])) or on_stage(*values)
    pump.stop()
    assert len(fake.orders) == 1 and len(staged) == 2 and staged[0] == staged[1]


@pytest.mark.req("TH-LINK-01")
def test_a_commit_of_unknown_outcome_says_so(fake):
    pump = Programmer(fake, timeout_s=2.0)
    pump.status()
    fake.on_served = lambda message: setattr(fake, "mute", message == cat.COMMIT)
    write = fake._write
    fake._write = lambda buffer, length: None if fake.mute else write(buffer, length)
    with pytest.raises(Timeout, match="whether the pump executed the stop order is not known: look at its status and log before giving it again"):
        pump.stop()
    assert len(fake.orders) == 1
    fake.mute, fake.on_served = False, lambda message: None
    assert pump.status().mode == "stopped"


def test_a_session_taken_at_the_commit_says_so_too(fake):
    pump = Programmer(fake)
    write = fake.write

    def fighting(data):
        before = len(fake.served)
        write(data)
        if cat.COMMIT in fake.served and cat.SESSION_CONFIRM in fake.served[before:]:
            fake.end_session()
    fake.write = fighting
    fake.forge[cat.COMMIT] = cat.R_SESSION
    with pytest.raises(SessionLost, match="another programmer is talking to it; close one of the two; whether the pump executed the stop order is not known"):
        pump.stop()
    assert len(fake.orders) == 1


@pytest.mark.parametrize("behind", [cat.STAGE, cat.CHECK, cat.FILE_INFO, cat.FILE_READ, cat.COMMIT])
def test_an_order_that_another_host_cuts_is_done_once(fake, behind):
    pump, write, cuts = Programmer(fake), fake.write, [behind]

    def then_the_other(data):
        before = len(fake.served)
        write(data)
        if cuts and cuts[0] in fake.served[before:]:
            cuts.clear()
            fake.end_session()
    fake.write = then_the_other
    pump.stop()
    assert len(fake.orders) == 1 and not cuts and pump.status().mode == "stopped"


def test_two_programmers_read_in_turns(fake):
    first, second = Programmer(fake), Programmer(fake, role="service")
    for _ in range(3):
        assert first.status().mode == second.status().mode == "running"
    assert fake.role == SERVICE


def test_the_role_and_the_keys_are_those_given(fake, tmp_path, monkeypatch):
    monkeypatch.delenv("THECAL_KEY", raising=False)
    monkeypatch.setenv("THECAL_KEYS", str(tmp_path / "keys.json"))
    patient = Programmer(fake, role="patient")
    assert patient.status() and patient.on_shelf_key and not patient.keys.lasting, "a simulated pump's keys end with it"
    with pytest.raises(PumpRefused, match="this is a patient session, it takes one of: clinician, service"):
        patient.log()
    with pytest.raises(UsageProblem, match="role 'nurse' is none of"):
        Programmer(fake, role="nurse")
    monkeypatch.setattr(programmer, "open_port", lambda url: fake)
    opened = Programmer.open("toy://", role="service")
    assert opened.keys.where == str(tmp_path / "keys.json") and opened.status() and fake.role == SERVICE

    class Board:    # no chance of its own: a real line
        chance = property(lambda self: (_ for _ in ()).throw(AttributeError()))
    assert Programmer(Board(), fake.clock).keys.lasting
    with pytest.raises(UsageProblem, match="role 'nurse'"):
        Programmer.open("toy://", role="nurse")


def test_pairing_from_the_programmer(fake, tmp_path):
    fake.magnet = True
    pump = Programmer(fake, keys=Keystore(tmp_path / "keys.json"))
    assert pump.pair().role == "clinician" and pump.pair("patient").paired == ["clinician", "patient"]
    assert pump.identity().paired == ["clinician", "patient"]
    with pytest.raises(UsageProblem, match="role 'nurse'"):
        pump.pair("nurse")
    assert Programmer(fake, keys=Keystore(tmp_path / "keys.json")).status()
    with pytest.raises(KeyProblem, match="there is no clinician key for it in the memory of this process"):
        Programmer(fake).status()


def test_commissioning_gives_the_pump_a_serial_and_its_keys_go_with_it(fake):
    fake.serial, fake.keys = 0, {CLINICIAN: b"k" * 32}
    keys = Keystore.memory()
    keys.settle(0, CLINICIAN, Key(b"k" * 32))
    pump = Programmer(fake, keys=keys)
    fake.reset_before_reply = cat.COMMIT
    assert pump.commission(Implant.reference(77)).again, "a reset in between is met under the new serial"
    assert keys.listing() == [(77, "clinician", False)] and pump.status() and len(fake.orders) == 1
    fake.serial = 0
    fake.boot()
    with pytest.raises(WrongPump, match="pump 0 answers on fake, where pump 77 was before"):
        pump.status()


def test_an_unpaired_pump_is_commissioned_on_its_public_key(fake):
    fake.serial = 0
    pump = Programmer(fake)
    pump.commission(Implant.reference(77))
    fake.end_session()
    assert pump.status() and fake.key(CLINICIAN) == shelf_key(77, CLINICIAN)


def test_closing_says_goodbye(fake):
    pump = Programmer(fake)
    pump.status()
    pump.close()
    assert fake.role == 0 and fake.closed and fake.served[-1] == cat.SESSION_CLOSE
    gone = Programmer(fake)
    gone.status()
    fake.gone, fake.closed = OSError("unplugged"), False
    gone.close()
    assert fake.closed, "a line that is gone is closed without a word"


def test_identity_leaves_the_session_open(pump, fake):
    pump.status()
    pump.identity()
    pump.status()
    assert fake.served.count(cat.SESSION_OPEN) == 1


def test_watching_keeps_its_session_and_takes_it_up_again(pump, fake):
    frames = pump.watch(3600)
    first, second = next(frames), next(frames)
    assert second.time_s - first.time_s == 3600 and fake.served.count(cat.SESSION_OPEN) == 1, "a word in time keeps it open"
    fake.boot()
    assert next(frames).time_s > second.time_s and fake.served.count(cat.SESSION_OPEN) == 2
    frames.close()
    often = Programmer(fake).watch(60)
    for _ in range(30):
        next(often)
    assert fake.served.count(cat.SESSION_OPEN) == 3, "frames that come often do not make the host forget its word"


def test_watching_a_pump_whose_time_runs_fast(fake):
    fake.clock.virtual, fake.clock.pace = False, 1000.0
    frames = Programmer(fake).watch(3600)
    first, second = next(frames), next(frames)
    assert second.time_s - first.time_s >= 3600


def test_alarms_are_readable_by_anyone(fake):
    fake.keys = {CLINICIAN: b"k" * 32}
    fake.status_fields = {"alarms": 1 << 16, "latched": 1 << 16 | 1 << 6}
    seen = Programmer(fake).alarm_state()
    assert ([a.row for a in seen.active], [a.row for a in seen.latched], seen.sealed) == ([17], [7, 17], False) and fake.role == 0


def test_the_line_can_be_listened_to_and_its_counts_read(fake):
    pump, heard = Programmer(fake), []
    pump.tap(lambda port: TapPort(port, lambda t_us, sender, data: heard.append(sender), pump.clock.now_s))
    fake.lose_reply = cat.IDENTITY
    pump.identity()
    assert {"host", "pump"} == set(heard)
    assert pump.line_counts().retries == 1 and pump.line_counts().text() == "1 requests repeated"
