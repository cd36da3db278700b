"""Hard caps of a program: mass of each drug in any hour and in any 24 h, from the library, and the CRC that says which library that was.

The pump enforces the caps by itself (firmware/caps.py). It counts in pulses and five-minute buckets, so a program that runs exactly at the
hard limit needs a little room above it: EXECUTION_SHARE and one pulse [judgement of this project].
"""

from __future__ import annotations

import binascii
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from .drug_library import Drug

if TYPE_CHECKING:
    from .prescription import Ingredient

EXECUTION_SHARE = Fraction(101, 100)    # of the library's limit: three five-minute buckets of a day are 1.04 %
NOT_CAPPED = (1 << 30) - 1              # the wire's top: a drug that this library does not know keeps what the pump said


@dataclass(frozen=True)
class Cap:
    """ng of one drug in any 1 h and in any 24 h."""

    hour_ng: int
    day_ng: int


def caps_of(items: tuple[Ingredient, ...], setting: str | None, pulse_nl: int) -> tuple[Cap, ...]:
    """One cap for each drug of a fill, from its hard daily limit and the share of it that one hour may hold. Raises RequestInvalid for a setting it lacks."""
    return tuple(_cap(item, item.drug, setting, pulse_nl) if item.drug else Cap(NOT_CAPPED, NOT_CAPPED) for item in items)


def _cap(item: Ingredient, drug: Drug, setting: str | None, pulse_nl: int) -> Cap:
    day_ng = drug.setting(setting).dose_hard
    pulse_ng = item.dose_ng(pulse_nl)
    return Cap(ceil(day_ng * drug.hour_share * EXECUTION_SHARE + pulse_ng), ceil(day_ng * EXECUTION_SHARE + pulse_ng))


def library_crc(items: tuple[Ingredient, ...], setting: str | None) -> int:
    """CRC-32 over the library entries behind a program: drug + concentration + setting, with every limit and the file's version."""
    entries = [_entry(item, item.drug, setting) for item in items if item.drug]
    return binascii.crc32(json.dumps(entries, sort_keys=True, default=str).encode())


def _entry(item: Ingredient, drug: Drug, setting: str | None) -> dict[str, Any]:
    rules = {name: value for name, value in asdict(drug).items() if name not in ("settings", "sources")}
    return {**rules, "concentration_ng_ml": item.concentration_ng_ml, "setting": asdict(drug.setting(setting))}
