"""The server over real frames: every message, every refusal by name, files across their ends, stage and commit, pushes."""

import random

import pytest
from bare_pump import COMMISSION, SCHEMA, Bench, block_bytes, read, simple_program
from thecal.firmware import limits as li
from thecal.firmware import modes
from thecal.firmware.telemetry import FIRMWARE_VERSION
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import pack, unpack
from thecal.protocol.frame import CLASS_OPEN, CLASS_PLAIN, CLASS_ROUTINE, CLASS_THERAPY, MAX_FRAME, encode

REQUESTS = [row for row in cat.MESSAGES if row[2] == cat.REQUEST]


@pytest.fixture
def bench():
    made = Bench()
    made.program(500_000)
    made.magnet = True
    return made


def refusal(came):
    assert len(came) == 1
    assert (came[0][1], came[0][0]) in ((cat.REFUSED, CLASS_OPEN), (cat.REFUSED_SEALED, CLASS_ROUTINE))
    values = read(cat.REFUSED, came[0][3])
    return values["message"], values["reason"], values["field"], values["value"]


def order_payload(rows, index, value):
    """Least payload of rows with one field replaced by raw `value` (an int)."""
    out = b""
    for at, field in enumerate(rows):
        width = 4 if field[1] in (4, -4) else field[1] if field[1] < 10 else field[3]
        out += (value if at == index else field[3]).to_bytes(width, "little", signed=False) if field[1] < 10 else bytes(field[3])
    return out


def test_identity_hello_and_alarms_need_no_schema(bench):
    other = SCHEMA ^ 0xFFFF
    came = bench.send(cat.HELLO, b"\x01" + other.to_bytes(4, "little"), schema=other)
    assert read(came[0][1], came[0][3]) == {"version": cat.PROTOCOL_VERSION, "schema_crc": SCHEMA, "serial": 1001, "boot_count": 1,
                                                "max_payload": 220, "paired": 0}
    came = bench.send(cat.IDENTITY, b"", schema=other)
    assert read(came[0][1], came[0][3]) == {"serial": 1001, "firmware_version": FIRMWARE_VERSION, "runtime": b"bench"}
    came = bench.send(cat.ALARMS, b"", schema=other)
    assert read(came[0][1], came[0][3]) == {"active": 0, "latched": 0, "first": 0}
    assert bench.send(cat.STATUS, b"", schema=other) == [], "the rest is noise under another schema"
    assert bench.status()["frames_bad"] == 1


@pytest.mark.req("TH-BAD-01")
@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row[1])
def test_every_request_is_answered_in_its_class_or_refused_by_name(bench, row):
    payload = bytearray(300)
    values = [field[3] if field[1] < 10 else bytes(field[3]) for field in row[5]]
    end = pack(row[5], values, payload)
    came = bench.send(row[0], bytes(payload[:end]))
    assert len(came) == 1 and came[0][2] == bench._next_id
    reply = cat.message(came[0][1])
    assert came[0][1] in (row[0] | cat.REPLY_BIT, cat.REFUSED, cat.REFUSED_SEALED) and came[0][0] == reply[3]
    assert (came[0][1] == cat.REFUSED) <= (row[3] == CLASS_OPEN), "what is asked under a seal is refused under a seal"


@pytest.mark.req("TH-BAD-02")
@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row[1])
def test_every_field_out_of_range_is_refused_at_its_index(bench, row):
    for index, field in enumerate(row[5]):
        if field[1] >= 10:
            continue
        for value in (field[3] - 1, field[4] + 1):
            if 0 <= value < 1 << 8 * (4 if field[1] == -4 else field[1]):
                came = bench.send(row[0], order_payload(row[5], index, value))
                assert refusal(came)[:3] == (row[0], cat.R_BAD_FIELD, index), (field[0], value)
    if not any(field[1] == 11 for field in row[5]):
        length = len(order_payload(row[5], -1, 0))
        assert refusal(bench.send(row[0], order_payload(row[5], -1, 0) + b"x"))[:3] == (row[0], cat.R_BAD_FIELD, len(row[5]))
        if length:
            assert refusal(bench.send(row[0], bytes(length - 1)))[1] == cat.R_BAD_FIELD


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row[1])
def test_every_other_class_is_refused(bench, row):
    """No downgrade and no upgrade: a message has one class."""
    bench.status()
    for message_class in (CLASS_OPEN, CLASS_PLAIN, CLASS_ROUTINE, CLASS_THERAPY):
        if message_class != row[3]:
            assert refusal(bench.send(row[0], b"", message_class=message_class))[:2] == (row[0], cat.R_SESSION)


def test_unknown_messages_are_refused_and_replies_ignored(bench):
    out = bytearray(MAX_FRAME)
    for message_id in (0, 0x1F, cat.EXTENSION_FIRST, cat.EXTENSION_LAST, cat.LIVE_FRAME, 0x7F):
        size = encode(out, CLASS_PLAIN, message_id, 0, 9, b"", 0, SCHEMA)
        assert refusal(bench.send_raw(bytes(out[:size])))[:2] == (message_id, cat.R_UNKNOWN_MESSAGE)
        bench.send(cat.HELLO, bytes(5))
    for message_id in (0x80, cat.STATUS | cat.REPLY_BIT, cat.REFUSED):
        size = encode(out, CLASS_OPEN, message_id, 0, 9, b"", 0, SCHEMA)
        assert bench.send_raw(bytes(out[:size])) == []


@pytest.mark.req("TH-BAD-01", "TH-LINK-09")
def test_random_frames_never_break_the_pump(bench):
    chance = random.Random(8)
    out = bytearray(MAX_FRAME)
    before = bench.status()["running_digest"]
    for number in range(1500):
        length = chance.choice((0, 1, 2, 5, 8, 9, 30, 220))
        size = encode(out, chance.randrange(4), chance.choice([row[0] for row in REQUESTS] + [chance.randrange(256)]), number, chance.randrange(256),
                      chance.randbytes(length), length, SCHEMA)
        came = bench.send_raw(bytes(out[:size]))
        assert len(came) <= 1
    assert bench.status()["running_digest"] == before and bench.app.mode == modes.RUNNING


@pytest.mark.req("TH-LINK-01")
def test_a_repeated_request_is_answered_from_the_cache_and_executed_once(bench):
    refused = bench.stage(cat.STOP, block_bytes(cat.STOP, {"order_id": 900, "reason": 1}))
    assert refused is None
    digest = bench.ask(cat.CHECK)[1]["digest"]
    first = bench.send(cat.COMMIT, digest, request_id=77)
    bench.run_s(100)
    for _ in range(3):
        assert bench.send(cat.COMMIT, digest, request_id=77) == first, "the kept reply, time and all"
    again = bench.ask(cat.COMMIT, (digest,), request_id=78)[1]
    assert again["again"] == 1 and again["digest"] == digest


def test_status_says_what_the_pump_knows(bench):
    bench.run_s(86400 + 500)
    status = bench.status()
    assert (status["mode"], status["program_mode"], status["rate_nl_day"], status["daily_nl"]) == (modes.RUNNING, cat.SIMPLE, 500_000, 500_000)
    demanded = 500_000 * 86_900 // 86_400
    assert status["demanded_ul"] * 1000 + status["demanded_nl"] == demanded
    assert status["pulses"] == demanded // 1000 == bench.orders
    assert status["ordered_revs"] * 4096 + status["ordered_steps"] == bench.steps
    assert (status["nl_per_rev"], status["steps_per_rev"], status["pulse_nl"]) == (35_000, 4096, 1000)
    assert status["reservoir_computed_nl"] == 18_600_000 - 1000 * bench.orders
    assert abs(status["reservoir_sensed_ul"] - status["reservoir_computed_nl"] // 1000) <= 30
    assert status["low_reservoir_days"] == (status["reservoir_computed_nl"] - 1_400_000) // 500_000
    assert (status["battery_mv"], status["boot_count"], status["reset_cause"], status["uptime_s"]) == (3000, 1, 1, 86_900)


class TestStageCheckCommit:
    def block(self, rate_nl_day=600_000, order_id=500):
        return block_bytes(cat.PROGRAM, {"order_id": order_id, **simple_program(rate_nl_day)})

    @pytest.mark.req("TH-PROG-01", "TH-PROG-03")
    def test_nothing_is_executed_before_the_commit(self, bench):
        running = bench.status()["running_digest"]
        assert bench.stage(cat.PROGRAM, self.block()) is None
        reply, checked = bench.ask(cat.CHECK)
        assert checked["kind"] == cat.PROGRAM and checked["total"] == len(self.block()) and 0 < checked["expires_s"] <= li.STAGE_LIFE_S
        assert bench.status()["running_digest"] == running and bench.status()["rate_nl_day"] == 500_000
        first, end = (bench.ask(cat.FILE_INFO, (cat.FILE_STAGED,))[1][name] for name in ("first", "end"))
        data = b""
        while first + len(data) < end:
            data += bench.ask(cat.FILE_READ, (cat.FILE_STAGED, len(data), 100))[1]["data"]
        assert data == self.block()
        committed = bench.ask(cat.COMMIT, (checked["digest"],))[1]
        assert committed["again"] == 0 and committed["running_digest"] == checked["digest"] == bench.status()["running_digest"]
        assert bench.status()["rate_nl_day"] == 600_000

    @pytest.mark.req("TH-PROG-01", "TH-LINK-01")
    def test_commit_without_check_with_a_wrong_digest_or_twice(self, bench):
        assert bench.ask(cat.COMMIT, (bytes(7) + b"x",))[1]["reason"] == cat.R_NOT_STAGED
        bench.stage(cat.PROGRAM, self.block())
        assert bench.ask(cat.COMMIT, (bytes(7) + b"x",))[1]["reason"] == cat.R_NOT_STAGED
        digest = bench.ask(cat.CHECK)[1]["digest"]
        assert bench.ask(cat.COMMIT, (bytes(7) + b"x",))[1]["reason"] == cat.R_WRONG_DIGEST
        assert bench.ask(cat.COMMIT, (digest,))[1]["again"] == 0
        assert bench.ask(cat.COMMIT, (digest,))[1]["again"] == 1
        assert bench.ask(cat.CHECK)[1]["reason"] == cat.R_NOT_STAGED

    def test_a_digest_of_zeros_is_no_retry_of_an_order_that_never_was(self):
        fresh = Bench(ready=False)
        assert fresh.ask(cat.COMMIT, (bytes(8),))[1].get("reason") == cat.R_NOT_STAGED

    def test_an_incomplete_stage_is_no_block(self, bench):
        data = self.block()
        bench.ask(cat.STAGE, (cat.PROGRAM, len(data), 0, data[:50]))
        assert bench.ask(cat.CHECK)[1]["reason"] == cat.R_BAD_LENGTH
        assert bench.ask(cat.STAGE, (cat.PROGRAM, len(data), 60, data[60:]))[1]["reason"] == cat.R_BAD_LENGTH
        bench.ask(cat.STAGE, (cat.PROGRAM, len(data), 50, data[50:]))
        assert "digest" in bench.ask(cat.CHECK)[1]

    @pytest.mark.req("TH-PROG-04")
    def test_a_stage_expires_and_is_dropped_by_discard(self, bench):
        for end_it, reason in ((lambda: bench.run_s(li.STAGE_LIFE_S), cat.R_EXPIRED), (lambda: bench.ask(cat.DISCARD), cat.R_NOT_STAGED)):
            bench.stage(cat.PROGRAM, self.block())
            digest = bench.ask(cat.CHECK)[1]["digest"]
            end_it()
            bench.wake()
            assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == reason
            assert bench.ask(cat.CHECK)[1]["reason"] == cat.R_NOT_STAGED
        bench.stage(cat.PROGRAM, self.block())
        digest = bench.ask(cat.CHECK)[1]["digest"]
        bench.run_s(li.STAGE_LIFE_S - 1)
        assert bench.ask(cat.COMMIT, (digest,))[1]["again"] == 0

    @pytest.mark.req("TH-PROG-04", "TH-LINK-08")
    def test_link_loss_or_a_reset_drops_the_stage_and_nothing_else(self, bench):
        bench.stage(cat.PROGRAM, self.block())
        digest = bench.ask(cat.CHECK)[1]["digest"]
        bench.reboot(1)
        assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_NOT_STAGED
        assert bench.status()["rate_nl_day"] == 500_000

    @pytest.mark.req("TH-PROG-02")
    def test_what_the_check_promised_is_checked_again_at_the_commit(self, bench):
        bench.stage(cat.RESUME, block_bytes(cat.RESUME, {"order_id": 600}))
        assert bench.ask(cat.CHECK)[1]["reason"] == cat.R_STATE
        bench.stage(cat.PRIME, block_bytes(cat.PRIME, {"order_id": 601, "what": cat.PRIME_BOTH, "volume_nl": 1000, "rate_nl_day": 48_000}))
        digest = bench.ask(cat.CHECK)[1]["digest"]
        bench.stalled = True
        bench.run_s(290)            # 1 or 2 pulses lost: not yet a stall, but the block in the stage is
        bench.level_counts = 100
        bench.app.contents.refilled(0, 0, 0)
        bench.run(5000)
        reply = bench.ask(cat.COMMIT, (digest,))[1]
        assert reply.get("reason") in (cat.R_ALARM, cat.R_EXPIRED)

    @pytest.mark.req("TH-PROG-02", "TH-BAD-01")
    def test_a_damaged_block_is_refused_with_field_and_value(self, bench):
        bench.stage(cat.PROGRAM, block_bytes(cat.PROGRAM, {"order_id": 1, **simple_program(30_000)}))
        reply = bench.ask(cat.CHECK)[1]
        assert (reply["message"], reply["reason"], reply["value"]) == (cat.CHECK, cat.R_LIMIT, 30_000)
        assert cat.block(cat.PROGRAM)[reply["field"]][0] == "steps"


class TestFiles:
    def pull(self, bench, file, step):
        info = bench.ask(cat.FILE_INFO, (file,))[1]
        data, at = b"", info["first"]
        while at < info["end"]:
            reply = bench.ask(cat.FILE_READ, (file, at, step))[1]
            assert (reply["file"], reply["offset"]) == (file, at) and 0 < len(reply["data"]) <= step
            data += reply["data"]
            at += len(reply["data"])
        return info, data

    @pytest.mark.parametrize("step", [1, 7, 20, 199, 200])
    def test_pulled_in_any_pieces_a_file_is_the_same(self, bench, step):
        bench.run_s(3 * 86400)
        bench.stop()
        for file in (cat.FILE_EVENTS, cat.FILE_PROGRAM):
            assert self.pull(bench, file, step) == self.pull(bench, file, 200)

    def test_events_are_whole_and_in_order(self, bench):
        bench.stop()
        bench.resume()
        _, data = self.pull(bench, cat.FILE_EVENTS, 200)
        rows = []
        for at in range(0, len(data), cat.EVENT_BYTES):
            values = [0] * len(cat.EVENT_FIELDS)
            assert unpack(cat.EVENT_FIELDS, data, at, at + cat.EVENT_BYTES, values) > 0
            rows.append(values)
        assert [row[0] for row in rows] == list(range(len(rows)))
        assert [row[2] for row in rows if row[2] not in (cat.E_SESSION, cat.E_SELF_TEST)] == [cat.E_BOOT, cat.E_COMMISSION, cat.E_REFILL, cat.E_PROGRAM, cat.E_STOP, cat.E_RESUME]
        assert len(rows) == bench.status()["next_event"]

    def test_the_program_file_is_the_block_whose_digest_runs(self, bench):
        from thecal.firmware.blocks import digest_of
        _, data = self.pull(bench, cat.FILE_PROGRAM, 200)
        assert digest_of(cat.PROGRAM, data, len(data)) == bench.status()["running_digest"]

    def test_beyond_the_ends_there_is_no_file(self, bench):
        for file in range(4):
            info = bench.ask(cat.FILE_INFO, (file,))[1]
            assert bench.ask(cat.FILE_READ, (file, info["end"] + 1, 1))[1]["reason"] == cat.R_NO_FILE
            assert bench.ask(cat.FILE_READ, (file, info["end"], 1))[1]["data"] == b""
            if info["first"]:
                assert bench.ask(cat.FILE_READ, (file, info["first"] - 1, 1))[1]["reason"] == cat.R_NO_FILE

    def test_the_implant_record_is_the_commissioning_block(self, bench):
        record = bench.ask(cat.IMPLANT)[1]["record"]
        values = [0] * len(cat.block(cat.COMMISSION))
        assert unpack(cat.block(cat.COMMISSION), record, 0, len(record), values) == len(record)
        assert dict(zip([row[0] for row in cat.block(cat.COMMISSION)], values)) == {"order_id": 1, **COMMISSION}


class TestLive:
    def test_frames_come_at_their_interval_until_they_are_switched_off(self, bench):
        bench.ask(cat.LIVE, (60,))
        for _ in range(12):
            bench.run_s(300)
            bench.status()      # the heartbeat: telemetry goes to nobody once the session is idle
        times = [read(cat.LIVE_FRAME, frame[3])["time_s"] for frame in bench.pushed]
        assert len(times) == 60 and all(59 <= later - now <= 61 for now, later in zip(times, times[1:]))
        live = read(cat.LIVE_FRAME, bench.pushed[-1][3])
        assert (live["mode"], live["rate_nl_day"], live["alarms"]) == (modes.RUNNING, 500_000, 0)
        bench.ask(cat.LIVE, (0,))
        bench.run_s(3600)
        assert len(bench.pushed) == 60

    def test_they_cost_no_pulse_and_survive_no_reset(self, bench):
        bench.ask(cat.LIVE, (1,))
        bench.run_s(2000)
        assert bench.orders == 500_000 * 2000 // 86_400 // 1000
        bench.reboot(1)
        count = len(bench.pushed)
        bench.run_s(100)
        assert len(bench.pushed) == count
