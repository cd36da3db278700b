"""What hands and fate do to the patient and the plant in a scenario: syringes, tablets, trials, faults. No telemetry here.

Each act happens at the world's present instant; the oracle is told of those that change what should be delivered. The
clinician (scenario.py) uses these hands and then tells the pump; under sim:// and serve only fate acts, the rest is the user's.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .environment import Environment
from .line_events import attack
from .oracle import Oracle
from .params import PatientParams, PlantParams
from .plant import Plant
from .plant_faults import Occurrence
from .scenario_surroundings import Drawn
from .world import World

SECOND_US = 1_000_000
DAY_S = 86_400
HOUR_S = 3600
NG_PER_MG = 1_000_000
# Kinds of events that need no clinician.
FATE = ("aspirate", "oral", "fault", "heal", "scan", "power_cut", "clock_jump", "reed_held", "port_injection", "torn_write", "store_flip", "store_dead",
        "ram_flip", "attack")
SCAN_T = 1.5                    # the usual scanner (clinical.md 1.5)
STALLING = ("rotor_stall", "field_t")   # faults in which the rotor stands
LOSING = ("kink", "intermittent_stall", "lost_steps", "battery_film_ohm")    # faults in which single pulses, or parts of them, are lost
TRIAL_WATCH_S = 24 * HOUR_S     # how long each trial dose is followed: doses stand 24 h apart (regimens.md 1)


class Bedside:
    """Hands on one world's plant. `swallowed_ng` counts tablets per drug; times of events are seconds from the implant.

    `occluded`: a kink was there, and how much a pulse delivered is the line's affair (judge.py); `losing`: pulses are lost that no outage
    tells the oracle of, one by one. `injected`: what was set by an event
    of the scenario, with its words: each must have fired in the end.
    """

    def __init__(self, world: World, oracle: Oracle) -> None:
        self.world = world
        self.oracle = oracle
        self.swallowed_ng: dict[str, float] = {}
        self.occluded = self.losing = False
        self.injected: list[tuple[str, Occurrence]] = []
        self._broken: dict[str, int] = {}
        self._expect_fields(world.plant.environment)
        world.reset_for = lambda from_us, to_us: oracle.outage(from_us, to_us, "reset")

    def _expect_fields(self, environment: Environment) -> None:
        """Spans in which the field of the scenario's table holds the rotor are outages for the oracle, told at their end."""
        since_us = None
        for at_us in environment.stops_us((self.world.plant.params.motor.field_stall_t,)):
            holds = (environment.at("field_t", at_us) or 0.0) >= self.world.plant.params.motor.field_stall_t
            if holds and since_us is None:
                since_us = at_us
                self.world.at(at_us, self._field_holds)
            elif not holds and since_us is not None:
                since_us = None
                self.world.at(at_us, lambda: self._over("environment"))

    def _field_holds(self) -> None:
        self._broken["environment"] = self.world.now_us

    def plant(self) -> Plant:
        """The plant, brought to the present."""
        self.world.plant.advance(self.world.now_us)
        return self.world.plant

    @property
    def stalled(self) -> bool:
        """True while the rotor is held: the oracle is told of the outage at its end."""
        return any(name in self._broken for name in (*STALLING, "environment"))

    # ------------------------------------------------------------------------------------------------ syringes

    def withdraw(self) -> float:
        """Empty the reservoir down to its residual; the uL that came out."""
        return self.plant().withdraw()

    def fill(self, volume_nl: int, content: Mapping[str, float], *, rinses: int = 0, rinse_nl: int = 0, overfill: bool = False,
             into: str = "reservoir") -> None:
        """Rinse `rinses` times with `rinse_nl` of the new drug, then fill `volume_nl`; `content` is ng/uL per drug. Raises ValueError.

        `into` "pocket": the needle missed the septum. The oracle is told what the reservoir has: what was withdrawn is gone, nothing came in.
        """
        plant, now_us = self.plant(), self.world.now_us
        for _ in range(rinses):
            plant.fill(rinse_nl / 1000, content)
            self.oracle.fill(now_us, rinse_nl, content)
            plant.withdraw()
        plant.fill(volume_nl / 1000, content, overfill, into)
        if into != "reservoir":
            self.oracle.fill(now_us, 0, {})
            self.world.happens("pocket_fill", volume_nl / 1e6, "%.3f mL" % (volume_nl / 1e6))
        else:
            self.oracle.fill(now_us, volume_nl, content)
        over_ul = plant.truth()["overfilled_ul"]
        if over_ul:
            self.world.happens("overfill", over_ul, "%.0f uL above the capacity" % over_ul)

    def catheter(self, content: Mapping[str, float]) -> None:
        """The catheter holds `content` (ng/uL per drug; none: aspirated through the access port) from now on."""
        self.plant().catheter(content)
        self.oracle.catheter(self.world.now_us, content)

    # ------------------------------------------------------------------------------------------------ fate

    def act(self, event: Any) -> None:
        """Carry out an event whose kind is in FATE."""
        getattr(self, "_" + event.kind)(event)

    def schedule(self, event: Any, at_us: int) -> None:
        """Have an event of FATE happen at `at_us` of its own accord."""
        self.world.at(at_us, lambda: self.act(event))

    def _oral(self, event: Any) -> None:
        """A tablet now and, with `every`, again until `until` (not included)."""
        now_us, every_s = self.world.now_us, event.read.get("every")
        self._swallow(event)
        if every_s:
            for at_s in range(event.at_s + every_s, event.read["until"], every_s):
                self.world.at(now_us + (at_s - event.at_s) * SECOND_US, lambda: self._swallow(event))

    def _swallow(self, event: Any) -> None:
        drug, dose_ng = event.read["drug"], float(event.read["dose"])
        self.plant().oral(drug, dose_ng / NG_PER_MG)
        self.swallowed_ng[drug] = self.swallowed_ng.get(drug, 0.0) + dose_ng

    def _aspirate(self, event: Any) -> None:
        """Drug leaves through the septum and the pump is not told: an overdose's first aid, or a theft."""
        taken_ul = self.plant().withdraw(event.read["volume"] / 1000)
        self.world.recorder.event(self.world.now_us, "plant", "aspirated", "%.3f mL" % (taken_ul / 1000))
        self.oracle.fill(self.world.now_us, 0, {}, taken_ul * 1000)

    def _fault(self, event: Any) -> None:
        self._begin(event.read["name"], event.read.get("value"), event.read.get("for"))
        self._must_fire(event)

    def _must_fire(self, event: Any) -> None:
        """What this event has just set is to have fired when the run is over."""
        seen = self.world.log_of_faults.occurrences[-1]
        self.injected.append(("event %d (%s %s)" % (event.number, event.kind, seen.name) if seen.name != event.kind else
                              "event %d (%s)" % (event.number, event.kind), seen))

    def _begin(self, name: str, value: float | bool | None, for_s: int | None) -> None:
        self.plant()
        self.world.fault(name, value)
        self._broken[name] = self.world.now_us
        self.occluded = self.occluded or name == "kink"
        self.losing = self.losing or name in LOSING
        if for_s is not None:
            self.world.at(self.world.now_us + for_s * SECOND_US, lambda: self._end(name))

    def _scan(self, event: Any) -> None:
        """The field of an MRI scanner holds the rotor and closes the reed switch, and lets both go again; with `bind` the gear not so soon."""
        if "bind" in event.read:
            self._begin("gear_bind", event.read["bind"] / HOUR_S, event.read["for"] + event.read["bind"])
            self._must_fire(event)
        self._begin("field_t", event.read.get("field", SCAN_T), event.read["for"])
        self._must_fire(event)

    def _reed_held(self, event: Any) -> None:
        """A phone at the skin."""
        self.hold_reed(event.read["for"])
        self._must_fire(event)

    def hold_reed(self, for_s: int) -> None:
        """Something that is no clinician's magnet closes the reed switch for so long."""
        self.world.reed_held()
        self.world.at(self.world.now_us + for_s * SECOND_US, lambda: self.world.heal("reed_held"))

    def _port_injection(self, event: Any) -> None:
        """A syringe at the catheter's access port: its content goes to the patient at once, and what is injected follows."""
        content = {event.values["drug"]: float(event.read["concentration"]) / 1000} if "drug" in event.values else {}
        self.plant().port_injection(event.read["volume"] / 1000, content)
        self.world.happens("port_injection", event.read["volume"] / 1e6, event.text)

    def _torn_write(self, event: Any) -> None:
        self.world.cut_at_write(event.read["write"], event.read.get("left", "nothing"))
        self._must_fire(event)

    def _store_flip(self, event: Any) -> None:
        self.world.store_flip(event.read["address"], event.read["bit"])
        self._must_fire(event)

    def _ram_flip(self, event: Any) -> None:
        self.world.ram_flip(event.read["record"], event.read["bit"])
        self._must_fire(event)

    def _attack(self, event: Any) -> None:
        attack(self.world, event.values["rules"], event.read["for"], event.read.get("listens", 0))
        self._must_fire(event)

    def _store_dead(self, event: Any) -> None:
        self.world.store_dead()
        self._must_fire(event)
        if "for" in event.read:
            self.world.at(self.world.now_us + event.read["for"] * SECOND_US, lambda: self.world.heal("store_dead"))

    def chance(self, fault: Drawn) -> None:
        """A fault that was drawn happens now; it need not fire, since nobody chose its hour."""
        if fault.name == "power_cut":
            self._cut(fault.for_s)
        elif fault.name == "reed_held":
            self.hold_reed(fault.for_s)
        else:
            self._begin(fault.name, fault.value, fault.for_s)

    def _heal(self, event: Any) -> None:
        self._end(event.read["name"])

    def _end(self, name: str) -> None:
        """Heal a fault; a stall that is over is an outage for the oracle, who was not told before how long it would last."""
        plant, dark_us = self.plant(), self.world.dark_us
        self.world.heal(name)
        if dark_us is not None and self.world.powered:      # a flat cell had left the pump dark
            self.oracle.outage(dark_us, self.world.now_us, "reset")
        if name in STALLING and plant.bound_until_us > self.world.now_us:       # the gear lets go later
            self.world.at(plant.bound_until_us, lambda: self._over(name))
        else:
            self._over(name)

    def _over(self, name: str) -> None:
        since_us = self._broken.pop(name, None)
        if name in (*STALLING, "environment") and since_us is not None:
            self.oracle.outage(since_us, self.world.now_us, "stall")

    def _power_cut(self, event: Any) -> None:
        self._cut(event.read["for"])
        self._must_fire(event)

    def _cut(self, for_s: int) -> None:
        now_us = self.world.now_us
        self.plant()
        self.world.power_cut(for_s)
        self.oracle.outage(now_us, now_us + for_s * SECOND_US, "reset")

    def _clock_jump(self, event: Any) -> None:
        self.world.clock_jump(event.read["by"])
        self._must_fire(event)

    def finish(self) -> None:
        """The run is over: what is still stalled or dark is an outage to the end."""
        if self.world.dark_us is not None:
            self.oracle.outage(self.world.dark_us, self.world.now_us, "reset")
        for name in (*STALLING, "environment"):
            self._over(name)


def oracle_for(start_pump_s: int, params: PlantParams) -> Oracle:
    """An oracle that knows the parts and nothing of the therapy yet."""
    return Oracle(start_pump_s, dead_nl=params.catheter.dead_ul * 1000, residual_nl=params.reservoir.residual_ul * 1000,
                  reservoir_nl=params.reservoir.initial_ul * 1000, tubing_nl=params.catheter.tubing_ul * 1000)


def trial(events: list[Any], params: PlantParams, patient: PatientParams, seed: int,
          seen: Callable[[float, Mapping[str, Any]], None]) -> Iterator[tuple[Any, float]]:
    """Play the screening doses in a plant of their own, before there is a pump; boluses and infusions; yields (event, peak lumbar ng/mL) for each.

    Every hour `seen(t_s, truth)` is told, with t_s < 0. What is left of the last dose at the implant is forgotten: 48 h after
    75 ug of baclofen that is 2^-20 of it.
    """
    if not events:
        return
    plant = Plant(params, patient, seed=seed)
    start_s = events[0].at_s
    for event, following in zip(events, [*(later.at_s for later in events[1:]), 0]):
        drug, infused_s = event.read["drug"], event.read.get("for", 0)
        plant.advance((event.at_s - start_s) * SECOND_US)
        plant.inject(drug, float(event.read.get("dose", 0)))
        peak, before_s = 0.0, event.at_s
        for at_s in range(event.at_s, min(following, event.at_s + max(infused_s, TRIAL_WATCH_S)), HOUR_S):
            plant.advance((at_s - start_s) * SECOND_US)
            given_s = min(at_s, event.at_s + infused_s) - before_s
            if given_s > 0:
                plant.inject(drug, float(event.read["rate"]) * given_s / DAY_S, (before_s - start_s) * SECOND_US)
            before_s = at_s
            truth = plant.truth()
            peak = max(peak, truth["lumbar_ng_per_ml"][drug])
            seen(at_s, truth)
        yield event, peak
