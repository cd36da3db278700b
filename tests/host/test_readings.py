"""What the pump tells beside its status: contents, records, past programs, delivery, faults."""

from fake_pump import event, span

from thecal.host import Fill, Implant, Prescription
from thecal.host.blocks import program_block
from thecal.host.life import ImplantRecord, TrialRecord
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc16

OLD = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")
NEW = Prescription.simple("baclofen", concentration="2000 ug/mL", dose="150 ug/day")


def slot(time_s, program):
    data = program_block(program, 1)
    body = time_s.to_bytes(4, "little") + len(data).to_bytes(2, "little") + data
    return (body + crc16(body, 0, len(body)).to_bytes(2, "little")).ljust(cat.PRESCRIPTION_BYTES, b"\0")


def test_nothing_on_record_is_none(pump, fake):
    fake.files.clear()
    assert (pump.contents(), pump.implant_record(), pump.trial_record(), pump.prescriptions(), pump.drugs_at_head()) == (None, None, None, [], None)
    assert pump.delivery() == [] and pump.faults() == [] and pump.records_kept() == dict.fromkeys(("commission", "program", "fill", "implant", "trial"), "")


def test_contents_and_records(pump, fake):
    pump.commission(Implant())
    pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL", withdrawn="2 mL", lot="A1", expiry="2026-06-30"))
    held = pump.contents()
    assert held.text() == "baclofen 500 ug/mL, 18.6 mL, lot A1" and held.withdrawn_ul == 2000
    assert held.to_dict()["expires_s"] == (912 - 1) * 86_400, "the label's date, before the 180 days of the library"
    record = ImplantRecord("AB", "spasticity", fake.time_s)
    trial = TrialRecord.of("baclofen", "50 ug/mL", [{"dose": "50 ug", "response": "yes"}], True)
    pump.record_implant(record)
    pump.record_trial(trial)
    assert pump.implant_record() == record and pump.trial_record() == trial
    assert bytes.fromhex(pump.records_kept()["implant"]) == fake.files[cat.FILE_IMPLANT]


def test_the_head_holds_the_old_drug_while_a_bridge_is_open(pump, fake):
    fake.program = program_block(NEW, 1)
    assert pump.drugs_at_head() == NEW.ingredients
    fake.status_fields["bridge_left_nl"] = 1000
    assert pump.drugs_at_head() is None, "nobody knows: the ring of programs is empty"
    fake.files[cat.FILE_PRESCRIPTIONS] = slot(9, NEW) + slot(5, OLD) + slot(7, NEW)
    assert pump.drugs_at_head() == OLD.ingredients and [time_s for time_s, _ in pump.prescriptions()] == [5, 7, 9]


def test_delivery_and_faults(pump, fake):
    fake.files[cat.FILE_HISTORY] = span(60, 1000) + b"\xff" * cat.HISTORY_BYTES + span(360, 1042, mode=3, rate_ul_day=0)
    assert [(found.time_s, found.delivered_nl, found.mode, found.rate_nl_day) for found in pump.delivery()] == [(60, 1000, "running", 300_000), (360, 1042, "stopped", 0)]
    fake.files[cat.FILE_FAULTS] = event(0, 5, cat.E_ALARM, 7)
    assert [found.text for found in pump.faults()] == ["7 motor stall"]


def test_the_real_firmware_keeps_what_it_was_given(bedside):
    bedside.program(OLD)
    assert [program.mode for _, program in bedside.prescriptions()] == ["simple"] and bedside.drugs_at_head() == OLD.ingredients
    bedside.wait(hours=1)
    assert sum(found.delivered_nl for found in bedside.delivery()) == 375_000 + 12_000, "the prime, and the pulses of the last full five minutes"
    assert bedside.contents().volume_ul == 18_600 and bedside.trial_record() is None
