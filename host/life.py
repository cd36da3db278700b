"""Records of the pump's life beside the program: what was filled in, whose pump it is and how it lies, the trial that came before it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping

from ..protocol import catalogue
from . import blocks, drug_library, units
from .drug_library import Drug
from .errors import RequestInvalid
from .limits import START, Finding, check_bolus, check_daily
from .prescription import Ingredient, Prescription
from .texts import read_text, wire_text

RESPONSES = ("none", "partial", "yes")      # to a trial dose; wire value = index
DOSE_KINDS = ("bolus", "infusion")          # wire value = index + 1
_DOSE_BYTES = 10
MAX_DOSES = 10                              # of a trial, protocol/catalogue.py
MOST_HOURS = 255                            # that a dose was given, watched or worked for, same place; of an infusion it stands for longer ones too
MRI_CLASSES = ("unknown", "safe", "conditional", "unsafe")


@dataclass(frozen=True)
class Contents:
    """The last fill: its drugs, what went in and what had been taken out (uL), the pump time at which its drug is past its life (0: not known).

    `next_s`: seconds behind it by which the next fill is due (0: not given); `rinse`: it was no fill but a rinse, 1 before a drug's first fill.
    """

    ingredients: tuple[Ingredient, ...]
    volume_ul: int
    withdrawn_ul: int
    expires_s: int
    lot: str
    next_s: int = 0
    rinse: int = 0

    @classmethod
    def read(cls, data: bytes, library: dict[str, Drug]) -> Contents | None:
        """From the fill file's bytes, None for none. Raises ProtocolProblem."""
        if not data:
            return None
        values = blocks.unpack(catalogue.REFILL, data)
        return cls(blocks.read_drugs(values, library), values["volume_ul"], values["withdrawn_ul"], values["expires_s"], read_text(values["lot"]),
                   values["next_s"], values["rinse"])

    def drugs_before(self) -> frozenset[str]:
        """The drugs that a next fill finds to have been in the pump: those of a rinse before their first fill have not (regimens.md 2)."""
        return frozenset() if self.rinse == 1 else frozenset(item.name for item in self.ingredients)

    def text(self) -> str:
        """'baclofen 500 ug/mL, 18.6 mL, lot A1'."""
        drugs = " + ".join("%s %s" % (item.name, item.show_concentration()) for item in self.ingredients)
        return "%s, %s%s" % (drugs, units.show(self.volume_ul * 1000, units.VOLUME, "mL", places=3), ", lot %s" % self.lot if self.lot else "")

    def to_dict(self) -> dict[str, Any]:
        return {"drugs": [{"name": item.name, "concentration": item.show_concentration()} for item in self.ingredients], "volume_ul": self.volume_ul,
                "withdrawn_ul": self.withdrawn_ul, "expires_s": self.expires_s, "lot": self.lot, "next_s": self.next_s, "rinse": self.rinse}


@dataclass(frozen=True)
class ImplantRecord:
    """Whose pump this is and how it lies; `implanted_s` is pump time, `mri` one of MRI_CLASSES (alarms.md 5)."""

    patient: str
    indication: str
    implanted_s: int
    tip_level: str = ""
    access_port: bool = True
    mri: str = "unknown"

    def values(self) -> dict[str, Any]:
        """The block's fields. Raises RequestInvalid for a text that is too long or not ascii, or an unknown MRI class."""
        if self.mri not in MRI_CLASSES:
            raise RequestInvalid("MRI class %r is none of: %s" % (self.mri, ", ".join(MRI_CLASSES)), "mri")
        return {"implanted_s": self.implanted_s, "patient": wire_text(self.patient, "patient", 8), "indication": wire_text(self.indication, "indication", 16),
                "tip_level": wire_text(self.tip_level, "tip level", 8), "access_port": int(self.access_port), "mri": wire_text(self.mri, "mri", 16)}

    @classmethod
    def read(cls, data: bytes) -> ImplantRecord | None:
        """From the implant file's bytes, None for none. Raises ProtocolProblem."""
        if not data:
            return None
        raw = blocks.unpack(catalogue.IMPLANT_RECORD, data)
        return cls(read_text(raw["patient"]), read_text(raw["indication"]), raw["implanted_s"], read_text(raw["tip_level"]),
                   bool(raw["access_port"]), read_text(raw["mri"]))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "implanted": units.pump_time_text(self.implanted_s)}


@dataclass(frozen=True)
class TrialDose:
    """One dose of a screening trial and what was seen: hours it was given and watched for, the response, hours it lasted (begun ones count), adverse effects, pain
    score 0-10."""

    kind: str
    dose_ng: int
    hours: int
    response: str
    effect_h: int = 0
    adverse: bool = False
    score: int = 0

    def __post_init__(self) -> None:
        for name, value, names in (("kind", self.kind, DOSE_KINDS), ("response", self.response, RESPONSES)):
            if value not in names:
                raise RequestInvalid("trial dose: %s %r is none of: %s" % (name, value, ", ".join(names)), name)
        for name, number, most in (("dose", self.dose_ng, 2**32 - 1), ("hours", self.hours, MOST_HOURS), ("effect", self.effect_h, MOST_HOURS), ("score", self.score, 10)):
            if not 0 <= number <= most:
                raise RequestInvalid("trial dose: %s is %d; allowed are 0 .. %d" % (name, number, most), name)


@dataclass(frozen=True)
class TrialRecord:
    """The trial before the implant, the step that decides whether a person gets a pump: its drug, doses and verdict."""

    ingredient: Ingredient
    doses: tuple[TrialDose, ...]
    indicated: bool

    @classmethod
    def of(cls, drug: str, concentration: str, doses: Iterable[Mapping[str, Any]], indicated: bool, library: dict[str, Drug] | None = None) -> TrialRecord:
        """`of('baclofen', '50 ug/mL', [{'dose': '50 ug', 'response': 'none'}, {'dose': '75 ug', 'response': 'yes', 'effect': '6 h'}], True)`.

        A dose may name `kind` ('bolus' or 'infusion': then a dose a day, with `watched`), `watched`, `effect`, `adverse`, `score`; a single dose behind
        another says how long `after` it, and that is not less than the library's interval (baclofen: 24 h). Raises RequestInvalid for a dose above the
        trial's hard limit, an unknown key, or more than 10 doses; a pump that is indicated without a dose that worked is refused too.
        """
        entry = drug_library.find(drug, library)
        strength = units.concentration_ng_ml(concentration, "concentration")
        if int(strength) <= 0:
            raise RequestInvalid("concentration %r of a trial holds no drug" % concentration, "concentration")
        made = tuple(_dose(entry, given, number) for number, given in enumerate(doses))
        if not 1 <= len(made) <= MAX_DOSES:
            raise RequestInvalid("a trial of %d doses; allowed are 1 .. %d" % (len(made), MAX_DOSES), "doses")
        if indicated and all(dose.response == "none" for dose in made):
            raise RequestInvalid("no dose of the trial had a response: no pump is indicated", "indicated")
        return cls(Ingredient(entry.name, int(strength), entry), made, indicated)

    def values(self) -> dict[str, Any]:
        """The block's fields."""
        tail = bytearray()
        for dose in self.doses:
            tail += bytes((DOSE_KINDS.index(dose.kind) + 1,)) + dose.dose_ng.to_bytes(4, "little")
            tail += bytes((dose.hours, RESPONSES.index(dose.response), dose.effect_h, int(dose.adverse), dose.score))
        return {"drug": wire_text(self.ingredient.name, "drug", catalogue.DRUG_NAME_BYTES), "concentration_ng_ml": self.ingredient.concentration_ng_ml,
                "indicated": int(self.indicated), "doses": bytes(tail)}

    @classmethod
    def read(cls, data: bytes, library: dict[str, Drug]) -> TrialRecord | None:
        """From the trial file's bytes, None for none. Raises ProtocolProblem."""
        if not data:
            return None
        raw = blocks.unpack(catalogue.TRIAL_RECORD, data)
        name = read_text(raw["drug"])
        parts = [raw["doses"][at:at + _DOSE_BYTES] for at in range(0, len(raw["doses"]), _DOSE_BYTES)]
        doses = tuple(TrialDose(DOSE_KINDS[part[0] - 1], int.from_bytes(part[1:5], "little"), part[5], RESPONSES[part[6]], part[7], bool(part[8]), part[9])
                      for part in parts)
        return cls(Ingredient(name, raw["concentration_ng_ml"], library.get(name)), doses, bool(raw["indicated"]))

    @property
    def effective(self) -> TrialDose | None:
        """The smallest dose that worked, a single one before an infusion; None where none did."""
        worked = [dose for dose in self.doses if dose.response == "yes"]
        return min(worked, key=lambda dose: (dose.kind != "bolus", dose.dose_ng), default=None)

    def usual_start_ng_day(self) -> int | None:
        """The daily dose that a pump starts with behind this trial: what an infusion of it gave, or the library's multiple of a single dose.

        Baclofen: twice the effective dose, once where its effect lasted over 8 h (regimens.md 1). None where no dose worked or the library has no rule.
        """
        dose, drug = self.effective, self.ingredient.drug
        if dose is None or (dose.kind == "bolus" and (drug is None or drug.trial_start == 0)):
            return None
        if dose.kind == "infusion" or drug is None:
            return dose.dose_ng
        return dose.dose_ng * (1 if dose.effect_h * 3600 > drug.trial_long_effect_s else drug.trial_start)

    def lines(self) -> list[str]:
        """One line a dose, and the verdict."""
        told = ["%s %s%s: response %s%s%s%s" % (
            self.ingredient.show_amount(dose.dose_ng), dose.kind, " for %d h or longer" % MOST_HOURS if dose.hours == MOST_HOURS else "", dose.response, " for %d h" % dose.effect_h if dose.effect_h else "",
            ", adverse effects" if dose.adverse else "", ", pain score %d" % dose.score if dose.score else "") for dose in self.doses]
        return [*told, "a pump is %sindicated" % ("" if self.indicated else "NOT ")]

    def to_dict(self) -> dict[str, Any]:
        return {"drug": self.ingredient.name, "concentration": self.ingredient.show_concentration(), "indicated": self.indicated,
                "doses": [asdict(dose) for dose in self.doses]}


def trial_findings(trial: TrialRecord | None, program: Prescription) -> list[Finding]:
    """What the screening trial says of a first program: nothing on record, no pump indicated, or its dose beside the start that the trial found."""
    if trial is None:
        return [Finding("no screening trial is on record")]
    if not trial.indicated:
        return [Finding.soft(START, "the screening trial of %s says that no pump is indicated" % trial.ingredient.name)]
    dose = program.daily_dose_ng().get(trial.ingredient.name)
    if dose is None:
        return [Finding("the screening trial was of %s, which this program does not give" % trial.ingredient.name)]
    shown, usual = trial.ingredient.show_dose, trial.usual_start_ng_day()
    if usual is None:
        return [Finding("the screening trial of %s found no dose to start with: %s" % (trial.ingredient.name, "; ".join(trial.lines())))]
    sentence = "screening trial: %s; the usual start is %s, this program starts with %s" % ("; ".join(trial.lines()), shown(usual), shown(dose))
    found = [Finding.soft(START, sentence + ", which is more") if dose > usual else Finding(sentence)]
    worked = trial.effective
    if worked is not None and worked.adverse:
        found.append(Finding("the %s %s that the usual start follows from had adverse effects: weigh a lower start (side effects ask for 10-20 %% less)" % (
            trial.ingredient.show_amount(worked.dose_ng), worked.kind)))
    return found


def _dose(drug: Drug, given: Mapping[str, Any], before: int) -> TrialDose:
    """A dose of a trial that had `before` of them already."""
    for key in given:
        if key not in ("dose", "kind", "after", "watched", "response", "effect", "adverse", "score"):
            raise RequestInvalid("trial dose has the unknown key %r" % key, str(key))
    if "dose" not in given:
        raise RequestInvalid("trial dose lacks 'dose': every dose of a trial has an amount", "dose")
    kind, score = given.get("kind", "bolus"), given.get("score", 0)
    if not isinstance(score, int):
        raise RequestInvalid("trial dose: score %r is not a whole number 0 .. 10" % (score,), "score")
    if kind == "infusion":
        amount = units.dose_rate_ng_day(given["dose"], "dose")
        check_daily(drug, amount, "trial")
        if not _hours(given, "watched"):
            raise RequestInvalid("trial dose: the infusion of %s has no length: give the hours of it as 'watched'" % given["dose"], "watched")
    else:
        amount = units.dose_ng(given["dose"], "dose")
        check_bolus(drug, amount, "trial")
        if before:
            _check_interval(drug, given)
    if round(amount) <= 0:
        raise RequestInvalid("trial dose: %r is no dose" % given["dose"], "dose")
    watched, effect = _hours(given, "watched"), _hours(given, "effect", begun=True)
    if kind == "infusion":
        watched = min(watched, MOST_HOURS)      # published trials last three weeks (regimens.md 2): lines() says that it was this or longer
    for name, hours in (("watched", watched), ("effect", effect)):
        if hours > MOST_HOURS:
            raise RequestInvalid("trial dose: %s %s is longer than the %d h that the pump's record holds" % (name, given[name], MOST_HOURS), name)
    return TrialDose(kind, round(amount), watched, given.get("response", "none"), effect, bool(given.get("adverse", False)), score)


def _check_interval(drug: Drug, given: Mapping[str, Any]) -> None:
    """A single dose on top of what the one before it still does is no trial of either. Raises RequestInvalid."""
    least_s = drug.setting("trial").step_interval_soft
    if least_s is None:
        return
    if "after" not in given:
        raise RequestInvalid("trial dose: how long after the one before it was %s given? Say it as 'after'; %s of %s is the least" % (
            given["dose"], units.duration_text(least_s), drug.name), "after")
    if units.duration_s(given["after"], "after") < least_s:
        raise RequestInvalid("trial dose: %s of %s %s after the one before it; the least is %s" % (
            given["dose"], drug.name, given["after"], units.duration_text(least_s)), "after")


def _hours(given: Mapping[str, Any], key: str, begun: bool = False) -> int:
    """Whole hours. `begun` ones count of an effect: one of 8 h 30 min lasted over 8 h; of a watch they do not."""
    return (units.duration_s(given[key], key) + (3599 if begun else 0)) // 3600 if key in given else 0
