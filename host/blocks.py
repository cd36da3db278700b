"""Therapy blocks on the host's side: a prescription, fill or implant to the bytes that STAGE carries, and back.

The layouts are the catalogue's rows; nothing here knows a byte offset. A value that a row refuses is named with its bound before
anything is sent, so the pump's own refusal is the second line and not the first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Collection, Mapping

from ..protocol import catalogue, fields
from ..protocol.crc import crc16
from . import drug_library
from .drug_library import Drug
from .errors import ProtocolProblem, RequestInvalid
from .fill import Fill
from .implant import Implant
from .bolus import PatientBolus
from .caps import Cap
from .limits import OVERRIDE_REASONS
from .prescription import (FLEX, MINIMUM, PERIODIC, SAFE_MINIMUM, SAFE_STOP, SIMPLE, Bridge, Guard, Ingredient, Pattern,
                           Prescription, Step)
from .texts import read_text, wire_text

_MODES = {SIMPLE: catalogue.SIMPLE, FLEX: catalogue.FLEX, PERIODIC: catalogue.PERIODIC, MINIMUM: catalogue.MINIMUM}
_SAFE = {SAFE_MINIMUM: catalogue.SAFE_MINIMUM, SAFE_STOP: catalogue.SAFE_STOP}
STOP_REASONS = ("not given", "clinician order", "adverse effect", "mri", "replacement", "emergency")
_BYTES_A_STEP = 6
_BOLUS_FIELDS = {"bolus_nl": "volume_nl", "bolus_s": "seconds", "lockout_min": "lockout_min", "interval_h": "interval_h",
                 "per_interval": "per_interval", "per_day": "per_day", "released": "released"}     # of the wire: of PatientBolus


def block_name(kind: int) -> str:
    """The catalogue's name of a block kind."""
    return next(row[1] for row in catalogue.BLOCKS if row[0] == kind)


def pack(kind: int, values: Mapping[str, Any]) -> bytes:
    """The bytes of one block; `values` has one entry per field of the catalogue's row.

    Raises RequestInvalid naming the field, the value and its bounds when a value does not fit.
    """
    rows = catalogue.block(kind)
    ordered = [values[row[fields.NAME]] for row in rows]
    out = bytearray(catalogue.MAX_BLOCK)
    end = fields.pack(rows, ordered, out)
    if end < 0:
        row = rows[-1 - end]
        raise RequestInvalid(refused_field(block_name(kind), row, ordered[-1 - end]), row[fields.NAME])
    return bytes(out[:end])


def refused_field(where: str, row: tuple[Any, ...], value: Any) -> str:
    """One sentence: which field of which message, its value and its bounds."""
    shown = "%d bytes" % len(value) if isinstance(value, (bytes, bytearray)) else "%d %s" % (value, row[fields.UNIT])
    return "%s: %s is %s; allowed are %d .. %d" % (where, row[fields.NAME], shown.strip(), row[fields.LOW], row[fields.HIGH])


def unpack(kind: int, data: bytes) -> dict[str, Any]:
    """The fields of a block as the pump sent it. Raises ProtocolProblem when the bytes break the catalogue's own ranges."""
    rows = catalogue.block(kind)
    values: list[Any] = [None] * len(rows)
    if fields.unpack(rows, data, 0, len(data), values) < 0:
        raise ProtocolProblem("the pump sent a %s block of %d bytes that does not fit the catalogue" % (block_name(kind), len(data)))
    return {row[fields.NAME]: value for row, value in zip(rows, values)}


def _drug_fields(ingredients: tuple[Ingredient, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for index in range(catalogue.MAX_DRUGS):
        item = ingredients[index] if index < len(ingredients) else None
        values["drug_%d" % (index + 1)] = wire_text(item.name if item else "", "drug", catalogue.DRUG_NAME_BYTES)
        values["concentration_%d_ng_ml" % (index + 1)] = item.concentration_ng_ml if item else 0
    return values


def read_drugs(values: Mapping[str, Any], library: dict[str, Drug]) -> tuple[Ingredient, ...]:
    """The ingredients a block names; a drug that this library does not know keeps the pump's name and has no entry."""
    by_wire = {wire_text(name, "drug", catalogue.DRUG_NAME_BYTES): drug for name, drug in library.items()}
    found = []
    for index in range(1, catalogue.MAX_DRUGS + 1):
        raw = bytes(values["drug_%d" % index])
        if raw.strip(b"\0"):
            drug = by_wire.get(raw)
            name = drug.name if drug else read_text(raw)
            found.append(Ingredient(name, values["concentration_%d_ng_ml" % index], drug))
    return tuple(found)


def commission_block(implant: Implant, order_id: int) -> bytes:
    """The COMMISSION block of an implant record. Raises RequestInvalid for a constant out of its bounds."""
    rows = catalogue.block(catalogue.COMMISSION)
    made = {"order_id": order_id, "contact": wire_text(implant.contact, "contact", catalogue.CONTACT_BYTES)}
    return pack(catalogue.COMMISSION, {row[fields.NAME]: made.get(row[fields.NAME], getattr(implant, row[fields.NAME], None)) for row in rows})


def read_implant(record: bytes) -> Implant | None:
    """The implant record the pump keeps, or None before commissioning. Raises ProtocolProblem."""
    if not record:
        return None
    values = unpack(catalogue.COMMISSION, record)
    known = {name: value for name, value in values.items() if name in Implant.__dataclass_fields__}
    known["contact"] = read_text(values["contact"])
    return Implant(**known, catheter_nl_per_mm=(values["dead_volume_nl"] - values["tubing_nl"]) // max(1, values["catheter_mm"]))


def program_block(program: Prescription, order_id: int) -> bytes:
    """The PROGRAM block of a prescription. Raises RequestInvalid for a field out of its bounds."""
    steps = bytearray()
    for pattern in program.patterns:
        steps.append(len(pattern))
        for step in pattern:
            steps += (step.from_s // 60).to_bytes(2, "little") + step.rate_nl_day.to_bytes(4, "little")
    bolus, bridge, guard = program.patient_bolus, program.bridge, program.guard
    return pack(catalogue.PROGRAM, {
        "order_id": order_id,
        "mode": _MODES[program.mode],
        "fallback_nl_day": program.fallback_nl_day,
        "safe_state": _SAFE[program.safe_state],
        "abrupt_stop": int(guard.abrupt_stop),
        "editor": wire_text(program.editor, "editor", catalogue.DRUG_NAME_BYTES),
        "setting": wire_text(program.setting or "", "setting", catalogue.DRUG_NAME_BYTES),
        "library_crc": guard.library_crc,
        "overrides": guard.overrides,
        "override_why": OVERRIDE_REASONS.index(guard.why),
        **_drug_fields(program.ingredients),
        **_cap_fields(guard.caps),
        "step_pct": guard.step_pct,
        "step_interval_h": guard.step_interval_h,
        **{name: int(getattr(bolus, own)) if bolus else 0 for name, own in _BOLUS_FIELDS.items()},
        "bridge_nl": bridge.volume_nl if bridge else 0,
        "bridge_rate_nl_day": bridge.rate_nl_day if bridge else 0,
        "weekdays": bytes(program.weekdays),
        "patterns": len(program.patterns),
        "steps": bytes(steps),
    })


def _cap_fields(caps: tuple[Cap, ...]) -> dict[str, int]:
    values: dict[str, int] = {}
    for index in range(catalogue.MAX_DRUGS):
        cap = caps[index] if index < len(caps) else Cap(0, 0)
        values["cap_hour_%d_ng" % (index + 1)], values["cap_day_%d_ng" % (index + 1)] = cap.hour_ng, cap.day_ng
    return values


def read_program(data: bytes, library: dict[str, Drug] | None = None) -> Prescription | None:
    """The prescription in a PROGRAM block as the pump keeps it, or None for no bytes. Raises ProtocolProblem when it contradicts itself."""
    if not data:
        return None
    values = unpack(catalogue.PROGRAM, data)
    patterns = _read_patterns(values["patterns"], values["steps"])
    weekdays = tuple(values["weekdays"])
    if max(weekdays) >= len(patterns):
        raise ProtocolProblem("the pump's program names pattern %d and has %d" % (max(weekdays), len(patterns)))
    items = read_drugs(values, drug_library.load() if library is None else library)
    bolus = PatientBolus(**{own: values[name] for name, own in _BOLUS_FIELDS.items()}) if values["bolus_nl"] else None
    return Prescription(
        mode=next(name for name, value in _MODES.items() if value == values["mode"]),
        ingredients=items,
        patterns=patterns,
        weekdays=weekdays,
        fallback_nl_day=values["fallback_nl_day"],
        safe_state=next(name for name, value in _SAFE.items() if value == values["safe_state"]),
        setting=read_text(values["setting"]) or None,
        editor=read_text(values["editor"]),
        patient_bolus=replace(bolus, released=bool(bolus.released)) if bolus else None,
        bridge=Bridge(values["bridge_nl"], values["bridge_rate_nl_day"]) if values["bridge_nl"] else None,
        guard=_read_guard(values, len(items)),
    )


def _read_guard(values: Mapping[str, Any], drugs: int) -> Guard:
    why = values["override_why"]
    return Guard(
        tuple(Cap(values["cap_hour_%d_ng" % number], values["cap_day_%d_ng" % number]) for number in range(1, drugs + 1)),
        values["library_crc"], values["step_pct"], values["step_interval_h"], bool(values["abrupt_stop"]), values["overrides"],
        OVERRIDE_REASONS[why] if why < len(OVERRIDE_REASONS) else "reason %d" % why)


def read_prescriptions(data: bytes, library: dict[str, Drug]) -> list[tuple[int, Prescription]]:
    """(pump time of the commit, program) of the slots of the prescriptions file, oldest first; blank and damaged ones are left out."""
    found = []
    for at in range(0, len(data), catalogue.PRESCRIPTION_BYTES):
        time_s, length = int.from_bytes(data[at:at + 4], "little"), int.from_bytes(data[at + 4:at + 6], "little")
        end = at + 6 + length
        if 0 < length <= catalogue.MAX_BLOCK and crc16(data, at, end) == int.from_bytes(data[end:end + 2], "little"):
            program = read_program(data[at + 6:end], library)
            if program is not None:
                found.append((time_s, program))
    return sorted(found, key=lambda entry: entry[0])


def _read_patterns(count: int, steps: bytes) -> tuple[Pattern, ...]:
    patterns, at = [], 0
    for _ in range(count):
        size = steps[at] if at < len(steps) else 0
        chunk = steps[at + 1: at + 1 + size * _BYTES_A_STEP]
        if size == 0 or len(chunk) != size * _BYTES_A_STEP:
            raise ProtocolProblem("the pump's program ends inside its steps")
        patterns.append(tuple(
            Step(int.from_bytes(chunk[i: i + 2], "little") * 60, int.from_bytes(chunk[i + 2: i + 6], "little"))
            for i in range(0, len(chunk), _BYTES_A_STEP)
        ))
        at += 1 + size * _BYTES_A_STEP
    if any(pattern[0].from_s for pattern in patterns):
        raise ProtocolProblem("the pump's program has a day that does not start at 00:00")
    return tuple(patterns)


def refill_block(fill: Fill, order_id: int, now_s: int, before: Collection[str] = ()) -> bytes:
    """The REFILL block of a fill at pump time `now_s`; `before`: names of the drugs that were in the pump. Raises RequestInvalid for a field out of its bounds."""
    return pack(catalogue.REFILL, {
        "order_id": order_id, "withdrawn_ul": fill.withdrawn_ul, "volume_ul": fill.volume_ul, **_drug_fields(fill.ingredients),
        "expires_s": fill.use_before_s(now_s, before), "lot": wire_text(fill.lot, "lot", catalogue.DRUG_NAME_BYTES),
        "next_s": fill.next_due_s(now_s, before),
        "rinse": 0 if not fill.rinse else 2 if all(item.name in before for item in fill.ingredients) else 1})


def emptied_block(held: tuple[Ingredient, ...], withdrawn_ul: int, order_id: int) -> bytes:
    """The REFILL block of a reservoir that was emptied and not filled: nothing in, and the drugs it `held` are what its residual holds."""
    return pack(catalogue.REFILL, {
        "order_id": order_id, "withdrawn_ul": withdrawn_ul, "volume_ul": 0, **_drug_fields(held), "expires_s": 0,
        "lot": wire_text("", "lot", catalogue.DRUG_NAME_BYTES), "next_s": 0, "rinse": 0})


def stop_reason(reason: str) -> int:
    """The wire's number of a stop reason. Raises RequestInvalid listing the reasons there are."""
    if reason not in STOP_REASONS:
        raise RequestInvalid("stop reason %r is none of: %s" % (reason, ", ".join(STOP_REASONS)), "reason")
    return STOP_REASONS.index(reason)
