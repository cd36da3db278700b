"""One pump on the test bench: the real firmware, commissioned, filled and programmed as a clinic would, and somebody who listens.

What is heard is what any firmware shows: tones and enable dropped. Which alarm it was is asked on the wire, when it has been heard.
Used by the accuracy, detection and lifetime benches, which want a rate and a rig, not a patient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from .params import PatientParams, PlantParams
from .recorder import Recorder
from .scenario import Fill, Implant, Prescription, Programmer
from .world import World

SECOND_US = 1_000_000
HOUR_S, DAY_S = 3600, 86_400
NL_PER_UL, NL_PER_ML = 1000, 1_000_000
DRUG = "baclofen"
DOSE_NG_DAY = 100_000           # about: a dose the library has nothing against at any rate, so that no limit is overridden
MOST_NG_ML = 2_000_000          # of this drug in a pump (clinical.md 2)
RESERVOIR = "reference-40ml"    # 24 mL a day for a day and a half
REFILL_SHARE = 0.8              # refilled when so much of the usable volume is gone: a worn sensor takes the last half millilitre for empty
REFILL_S = 90 * DAY_S           # or after this, half of what baclofen lives in a pump


class Heard(NamedTuple):
    """What the pump did for all to hear: `name` is 'tone' (`detail` 'two-tone' or 'single') or 'enable dropped'; `beyond_ul` as of Rig."""

    t_us: int
    name: str
    detail: str
    beyond_ul: float


class Ears(Recorder):
    """A recorder that keeps what is heard, with what `look()` says at that instant."""

    def __init__(self, look: Callable[[], float]) -> None:
        super().__init__(None)
        self.heard: list[Heard] = []
        self._look = look

    def event(self, t_us: int, source: str, name: str, detail: Any = "") -> None:
        if source == "pump":
            self.heard.append(Heard(t_us, name, str(detail), self._look()))
        super().event(t_us, source, name, detail)


def ml_day(rate_nl_day: int) -> str:
    """'0.5 mL/day'."""
    return "%g mL/day" % (rate_nl_day / NL_PER_ML)


class Rig:
    """A pump at `rate_nl_day` (48,000 .. 24,000,000), filled with a drug of which that is `dose_ng_day`.

    Attributes: world, pump (the clinician's Programmer), start_us (when the program began).
    Raises what World.build and the Programmer raise.
    """

    def __init__(self, rate_nl_day: int, *, runtime: str = "inprocess", seed: int = 1, params: PlantParams | None = None,
                 patient: PatientParams | None = None, dose_ng_day: int | None = None) -> None:
        self.rate_nl_day = rate_nl_day
        self.params = params or PlantParams.load("reference", reservoir=RESERVOIR)
        self.ears = Ears(self.beyond_ul)
        self.concentration_ng_ml = min(MOST_NG_ML, round((dose_ng_day or DOSE_NG_DAY) * NL_PER_ML / rate_nl_day))
        self._filled_us = 0
        self.world = World.build(runtime=runtime, seed=seed, params=self.params, patient=patient, recorder=self.ears)
        try:
            self.pump = Programmer(self.world.port(), name="the bench's line")
            self.pump.commission(replace(
                Implant.reference(), capacity_ul=round(self.params.reservoir.capacity_ul), residual_ul=round(self.params.reservoir.residual_ul),
                level_drift_ul=math.ceil(self.params.sensors.level_drift_ul_sqrt_day)))
            self.fill()
            self.pump.program(Prescription.simple(DRUG, concentration="%d ng/mL" % self.concentration_ng_ml,
                                                  dose="%.9f ug/day" % (rate_nl_day * self.concentration_ng_ml / 1e9)), confirm=True)
        except BaseException:
            self.world.close()
            raise
        self.start_us = self.world.now_us

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *exc: object) -> None:
        self.world.close()

    @property
    def now_s(self) -> float:
        """Seconds since the program began."""
        return (self.world.now_us - self.start_us) / SECOND_US

    def fill(self, misread_ul: int = 0) -> None:
        """Empty the reservoir to its residual, fill it, tell the pump what came out (`misread_ul` more than did) and went in, and leave."""
        plant, volume_ul = self.world.plant, round(self.params.reservoir.capacity_ul - self.params.reservoir.residual_ul)
        withdrawn_ul = round(plant.withdraw()) + misread_ul
        plant.fill(volume_ul, {DRUG: self.concentration_ng_ml / NL_PER_UL})
        self.pump.refill(Fill("%g mL" % (volume_ul / 1000), DRUG, "%d ng/mL" % self.concentration_ng_ml, withdrawn="%g mL" % (withdrawn_ul / 1000)))
        self._filled_us = self.world.now_us

    @property
    def fill_lasts_s(self) -> int:
        """From one refill to the next, by the programmed rate."""
        usable_ul = self.params.reservoir.capacity_ul - self.params.reservoir.residual_ul
        return round(min(REFILL_S, REFILL_SHARE * usable_ul * NL_PER_UL / self.rate_nl_day * DAY_S))

    def run(self, until_s: float, refill: bool = True, stop: Callable[[], bool] = lambda: False) -> bool:
        """Go to `until_s` since the program began, refilling when due; early, and True, when `stop()` says so: asked at first often, then hourly."""
        end_us = self.start_us + round(until_s * SECOND_US)
        step_us = SECOND_US
        while self.world.now_us < end_us:
            if refill and self.world.now_us - self._filled_us >= self.fill_lasts_s * SECOND_US:
                self.fill()
            self.world.run_until(min(end_us, self.world.now_us + step_us))
            step_us = min(2 * step_us, HOUR_S * SECOND_US)      # a runaway is looked at soon: it wakes the pump at every step
            if stop():
                return True
        return False

    def delivered_ul(self) -> float:
        """What has left at the catheter's tip, in truth."""
        return float(self.world.truth()["delivered_ul"])

    def beyond_ul(self) -> float:
        """What has left at the tip beyond what the motor was told to turn, at the calibrated volume of a turn."""
        ordered_ul = self.world.ordered_steps * self.params.head.volume_per_rev_ul / self.params.motor.steps_per_rev
        return self.delivered_ul() - ordered_ul

    def critical_since(self, since_us: int) -> Heard | None:
        """The first critical (two-tone) alarm heard at or behind `since_us`; None: not yet."""
        return next((heard for heard in self.ears.heard if heard.t_us >= since_us and heard.detail == "two-tone"), None)

    def rows(self) -> list[int]:
        """The alarm rows (alarms.md 2) that stand or are latched, asked on the wire."""
        status = self.pump.status()
        return sorted({alarm.row for alarm in (*status.alarms, *status.latched)})
