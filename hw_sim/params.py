"""Parameter records of the plant's bodies, and the loader that reads them from params/*.toml.

One file per body and variant (`head-reference.toml`, `reservoir-reference-40ml.toml`, `drug-baclofen.toml`), so another
head or drug is another data file. Every number is a table {value, unit, source, confidence}: a missing unit or source, a
unit other than the record's, an unknown or absent key, a value out of range, or parts that cannot be built are refused in one sentence
(ParamError). A user's own files lie in a folder of theirs (`beside`), which is looked in first: one of them may be new or stand for ours.
Confidence marks are those of the reference notes: R read in a source, D derived, M-H/M-M/M-L memory, J judgement here.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from . import toml_table
from .fit import Parts, flaws

PARAMS_DIR = Path(__file__).parent / "params"
SCHEMA = "thecal.params/1"
BODIES = ("motor", "head", "reservoir", "catheter", "battery", "sensors", "drug", "patient")
MARKS = ("R", "D", "M-H", "M-M", "M-L", "J")
POSITIVE = 1e-30    # "more than nothing" as a lower bound; no parameter is as small

Record = TypeVar("Record")


class ParamError(ValueError):
    """A parameter file cannot be used; the message names the file, the key, the value and the bound."""


def _quantity(unit: str, low: float = POSITIVE, high: float = math.inf) -> Any:
    """A record's number: the unit its file must state and the range it must lie in (both ends included)."""
    return field(metadata={"unit": unit, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class MotorParams:
    """Stepper, gear train, driver."""

    steps_per_rev: int = _quantity("steps/rev", 64, 65536)
    steps_per_s: int = _quantity("steps/s", 1, 100000)
    start_energy_mj: float = _quantity("mJ", 0)
    step_energy_mj: float = _quantity("mJ/step", 0)
    field_stall_t: float = _quantity("T", 1e-5, 100)
    driver_min_mv: float = _quantity("mV", 0, 10000)


@dataclass(frozen=True, slots=True)
class HeadParams:
    """Roller pump head; pressures are gauge against CSF."""

    volume_per_rev_ul: float = _quantity("uL/rev")
    rollers: int = _quantity("1", 1, 64)
    recoil_ul: float = _quantity("uL", 0)
    recoil_angle_deg: float = _quantity("deg", 0.1, 360)
    slip_per_kpa: float = _quantity("1/kPa", 0, 0.1)
    stall_kpa: float = _quantity("kPa")
    inlet_per_kpa: float = _quantity("1/kPa", 0, 0.1)
    full_fill_kpa: float = _quantity("kPa")
    no_fill_kpa: float = _quantity("kPa", 0)
    wear_share: float = _quantity("1", 0, 0.5)
    wear_rev: float = _quantity("rev")
    tube_set_ul: float = _quantity("uL", -2, 2)
    tube_set_after_h: float = _quantity("h", 1)
    tube_set_rev: float = _quantity("rev", 0, 1000)


@dataclass(frozen=True, slots=True)
class ReservoirParams:
    """Bellows with a two-phase propellant; pressures are absolute."""

    capacity_ul: float = _quantity("uL")
    residual_ul: float = _quantity("uL", 0)
    initial_ul: float = _quantity("uL", 0)
    overfill_limit_ul: float = _quantity("uL")
    overfill_stiffness_kpa_ml: float = _quantity("kPa/mL", 0)
    starved_kpa: float = _quantity("kPa", 0)
    bellows_kpa_ml: float = _quantity("kPa/mL", 0)
    boiling_point_k: float = _quantity("K", 150, 500)
    vaporisation_kj_mol: float = _quantity("kJ/mol", 1, 100)


@dataclass(frozen=True, slots=True)
class CatheterParams:
    """Fluid path from the head to the tip."""

    tubing_ul: float = _quantity("uL", 0)
    bore_ul_cm: float = _quantity("uL/cm", 0.1, 100)
    length_cm: float = _quantity("cm", 1, 200)
    diffusion_m2_s: float = _quantity("m2/s", 0, 1e-7)
    compliance_ul_kpa: float = _quantity("uL/kPa", 1e-3)
    viscosity_pa_s: float = _quantity("Pa s", 1e-5, 1)
    leak_at: float = _quantity("1", 0, 1)       # places along the catheter as a share of its length, 0 at the pump
    kink_at: float = _quantity("1", 0, 1)

    @property
    def catheter_ul(self) -> float:
        """Volume of the catheter without the pump's internal tubing."""
        return self.length_cm * self.bore_ul_cm

    @property
    def dead_ul(self) -> float:
        """Volume between head and tip: a change of concentration needs this much flow to arrive."""
        return self.tubing_ul + self.catheter_ul

    @property
    def resistance_kpa_s_ul(self) -> float:
        """Poiseuille resistance of the whole catheter, 8 pi mu L / A^2 (1 kPa s/uL is 1e12 Pa s/m3)."""
        area_m2 = self.bore_ul_cm * 1e-7        # 1 uL/cm is 1e-9 m3 per 1e-2 m
        return 8 * math.pi * self.viscosity_pa_s * self.length_cm * 1e-2 / (area_m2 * area_m2) * 1e-12


@dataclass(frozen=True, slots=True)
class BatteryParams:
    """Primary cell and the standing loads on it."""

    capacity_mj: float = _quantity("mJ")
    idle_uw: float = _quantity("uW", 0)
    telemetry_byte_mj: float = _quantity("mJ/byte", 0)
    received_byte_mj: float = _quantity("mJ/byte", 0)
    wake_mj: float = _quantity("mJ/wake", 0)
    full_mv: float = _quantity("mV", 500, 10000)
    plateau_slope_mv: float = _quantity("mV", 0)
    knee_mv: float = _quantity("mV", 0)
    knee_width: float = _quantity("1", 1e-3, 1)
    brown_out_mv: float = _quantity("mV", 0, 10000)
    awake_uw: float = _quantity("uW", 0)
    buffer_uf: float = _quantity("uF")


@dataclass(frozen=True, slots=True)
class SensorParams:
    """Converters: a count times its quantum is the physical value."""

    encoder_counts: int = _quantity("counts/rev", 16, 65536)
    encoder_jitter: int = _quantity("counts", 0, 64)
    level_quantum_ul: float = _quantity("uL/count")
    level_sigma_ul: float = _quantity("uL", 0)
    level_drift_ul_sqrt_day: float = _quantity("uL/sqrt(day)", 0)
    level_per_k: float = _quantity("1/K", -0.05, 0.05)     # 20 .. 45 C are 17 K from 37: beyond it a reading changes its sign
    level_reference_c: float = _quantity("C", 0, 60)
    inlet_quantum_kpa: float = _quantity("kPa/count")
    inlet_sigma_kpa: float = _quantity("kPa", 0)
    temperature_quantum_c: float = _quantity("C/count")
    temperature_sigma_c: float = _quantity("C", 0)
    battery_sigma_mv: float = _quantity("mV", 0)
    reed_t: float = _quantity("T", 1e-5, 100)


@dataclass(frozen=True, slots=True)
class CsfParams:
    """One drug in the spinal fluid of the typical adult: two compartments and an effect site."""

    lumbar_ml: float = _quantity("mL")
    cisternal_ml: float = _quantity("mL")
    lumbar_clearance_ml_h: float = _quantity("mL/h", 0)
    exchange_ml_h: float = _quantity("mL/h")
    cisternal_clearance_ml_h: float = _quantity("mL/h")
    effect_rate_1_h: float = _quantity("1/h")


@dataclass(frozen=True, slots=True)
class OralParams:
    """One drug taken by mouth: first-order absorption, one plasma compartment, CSF that follows plasma."""

    bioavailability: float = _quantity("1", POSITIVE, 1)
    absorption_1_h: float = _quantity("1/h")
    volume_l: float = _quantity("L")
    half_life_h: float = _quantity("h")
    csf_ratio: float = _quantity("1", 0)
    csf_rate_1_h: float = _quantity("1/h")


@dataclass(frozen=True, slots=True)
class PlasmaParams:
    """One drug in the blood of the typical adult: two compartments, fed by the tissue around a leak and by what leaves the CSF."""

    tissue_rate_1_h: float = _quantity("1/h")
    clearance_l_h: float = _quantity("L/h")
    central_l: float = _quantity("L")
    peripheral_l: float = _quantity("L")
    exchange_l_h: float = _quantity("L/h")


@dataclass(frozen=True, slots=True)
class DrugParams:
    """Kinetics of one drug; `oral` is None where the oral route does not exist or is not modelled."""

    name: str
    csf: CsfParams
    plasma: PlasmaParams
    oral: OralParams | None


@dataclass(frozen=True, slots=True)
class PatientParams:
    """The body around the pump. `sigma` (log-normal, 0..2) scales the spinal fluid's clearances and volumes; `seed` picks the patient."""

    temperature_c: float = _quantity("C", 20, 45)
    csf_kpa: float = _quantity("kPa", 0, 10)
    csf_ml: float = _quantity("mL", 10, 1000)
    weight_kg: float = _quantity("kg", 2, 300)
    bulk_absorption_ml_h: float = _quantity("mL/h", 0)
    sigma: float = _quantity("1", 0, 2)
    seed: int = 0

    @classmethod
    def load(cls, model: str = "adult", *, sigma: float | None = None, seed: int = 0,
             folder: Path = PARAMS_DIR, beside: Path | None = None) -> PatientParams:
        """Read `patient-MODEL.toml`; `sigma` replaces the file's. Raises ParamError."""
        patient = _record(cls, _read(_folders(folder, beside), "patient", model), "patient-%s.toml" % model, given={"seed": seed})
        if sigma is None:
            return patient
        _check_range("patient sigma", sigma, {"unit": "1", "low": 0, "high": 2})
        return replace(patient, sigma=float(sigma))


@dataclass(frozen=True, slots=True)
class PlantParams:
    """All of one pump, and the kinetics of every drug that has a file."""

    motor: MotorParams
    head: HeadParams
    reservoir: ReservoirParams
    catheter: CatheterParams
    battery: BatteryParams
    sensors: SensorParams
    drugs: dict[str, DrugParams]

    @classmethod
    def load(cls, name: str = "reference", *, head: str | None = None, reservoir: str | None = None, sensors: str | None = None,
             catheter_cm: float | None = None, folder: Path = PARAMS_DIR, beside: Path | None = None) -> PlantParams:
        """The pump called `name`; `head`, `reservoir`, `sensors` name other files, `catheter_cm` (1..200) trims the catheter.

        The reservoir of pump NAME is `NAME-20ml` unless another is named; files in `beside` stand for those of the same name.
        Raises ParamError.
        """
        folders = _folders(folder, beside)

        def body(record: type[Record], kind: str, variant: str) -> Record:
            return _record(record, _read(folders, kind, variant), "%s-%s.toml" % (kind, variant))

        catheter = body(CatheterParams, "catheter", name)
        if catheter_cm is not None:
            _check_range("catheter length", catheter_cm, {"unit": "cm", "low": 1, "high": 200})
            catheter = replace(catheter, length_cm=float(catheter_cm))
        vessel = body(ReservoirParams, "reservoir", reservoir or name + "-20ml")
        motor, roller = body(MotorParams, "motor", name), body(HeadParams, "head", head or name)
        cell, converters = body(BatteryParams, "battery", name), body(SensorParams, "sensors", sensors or name)
        for flaw in flaws(Parts(motor, roller, vessel, catheter, cell, converters, head or name, reservoir or name, sensors or name)):
            raise ParamError(flaw)
        return cls(motor=motor, head=roller, reservoir=vessel, catheter=catheter, battery=cell, sensors=converters, drugs=_drugs(folders))


def _folders(ours: Path, beside: Path | None) -> tuple[Path, ...]:
    """Where files are looked for, the user's folder first. Raises ParamError for a file there that is of no body."""
    if beside is None:
        return (ours,)
    for path in sorted(beside.glob("*.toml")):
        if path.stem.partition("-")[0] not in BODIES or "-" not in path.stem:
            raise ParamError("%s is a parameter file of no body: a name is BODY-NAME.toml, a body one of %s" % (path.name, ", ".join(BODIES)))
    return beside, ours


def _drugs(folders: tuple[Path, ...]) -> dict[str, DrugParams]:
    drugs = {}
    for path in sorted({path.name: path for folder in reversed(folders) for path in folder.glob("drug-*.toml")}.values(), key=lambda path: path.name):
        name = path.stem.removeprefix("drug-")
        table = _read(folders, "drug", name)
        for key in table:
            if key not in ("csf", "plasma", "oral"):
                raise ParamError("%s: key '%s' is not known (known: csf, plasma, oral)" % (path.name, key))
        for key in ("csf", "plasma"):
            if key not in table:
                raise ParamError("%s: table [%s] is missing" % (path.name, key))
        drugs[name] = DrugParams(
            name, _record(CsfParams, table["csf"], path.name), _record(PlasmaParams, table["plasma"], path.name),
            _record(OralParams, table["oral"], path.name) if "oral" in table else None)
    return drugs


def _read(folders: tuple[Path, ...], body: str, name: str) -> dict[str, Any]:
    """The tables of one file of the first folder that has it, its heading checked and taken off."""
    path = next((place for place in (folder / ("%s-%s.toml" % (body, name)) for folder in folders) if place.is_file()), None)
    if path is None:
        known = ", ".join(sorted({p.stem.removeprefix(body + "-") for folder in folders for p in folder.glob(body + "-*.toml")}))
        raise ParamError("no %s is called '%s' (known: %s)" % (body, name, known))
    table = toml_table.read(path, ParamError)
    for key, wanted in (("schema", SCHEMA), ("body", body), ("name", name)):
        if table.pop(key, None) != wanted:
            raise ParamError("%s: %s must be '%s'" % (path.name, key, wanted))
    return table


def _record(cls: type[Record], table: Any, where: str, given: dict[str, Any] | None = None) -> Record:
    """Build one record from its tables; fields in `given` do not come from the file."""
    if not isinstance(table, dict):
        raise ParamError("%s: a table of numbers is expected, not %r" % (where, table))
    values: dict[str, Any] = dict(given or {})
    wanted = {f.name: f for f in fields(cls) if f.name not in values}  # type: ignore[arg-type]
    for key in table:
        if key not in wanted:
            raise ParamError("%s: key '%s' is not known (known: %s)" % (where, key, ", ".join(wanted)))
    for key, spec in wanted.items():
        if key not in table:
            raise ParamError("%s: %s is missing" % (where, key))
        values[key] = _number("%s: %s" % (where, key), table[key], spec.metadata, whole=spec.type == "int")
    return cls(**values)


def _number(where: str, entry: Any, metadata: Any, whole: bool) -> float:
    """The value of one {value, unit, source, confidence} table."""
    if not isinstance(entry, dict):
        raise ParamError("%s must be a table {value, unit, source}, not %r" % (where, entry))
    for key in entry:
        if key not in ("value", "unit", "source", "confidence"):
            raise ParamError("%s has an unknown key '%s' (known: value, unit, source, confidence)" % (where, key))
    for key in ("value", "unit", "source"):
        if key not in entry:
            raise ParamError("%s has no %s" % (where, key))
    if entry["unit"] != metadata["unit"]:
        raise ParamError("%s has unit '%s', it must be in '%s'" % (where, entry["unit"], metadata["unit"]))
    if not isinstance(entry["source"], str) or not entry["source"].strip():
        raise ParamError("%s has an empty source" % where)
    if entry.get("confidence", "J") not in MARKS:
        raise ParamError("%s has confidence '%s', it must be one of %s" % (where, entry["confidence"], ", ".join(MARKS)))
    value = entry["value"]
    if whole and not isinstance(value, int):
        raise ParamError("%s is %r, it must be a whole number" % (where, value))
    _check_range(where, value, metadata)
    return value if whole else float(value)


def _check_range(where: str, value: Any, metadata: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ParamError("%s is %r, it must be a finite number" % (where, value))
    low, high = metadata["low"], metadata["high"]
    if not low <= value <= high:
        wanted = "lie between %g and %g" % (low, high) if high < math.inf else "be above 0" if low == POSITIVE else "be %g or more" % low
        raise ParamError("%s is %g %s, it must %s" % (where, value, metadata["unit"], wanted))
