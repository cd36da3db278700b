"""A run against the oracle: the firmware's ledger and the plant's truth beside what the prescription demands, each figure with its bound."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .oracle import Number, Oracle
from .oracle import exact as _exact

FAULTY_REL = "0.03"


@dataclass(frozen=True)
class Bounds:
    """How far a run may stand from the oracle.

    `pulse_nl`: one motor order, largest. `pitch_nl`: the head's volume between two rollers (8.75 uL), within which delivery lags and leads.
    `delivered_rel`: through the tip against ordered, `dose_rel`: drug mass likewise; 0.1 % for a healthy head, whose turns are exact but for
    slip; FAULTY_REL for a declared fault (delivered over programmed 97.1 % in implanted pumps, clinical.md 1). `front_rel`: share of the dead
    volume that a front is smeared over (7.7 cm of 80 at priming speed, clinical.md 4). `mass_rel`: DESIGN 9. `missed_nl`: None for two pulses a gap.
    """

    pulse_nl: Number
    pitch_nl: Number = 0
    delivered_rel: Number = "0.001"
    dose_rel: Number = "0.001"
    front_rel: Number = "0.1"
    mass_rel: float = 1e-9
    missed_nl: Number | None = None


def judge(oracle: Oracle, run: Mapping[str, Any], truth: Mapping[str, Any], t_us: int, bounds: Bounds) -> list[dict[str, Any]]:
    """Expectation rows {name, ok, value, bound, unit} of a run at `t_us`: values are distances from the prescription.

    `run` is the firmware's ledger: demanded_nl, ordered_nl, missed_nl (a number, or a dict by cause). `truth` is the plant's:
    delivered_ul, tip_ng {drug: ng}, reservoir_ul, mass_error; what it lacks is not judged. What strayed through a leak or a migrated tip
    (strayed_ul, strayed_ng) has been delivered as far as the pump is concerned: whom it reached is for expectations.
    """
    pulse, slack, gaps = _exact(bounds.pulse_nl, "pulse_nl"), oracle.slack_nl(t_us), oracle.gaps(t_us)
    rows: list[dict[str, Any]] = []

    def row(name: str, distance: Number, bound: Number, unit: str, below: bool = False) -> None:
        value, limit = abs(Fraction(distance)), Fraction(bound)
        rows.append({"name": name, "ok": value < limit if below else value <= limit, "value": float(value), "bound": float(limit), "unit": unit})

    demanded, ordered = Fraction(run["demanded_nl"]), Fraction(run["ordered_nl"])
    # Integer nL on the wire, whole-second timekeeping, and at each gap the part of a pulse that was under way.
    row("demanded as prescribed", demanded - oracle.demanded_nl(t_us), 1 + slack + pulse * gaps, "nL")
    row("ordered within one pulse of demanded", demanded - ordered, pulse, "nL", below=True)
    missed, booked = oracle.missed_nl(t_us), run["missed_nl"]
    missed_bound = 1 + slack + 2 * pulse * gaps if bounds.missed_nl is None else _exact(bounds.missed_nl, "missed_nl")
    if isinstance(booked, Mapping):
        for cause in sorted({*missed, *booked}):
            row(f"missed through {cause}", Fraction(booked.get(cause, 0)) - missed.get(cause, 0), missed_bound, "nL")
    else:
        row("missed as prescribed", Fraction(booked) - sum(missed.values()), missed_bound, "nL")
    lump = pulse + _exact(bounds.pitch_nl, "pitch_nl")
    volume_bound = _exact(bounds.delivered_rel, "delivered_rel") * ordered + lump
    if "delivered_ul" in truth:
        left_ul = Fraction(truth["delivered_ul"]) + Fraction(truth.get("strayed_ul", 0))
        row("delivered through the tip as ordered", left_ul * 1000 - ordered, volume_bound, "nL")
    expected = oracle.expected_tip(t_us)
    if "reservoir_ul" in truth:
        row("reservoir holds what it should", Fraction(truth["reservoir_ul"]) * 1000 - expected.reservoir_nl, volume_bound, "nL")
    peak = oracle.peak_conc_ng_ul(t_us)
    for drug, dose in sorted(expected.dose_ng.items() if "tip_ng" in truth else ()):
        bound = _exact(bounds.dose_rel, "dose_rel") * dose + _exact(bounds.front_rel, "front_rel") * oracle.dead_nl * peak[drug] / 1000
        left_ng = Fraction(truth["tip_ng"].get(drug, 0)) + Fraction(truth.get("strayed_ng", {}).get(drug, 0))
        row(f"{drug} through the tip", left_ng - dose, bound + lump * peak[drug] / 1000, "ng")
    if "mass_error" in truth:
        row("drug mass closes", Fraction(truth["mass_error"]), Fraction(bounds.mass_rel), "relative")
    return rows
