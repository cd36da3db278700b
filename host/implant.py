"""The implant record: what the pump must know about its head, sensors, reservoir and catheter before it delivers anything.

Defaults are the reference hardware; each is a commissioning record in the pump's store and not firmware code (DESIGN 4).
"""

from __future__ import annotations

from dataclasses import dataclass

from . import units
from .errors import RequestInvalid

TUBING_NL = 199_000  # internal tubing, reservoir to catheter port (clinical.md 1.1)
CATHETER_NL_PER_MM = 220  # 0.0022 mL/cm (clinical.md 1.1)


@dataclass(frozen=True)
class Implant:
    """Commissioning data: volumes in nL or uL, lengths in mm. `dead_volume_nl` follows from the catheter unless given.

    Sources: head 35 uL/rev and 4096 steps (DESIGN 3), 1 uL pulses at 1000 steps/s (alarms.md 4), encoder 12 bit (DESIGN 4), level quantum
    10 uL (DESIGN 8), 20 mL with 1.4 mL unusable, 80 cm catheter, minimum rate 0.006 mL/day (regimens.md head). `battery_empty_mv` is [judgement]:
    a lithium cell that reads below 2.5 V cannot start a pulse. `contact`: whom an emergency room calls (alarms.md 6), at most 32 characters of plain ascii.
    """

    serial: int = 1001
    catheter_mm: int = 800
    nl_per_rev: int = 35_000
    steps_per_rev: int = 4096
    counts_per_rev: int = 4096
    step_hz: int = 1000
    pulse_nl: int = 1000
    level_nl_per_count: int = 10_000
    level_drift_ul: int = 50
    capacity_ul: int = 20_000
    residual_ul: int = 1_400
    minimum_rate_nl_day: int = 6_000
    battery_empty_mv: int = 2_500
    battery_eri_mv: int = 2_700
    temperature_zero_counts: int = 0
    temperature_counts_per_c: int = 100
    tubing_nl: int = TUBING_NL
    catheter_nl_per_mm: int = CATHETER_NL_PER_MM
    contact: str = ""

    @classmethod
    def reference(cls, serial: int = 1001, catheter: str = "80 cm", reservoir: str = "20 mL", residual: str = "1.4 mL",
                  contact: str = "") -> Implant:
        """The reference pump with a catheter length and a reservoir in clinician's units. Raises RequestInvalid."""
        capacity, unusable = units.volume_nl(reservoir, "reservoir"), units.volume_nl(residual, "residual")
        if capacity % 1000 or unusable % 1000 or unusable >= capacity:
            raise RequestInvalid("reservoir %r and residual %r must be whole uL, the residual the smaller" % (reservoir, residual), "reservoir")
        return cls(serial=serial, catheter_mm=units.length_mm(catheter, "catheter"), capacity_ul=capacity // 1000, residual_ul=unusable // 1000,
                   contact=contact)

    @property
    def dead_volume_nl(self) -> int:
        """Tubing and catheter: 0.199 mL + 80 cm x 0.0022 mL/cm = 0.375 mL for the reference."""
        return self.tubing_nl + self.catheter_mm * self.catheter_nl_per_mm
