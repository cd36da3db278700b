"""Scenarios and the way to host: the one module of hw_sim that may import it (R2), for those here that need it.

`load_scenario` reads and checks a file, `new_world` makes the world that it is played in, `world_for` one whose setup is done (what
sim:// and serve open). What the host thinks of each event is asked in scenario_therapy.py, clinician.py carries events out; both take
the host's names from here.
"""
from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..host import units
from ..host.alarms import TABLE as ALARM_ROWS
from ..host.blocks import commission_block
from ..host.drug_library import find as find_drug
from ..host.errors import RequestInvalid, ThecalError, Timeout
from ..host.fill import Fill
from ..host.implant import Implant
from ..host.keystore import Key, Keystore
from ..host.life import ImplantRecord, TrialRecord
from ..host.limits import NO_BRIDGE, Baseline, Finding, check, check_bolus
from ..host.orders import overriding, reason_for
from ..host.outcome import OrderResult
from ..host.prescription import MINIMUM_NL_DAY, SAFE_STOP, Bridge, Prescription
from ..host.programmer import PRIME_RATE, Programmer
from ..host.records import Event as LogEvent
from ..host.records import Status
from ..host.review import against_program, bridge_for, part_nl, single_bolus
from .impairment import Impairment
from .params import PlantParams
from .recorder import Recorder
from .scenario_file import DAY_S, Event, Scenario, ScenarioError, find, label, parts, read
from .world import World

NL_PER_UL = 1000
__all__ = [
    "ALARM_ROWS", "DAY_S", "MINIMUM_NL_DAY", "NL_PER_UL", "NO_BRIDGE", "PRIME_RATE", "SAFE_STOP", "Baseline", "Bridge", "Event", "Fill", "Finding",
    "Implant", "ImplantRecord", "Key", "Keystore", "LogEvent", "OrderResult", "Prescription", "Programmer", "RequestInvalid", "Scenario", "ScenarioError", "Status",
    "ThecalError", "Timeout", "TrialRecord", "against_program", "bridge_for", "check", "check_bolus", "find_drug", "implant_record", "label",
    "load_scenario", "new_world", "overriding", "part_nl", "parts", "reason_for", "single_bolus", "units", "world_for"]


def load_scenario(given: str | Path) -> Scenario:
    """The checked scenario behind a name or a .toml file; its `orders` hold what the host made of each event.

    Raises ScenarioError: one sentence with file, event, key, value and bound.
    """
    from .scenario_therapy import Therapy
    scenario = read(find(str(given)), units)
    params, _ = parts(scenario)
    _check_parts(scenario, params)
    therapy = Therapy(scenario, params)
    return replace(scenario, orders=therapy.orders(), refusals=therapy.refusals)


def _check_parts(scenario: Scenario, params: PlantParams) -> None:
    """Parts that a pump can be told of, and no more taken out of the reservoir than it holds. Raises ScenarioError."""
    try:
        commission_block(implant_record(scenario, params), 1)
    except RequestInvalid as error:
        raise ScenarioError("%s: [implant]: no pump can be commissioned with these parts: %s" % (scenario.file, error)) from error
    for event in scenario.events:
        if event.kind == "aspirate" and event.read["volume"] > params.reservoir.capacity_ul * NL_PER_UL:
            raise ScenarioError("%s: volume is %r, the reservoir holds %g mL" % (
                label(scenario.file, event), event.values["volume"], params.reservoir.capacity_ul / 1000))


def implant_record(scenario: Scenario, params: PlantParams) -> Implant:
    """The commissioning record as the factory and the surgeon would write it: from the parameters of these very parts."""
    return Implant(
        serial=scenario.implant["serial"], catheter_mm=scenario.implant["catheter"],
        nl_per_rev=round(params.head.volume_per_rev_ul * NL_PER_UL), steps_per_rev=params.motor.steps_per_rev,
        counts_per_rev=params.sensors.encoder_counts, step_hz=params.motor.steps_per_s,
        level_nl_per_count=round(params.sensors.level_quantum_ul * NL_PER_UL), level_drift_ul=math.ceil(params.sensors.level_drift_ul_sqrt_day),
        capacity_ul=round(params.reservoir.capacity_ul),
        residual_ul=round(params.reservoir.residual_ul), tubing_nl=round(params.catheter.tubing_ul * NL_PER_UL),
        catheter_nl_per_mm=round(params.catheter.bore_ul_cm * NL_PER_UL / 10), contact=scenario.implant.get("contact", ""),
        temperature_zero_counts=0, temperature_counts_per_c=round(1 / params.sensors.temperature_quantum_c))


def new_world(scenario: Scenario, *, runtime: str, seed: int | None = None, **options: Any) -> World:
    """A world at t = 0 of the scenario: the pump on the shelf, nothing done. `options` as of World.build."""
    params, patient = parts(scenario)
    if options.get("line") is None:
        options["line"] = scenario.line
    return World.build(runtime=runtime, seed=scenario.seed if seed is None else seed, params=params, patient=patient,
                       epoch_s=scenario.start_pump_s, environment=scenario.environment, **options)


def world_for(scenario: Scenario | None, *, runtime: str = "micropython", seed: int | None = None, firmware_dir: Path | None = None,
              exec_cmd: list[str] | None = None, store_path: Path | None = None, recorder: Recorder | None = None, line: str | None = None) -> World:
    """A world whose setup has been played (clinician.apply_setup) over a good line; from then on it is as bad as `line` says (impairment.py).

    Without a scenario a pump on the shelf. Raises RuntimeMissing, FirmwareError, LineError, ScenarioError where the pump refuses the setup.
    """
    from .clinician import apply_setup
    options: dict[str, Any] = dict(runtime=runtime, firmware_dir=firmware_dir, exec_cmd=exec_cmd, store_path=store_path, recorder=recorder)
    drawn = seed if seed is not None else scenario.seed if scenario else 1
    line = line if line is not None or scenario is None else scenario.line
    impairment = Impairment.parse(line, drawn) if line is not None else None
    world = World.build(seed=drawn, **options) if scenario is None else new_world(replace(scenario, line=None), seed=seed, **options)
    try:
        if scenario is not None:
            apply_setup(replace(scenario, seed=drawn), world)
        world.impair(impairment)
    except BaseException:
        world.close()
        raise
    return world
