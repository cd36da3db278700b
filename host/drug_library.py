"""The drug library: one TOML file per drug in `drugs/`, every figure with its unit and its source, rules as fields and not as prose.

The loader refuses a file with an unknown key, a figure without a unit or an entry without a source, so a limit that nobody can
trace never reaches a patient. The key of a limit is drug + concentration + setting (trial, non-cancer, tolerant, cancer, child):
published cancer doses exceed the consensus limits two to four times (regimens.md, 6).
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable

from ..protocol import catalogue
from . import units
from .errors import RequestInvalid
from .texts import wire_text

SCHEMA = "thecal.drug/1"
FOLDER = Path(__file__).parent / "drugs"


@dataclass(frozen=True)
class Setting:
    """Limits of one drug in one care setting; ng/day, ng, percent of the running dose, seconds. None: no such limit is published.

    `*_soft` warns, `*_hard` refuses. `start_*` bind the first program of a patient, `step_*` each later one.
    """

    name: str
    dose_soft: Fraction
    dose_hard: Fraction
    start_min: Fraction | None = None
    start_soft: Fraction | None = None
    start_hard: Fraction | None = None
    step_soft: Fraction | None = None
    step_hard: Fraction | None = None
    step_interval_soft: int | None = None
    step_interval_hard: int | None = None
    ceiling_not_before: int | None = None
    bolus_soft: Fraction | None = None
    bolus_hard: Fraction | None = None


@dataclass(frozen=True)
class Drug:
    """One library entry: concentrations in ng/mL, lives in seconds, `version` rises with its file, `sources` maps 'section.key' to where a figure comes from.

    `hour_share` is the part of the hard daily limit that one hour may hold; `ptm_allowed` whether a patient may ask for a bolus: 'yes', 'mixed' (only
    with another drug) or 'no'; `trial_start` how many times the effective single dose of the trial a day starts with (0: no such rule), once only where
    its effect lasted longer than `trial_long_effect_s`; `watch_s` how long a patient is watched behind the first start (0: no figure); `bolus_allowed`
    whether the pump may give a bolus of it, whoever orders it; `diluted_life_s` its life at other concentrations than the maker's own, `undiluted_ng_ml`
    (0: no other)."""

    name: str
    version: int
    dose_unit: str
    concentration_unit: str
    default_setting: str
    abrupt_stop_dangerous: bool
    ptm_allowed: str
    hour_share: Fraction
    in_pump_life_s: int
    first_fill_life_s: int
    mixes_with: tuple[str, ...]
    mix_warning: str
    listed_ng_ml: tuple[Fraction, ...]
    concentration_soft_ng_ml: Fraction
    concentration_hard_ng_ml: Fraction
    settings: dict[str, Setting]
    sources: dict[str, str]
    trial_start: int = 0
    trial_long_effect_s: int = 0
    watch_s: int = 0
    bolus_allowed: bool = True
    diluted_life_s: int = 0
    undiluted_ng_ml: tuple[Fraction, ...] = ()

    def life_s(self, concentration_ng_ml: Fraction | int, first: bool) -> int:
        """Seconds that this drug lasts in the pump: diluted where it is at none of the maker's concentrations, and shorter in its first fill."""
        diluted = self.diluted_life_s > 0 and concentration_ng_ml not in self.undiluted_ng_ml
        life_s = self.diluted_life_s if diluted else self.in_pump_life_s
        return min(life_s, self.first_fill_life_s) if first else life_s

    def setting(self, name: str | None = None) -> Setting:
        """The limits for a care setting (None: the drug's default). Raises RequestInvalid with the names that exist."""
        chosen = self.settings.get(name or self.default_setting)
        if chosen is None:
            raise RequestInvalid(
                "setting %r is not in the library for %s; it has: %s" % (name or self.default_setting, self.name, ", ".join(sorted(self.settings))), "setting"
            )
        return chosen

    def show_dose(self, ng_day: Fraction | int) -> str:
        """A daily dose in the drug's customary unit: '150 ug/day'."""
        return units.show(ng_day, units.DOSE_RATE, self.dose_unit)

    def show_amount(self, ng: Fraction | int) -> str:
        """A single amount in the drug's customary unit: '50 ug'."""
        return units.show(ng, units.DOSE, self.dose_unit.partition("/")[0])

    def show_concentration(self, ng_ml: Fraction | int) -> str:
        """A concentration in the drug's customary unit: '500 ug/mL'."""
        return units.show(ng_ml, units.CONCENTRATION, self.concentration_unit)


_RULE_KEYS = {"abrupt_stop", "ptm_allowed", "hour_share", "in_pump_life", "first_fill_life", "mixes_with"}
_RULE_EXTRA = {"mix_warning", "trial_start", "trial_long_effect", "watch", "bolus_allowed", "diluted_life", "undiluted"}
_TOP_KEYS = {"schema", "version", "name", "dose_unit", "concentration_unit", "default_setting", "rules", "concentration", "setting"}
_CONCENTRATION_KEYS = {"listed", "soft", "hard"}
_PARSERS: dict[str, Callable[..., Any]] = {
    "step_soft": units.percent,
    "step_interval_soft": units.duration_s,
    "step_interval_hard": units.duration_s,
    "ceiling_not_before": units.duration_s,
    "bolus_soft": units.dose_ng,
    "bolus_hard": units.dose_ng,
}
_SETTING_KEYS = {f.name for f in fields(Setting)} - {"name"}


def _check_keys(table: object, required: set[str], optional: set[str], where: str) -> None:
    if not isinstance(table, dict):
        raise RequestInvalid("%s is missing or no table" % where)
    for key in table:
        if key not in required | optional:
            raise RequestInvalid("%s has the unknown key %r; it knows: %s" % (where, key, ", ".join(sorted(required | optional))))
    for key in sorted(required - set(table)):
        raise RequestInvalid("%s lacks %r" % (where, key))


class _Reader:
    """Reads leaves {value, source} of one file and keeps their sources."""

    def __init__(self, where: str):
        self.where = where
        self.sources: dict[str, str] = {}

    def leaf(self, table: dict[str, Any], section: str, key: str, kind: type | tuple[type, ...]) -> Any:
        name = "%s, %s.%s" % (self.where, section, key)
        _check_keys(table[key], {"value", "source"}, set(), name)
        source = table[key]["source"]
        if not isinstance(source, str) or not source.strip():
            raise RequestInvalid("%s has no source" % name)
        if not isinstance(table[key]["value"], kind):
            raise RequestInvalid("%s: value %r has the wrong type" % (name, table[key]["value"]))
        self.sources["%s.%s" % (section, key)] = source
        return table[key]["value"]

    def figure(self, table: dict[str, Any], section: str, key: str, parser: Callable[..., Any]) -> Any:
        value = self.leaf(table, section, key, (str, int, float))
        return parser(value, "%s, %s.%s" % (self.where, section, key))


def parse_drug(table: dict[str, Any], where: str) -> Drug:
    """A `Drug` from the parsed TOML `table`; `where` names the file in refusals.

    Raises RequestInvalid for an unknown or missing key, a figure without unit, an entry without source, limits out of order.
    """
    _check_keys(table, _TOP_KEYS, set(), where)
    if table["schema"] != SCHEMA:
        raise RequestInvalid("%s: schema %r is not %r" % (where, table["schema"], SCHEMA))
    read = _Reader(where)
    rules, strength = table["rules"], table["concentration"]
    _check_keys(rules, _RULE_KEYS, _RULE_EXTRA, "%s, rules" % where)
    _check_keys(strength, _CONCENTRATION_KEYS, set(), "%s, concentration" % where)
    stop = _choice(read, rules, "abrupt_stop", ("dangerous", "tolerated"))
    wire_text(str(table["name"]), "%s: name" % where, catalogue.DRUG_NAME_BYTES)
    drug = Drug(
        name=table["name"],
        version=_version(table["version"], where),
        dose_unit=table["dose_unit"],
        concentration_unit=table["concentration_unit"],
        default_setting=table["default_setting"],
        abrupt_stop_dangerous=stop == "dangerous",
        ptm_allowed=_choice(read, rules, "ptm_allowed", ("yes", "mixed", "no")),
        hour_share=read.figure(rules, "rules", "hour_share", units.percent) / 100,
        in_pump_life_s=read.figure(rules, "rules", "in_pump_life", units.duration_s),
        first_fill_life_s=read.figure(rules, "rules", "first_fill_life", units.duration_s),
        mixes_with=tuple(read.leaf(rules, "rules", "mixes_with", list)),
        mix_warning=read.leaf(rules, "rules", "mix_warning", str) if "mix_warning" in rules else "",
        listed_ng_ml=_strengths(read, strength, "concentration", "listed"),
        concentration_soft_ng_ml=read.figure(strength, "concentration", "soft", units.concentration_ng_ml),
        concentration_hard_ng_ml=read.figure(strength, "concentration", "hard", units.concentration_ng_ml),
        settings={name: _parse_setting(name, part, read) for name, part in table["setting"].items()},
        sources=read.sources,
        trial_start=read.leaf(rules, "rules", "trial_start", int) if "trial_start" in rules else 0,
        trial_long_effect_s=read.figure(rules, "rules", "trial_long_effect", units.duration_s) if "trial_long_effect" in rules else 0,
        watch_s=read.figure(rules, "rules", "watch", units.duration_s) if "watch" in rules else 0,
        bolus_allowed=read.leaf(rules, "rules", "bolus_allowed", bool) if "bolus_allowed" in rules else True,
        diluted_life_s=read.figure(rules, "rules", "diluted_life", units.duration_s) if "diluted_life" in rules else 0,
        undiluted_ng_ml=_strengths(read, rules, "rules", "undiluted") if "undiluted" in rules else (),
    )
    if drug.dose_unit not in units.DOSE_RATE.units or drug.concentration_unit not in units.CONCENTRATION.units:
        raise RequestInvalid("%s: dose_unit %r or concentration_unit %r is no unit" % (where, drug.dose_unit, drug.concentration_unit))
    drug.setting()
    if not Fraction(1, 24) < drug.hour_share <= 1:
        raise RequestInvalid("%s, rules.hour_share: %s %% is outside 4.17 .. 100 %%" % (where, units.decimal_text(drug.hour_share * 100)))
    if (drug.diluted_life_s > 0) != bool(drug.undiluted_ng_ml):
        raise RequestInvalid("%s, rules: 'diluted_life' and 'undiluted' are given together" % where)
    if drug.concentration_soft_ng_ml > drug.concentration_hard_ng_ml:
        raise RequestInvalid("%s, concentration: soft limit is above the hard limit" % where)
    return drug


def _strengths(read: _Reader, table: dict[str, Any], section: str, key: str) -> tuple[Fraction, ...]:
    """A list of concentrations, ng/mL."""
    return tuple(units.concentration_ng_ml(text, "%s, %s.%s" % (read.where, section, key)) for text in read.leaf(table, section, key, list))


def _choice(read: _Reader, rules: dict[str, Any], key: str, choices: tuple[str, ...]) -> str:
    value = read.leaf(rules, "rules", key, str)
    if value not in choices:
        raise RequestInvalid("%s, rules.%s: %r is none of: %s" % (read.where, key, value, ", ".join(choices)))
    return str(value)


def _version(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RequestInvalid("%s: version %r must be a whole number from 1" % (where, value))
    return value


def _parse_setting(name: str, table: dict[str, Any], read: _Reader) -> Setting:
    where = "%s, setting.%s" % (read.where, name)
    _check_keys(table, {"dose_soft", "dose_hard"}, _SETTING_KEYS, where)
    section = "setting.%s" % name
    values = {key: read.figure(table, section, key, _PARSERS.get(key, units.dose_rate_ng_day)) for key in table}
    for group in ("dose", "start", "bolus"):  # step limits differ in unit: percent warns, ng/day refuses
        low, high = values.get(group + "_soft"), values.get(group + "_hard")
        if low is not None and high is not None and low > high:
            raise RequestInvalid("%s: %s_soft is above %s_hard" % (where, group, group))
    return Setting(name=name, **values)


def load(folder: Path = FOLDER) -> dict[str, Drug]:
    """Every drug of a folder of TOML files, by name. Raises RequestInvalid naming the file and the key that is wrong."""
    return dict(_shipped()) if folder == FOLDER else _read(folder)


@functools.cache
def _shipped() -> dict[str, Drug]:
    """Our own files, which a process reads once: every prescription, fill and program read back asks for them."""
    return _read(FOLDER)


def _read(folder: Path) -> dict[str, Drug]:
    drugs = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise RequestInvalid("drug file %s is not TOML: %s" % (path.name, error)) from error
        drug = parse_drug(table, "drug file %s" % path.name)
        if drug.name != path.stem:
            raise RequestInvalid("drug file %s is about %r; file and drug must have one name" % (path.name, drug.name))
        drugs[drug.name] = drug
    return drugs


def find(name: object, library: dict[str, Drug] | None = None) -> Drug:
    """The library entry for a drug's name. Raises RequestInvalid listing the drugs there are."""
    library = load() if library is None else library
    drug = library.get(name) if isinstance(name, str) else None
    if drug is None:
        raise RequestInvalid("drug %r is not in the library; it has: %s" % (name, ", ".join(sorted(library))), "drug")
    return drug
