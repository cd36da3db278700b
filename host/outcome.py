"""What the Programmer hands back: the review a clinician signs, the orders that were committed, a program as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import units
from .prescription import Prescription


@dataclass(frozen=True)
class Review:
    """What a clinician signs: current and pending side by side, the soft limits met, the digest that COMMIT will carry."""

    current: Prescription | None
    pending: Prescription
    warnings: list[str]
    digest: str


@dataclass(frozen=True)
class OrderResult:
    """A committed order: its digest, whether the pump had executed it before (a retry), the program that runs now, pump time."""

    kind: str
    digest: str
    again: bool
    running_digest: str
    time_s: int
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "time": units.pump_time_text(self.time_s)}


@dataclass(frozen=True)
class ProgramResult(OrderResult):
    """A committed program."""

    program: Prescription | None = None

    def to_dict(self) -> dict[str, Any]:
        row = super().to_dict()
        program = row.pop("program")
        return {**row, "program": describe(program)}


def describe(program: Prescription | None) -> dict[str, Any] | None:
    """A program as plain data: rates in nL/day, doses back-computed from them, texts with units."""
    if program is None:
        return None
    days = [program.daily_dose_ng(day) for day in range(7)]
    return {
        "mode": program.mode,
        "drugs": [
            {"name": item.name, "concentration": item.show_concentration(), "concentration_ng_ml": item.concentration_ng_ml,
             "daily_dose": item.show_dose(max(day[item.name] for day in days)), "daily_dose_ng": [float(day[item.name]) for day in days]}
            for item in program.ingredients],
        "daily_nl": [float(program.daily_nl(day)) for day in range(7)],
        "patterns": [[{"from": "%02d:%02d" % divmod(step.from_s // 60, 60), "rate_nl_day": step.rate_nl_day} for step in p] for p in program.patterns],
        "weekdays": list(program.weekdays),
        "fallback_nl_day": program.fallback_nl_day,
        "safe_state": program.safe_state,
        "setting": program.setting,
        "patient_bolus": program.patient_bolus.describe() if program.patient_bolus else None,
        "bridge": {"volume_nl": program.bridge.volume_nl, "rate_nl_day": program.bridge.rate_nl_day} if program.bridge else None,
        "caps_ng": [{"drug": item.name, "hour": cap.hour_ng, "day": cap.day_ng} for item, cap in zip(program.ingredients, program.guard.caps)],
        "library_crc": "%08x" % program.guard.library_crc,
        "overrides": program.guard.overrides,
        "override_why": program.guard.why,
        "editor": program.editor,
    }
