"""Records and visits: what they write, and that delivery does not notice."""

import pytest
from bare_pump import DRUG, Bench, block_bytes, events, named
from thecal.firmware import alarms as al
from thecal.firmware import modes, orders_records
from thecal.protocol import catalogue as cat

FILL = {**DRUG, "withdrawn_ul": 0, "volume_ul": 10_000, "expires_s": 0, "lot": named(b"lot 9"), "next_s": 0, "rinse": 0}
IMPLANT = {"implanted_s": 5, "patient": b"AB" + bytes(6), "indication": named(b"spasticity"), "tip_level": b"T10" + bytes(5), "access_port": 1, "mri": named(b"conditional")}
TRIAL = {"drug": named(b"baclofen"), "concentration_ng_ml": 50_000, "indicated": 1, "doses": b"\1\x50\xc3\0\0\0\1\0\0\0"}


@pytest.fixture
def bench():
    made = Bench()
    made.program(480_000)
    return made


@pytest.mark.req("TH-LIFE-01")
@pytest.mark.parametrize("kind, values, file", [(cat.REFILL, FILL, cat.FILE_FILL), (cat.IMPLANT_RECORD, IMPLANT, cat.FILE_IMPLANT), (cat.TRIAL_RECORD, TRIAL, cat.FILE_TRIAL)])
def test_a_record_is_a_file_and_outlives_a_reset(bench, kind, values, file):
    for order_id in (801, 802, 803):
        bench.order(kind, values, order_id)
    bench.reboot()
    whole = block_bytes(kind, {**values, "order_id": 803})
    assert bench.ask(cat.FILE_INFO, (file,))[1]["end"] == len(whole)
    assert bytes(bench.ask(cat.FILE_READ, (file, 0, 200))[1]["data"]) == whole


@pytest.mark.parametrize("file", [cat.FILE_IMPLANT, cat.FILE_TRIAL])
def test_a_record_that_was_never_written_is_an_empty_file(bench, file):
    assert bench.ask(cat.FILE_INFO, (file,))[1]["end"] == 0


def test_drug_that_is_past_its_life_is_no_fill(bench):
    assert bench.order(cat.REFILL, {**FILL, "expires_s": bench.rtc_s})["reason"] == cat.R_LIMIT
    bench.must(cat.REFILL, {**FILL, "expires_s": bench.rtc_s + 1})
    assert bench.app.expires_s == bench.rtc_s + 1


def test_while_a_bridge_is_open_only_the_drug_it_leads_to_is_filled(bench):
    bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
    bench.bridge(240_000, 375_000, 480_000)
    assert bench.order(cat.REFILL, FILL)["reason"] == cat.R_BRIDGE
    bench.must(cat.REFILL, {**FILL, "concentration_1_ng_ml": 1_000_000})


def test_the_first_fill_has_no_residual():
    bench = Bench(ready=False)
    assert orders_records.residual_ul(bench.app) == 0
    assert orders_records.residual_ul(Bench().app) == 1400


@pytest.mark.req("TH-ALM-33", "TH-ALM-34")
def test_silence_and_acknowledge_say_what_they_did(bench):
    bench.app.alarm(al.UNDER, True)
    bench.app.alarm(al.UNDER, False)
    bench.run_s(1)
    tones = bench.tones
    bench.must(cat.SILENCE, {"row": al.UNDER, "hours": 2})
    bench.run_s(3600)
    assert bench.tones == tones and events(bench, cat.E_SILENCE) == [(al.UNDER, 2, 0)]
    bench.must(cat.ACKNOWLEDGE, {"row": al.UNDER})
    assert not bench.app.alarms.active and events(bench, cat.E_ACKNOWLEDGE) == [(al.UNDER, 1 << al.UNDER - 1, 0)]
    bench.reboot()
    assert not bench.app.alarms.active and not bench.app.alarms.latched


@pytest.mark.req("TH-ALM-26")
def test_a_visit_ends_the_row_of_the_refused_patient(bench):
    for order_id in range(900, 903):
        assert bench.request(order_id)["reason"] == cat.R_NOT_ALLOWED
    assert bench.app.alarms.is_active(al.REFUSED)
    bench.must(cat.VISIT, {"alarm_heard": 1, "report": bytes(8)})
    assert events(bench, cat.E_VISIT) == [(1, 0, 0)]


@pytest.mark.req("TH-LIFE-20")
def test_a_visits_digest_stays_in_the_log(bench):
    bench.must(cat.VISIT, {"alarm_heard": 2, "report": bytes.fromhex("efcdabff01000080")})
    assert events(bench, cat.E_VISIT) == [(2, 0xFFABCDEF & (1 << 30) - 1, 1)]


@pytest.mark.req("TH-ALM-36")
def test_a_test_of_the_tone_changes_nothing(bench):
    tones, orders = bench.tones, bench.orders
    bench.must(cat.ALARM_TEST, {"tone": 2})
    assert bench.tones == tones + 1 and events(bench, cat.E_ALARM_TEST) == [(2, 0, 0)] and bench.app.mode == modes.RUNNING
    bench.run_s(600)
    assert bench.tones == tones + 1 and 3 <= bench.orders - orders <= 4


def test_another_head_of_a_stopped_pump_keeps_the_program_and_its_copy(bench):
    from bare_pump import COMMISSION
    bench.stop()
    bench.must(cat.COMMISSION, {**COMMISSION, "minimum_rate_nl_day": 12_000})
    assert bench.app.supervisor.minimum_nl_day == 12_000 and bench.app.program_block


def test_the_catheters_record_is_logged(bench):
    bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
    bench.must(cat.CATHETER, {"state": cat.CATHETER_EMPTY})
    assert events(bench, cat.E_CATHETER) == [(1, 0, 0), (0, 0, 0)] and bench.app.settings.catheter == 0
