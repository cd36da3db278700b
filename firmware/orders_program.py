"""The program order: what must be true of a new program beside the old one, the drug in the pump and the catheter; and its commit.

Refused: other drugs than the fill's, a change of drug or concentration without the bridge that the line's content calls for, a bridge
with nothing to bridge or another volume than that, a rise above the library's step, and whatever could exceed a cap.
"""

from ..protocol import catalogue as cat
from . import alarms as al
from . import emergency, loading
from .blocks import DRUGS, drugs_of, values_of
from .caps import ONE, behind, bridged, caps_of, share_of
from .infusion import BRIDGE, PRIME
from .limits import DAY_S
from .orders import acknowledge, store
from .schedule import Schedule

NO_BRIDGE, STEP = 0x0001, 0x0002       # bits of `overrides`: without the bridge; a step above the library's limit


def refusal(app, block, values):
    """0, or the R_* reason why this program may not follow the one that runs."""
    drugs, old = drugs_of(values), app.program_block
    if app.ledger.base_nl == 0:
        return cat.R_RESERVE            # there is nothing to program
    if app.fill_drugs and drugs != app.fill_drugs:
        return cat.R_DRUG
    reason = _bridge_refusal(app, values, len(old) > 0 and drugs != app.program_drugs)
    if reason:
        return reason
    schedule = schedule_of(values)
    if compare(app, values, schedule) == TOO_MUCH and not values["overrides"] & STEP:
        return cat.R_STEP
    return app.caps.commit_refusal(app, values, schedule)


def _bridge_refusal(app, values, changed):
    """0, or why this bridge is none for this program: `changed`, it is of other drugs than the one that runs.

    Due is what the line still holds of the old drug: of its volume, what has not been pushed on since the fill. The same where the catheter
    was emptied and the tubing was not: it takes as much before anything reaches the tip. A bridge that is longer gives the new drug at the
    old rate, a shorter one the old drug at the new.
    """
    ledger, bridge_nl, left_nl, filled = app.ledger, values["bridge_nl"], app.infusion.bridge_left_nl(), app.catheter_filled()
    if bridge_nl and app.infusion.extra == PRIME:
        return cat.R_BUSY
    if left_nl:
        least_nl, most_nl = left_nl, app.dead_volume_nl
        if changed:
            return cat.R_BRIDGE
    elif changed:
        pushed_nl = ledger.base_nl - ledger.reservoir_nl()
        most_nl = max(0, app.dead_volume_nl - pushed_nl) if filled or app.line_nl() else 0
        least_nl = most_nl if (filled or app.line_nl() > pushed_nl) and not values["overrides"] & NO_BRIDGE else 0
        if most_nl:     # and what runs while a look is signed: twice STAGE_LIFE_S
            most_nl = min(app.dead_volume_nl, most_nl + ledger.pulse_nl + app.effective_rate() // 144)
    else:
        least_nl, most_nl = 0, 0 if app.program_block or not filled else app.dead_volume_nl
    return 0 if least_nl <= bridge_nl + ledger.pulse_nl and bridge_nl <= most_nl else cat.R_BRIDGE


def schedule_of(values):
    """The schedule of a program that does not run yet."""
    schedule = Schedule()
    schedule.load(values["weekdays"], values["patterns"], values["steps"])
    return schedule


SAME, LESS, RISE, TOO_MUCH = range(4)


def compare(app, values, schedule):
    """The new day's dose beside the running one's, drug by drug: the most of SAME, LESS, RISE and TOO_MUCH (for the step limits).

    Compared are the basal day and the day with every patient bolus granted. A drug that is new has no step: its start is the library's
    matter. A bridge compares volume with volume: it is the old drug.
    """
    if not app.program_block:
        return RISE
    old = values_of(cat.PROGRAM, app.program_block)
    found, granted_nl = SAME, len(app.bolus.starts(values, DAY_S, 0, False)) * values["bolus_nl"]
    if granted_nl and (values["bolus_nl"] != old["bolus_nl"] or values["lockout_min"] < old["lockout_min"]):
        found = LESS
    for index in DRUGS:
        for other in DRUGS:
            if values["drug_" + index][0] and values["drug_" + index] == old["drug_" + other]:
                new, had = values["concentration_%s_ng_ml" % index], old["concentration_%s_ng_ml" % other]
                basal_nl, basal_had_nl = schedule.most_daily_nl, app.schedule.most_daily_nl
                found = max(found, _step(app, values, basal_nl * new, basal_had_nl * had),
                            _step(app, values, (basal_nl + granted_nl) * new, (basal_had_nl + app.bolus.most_daily_nl) * had))
    if app.program_drugs != drugs_of(values):
        found = max(found, LESS)
    if values["bridge_nl"]:
        found = max(found, _step(app, values, values["bridge_rate_nl_day"],
                                 app.bridge_rate_nl_day if app.infusion.bridge_left_nl() else app.schedule.most_daily_nl))
    return found


def _step(app, values, new, old):
    if new <= old:
        return LESS if new < old else SAME
    pct, interval_h = values["step_pct"], values["step_interval_h"]
    if (pct and new * 100 > old * (100 + pct)) or (interval_h and app.settings.steady_s + 1 - app.settings.rise_s < interval_h * 3600):
        return TOO_MUCH
    return RISE


def execute(app, block, values):
    """Two slots, the pointer last; the old program runs until then. A bridge starts with the record that commits it."""
    settings, infusion = app.settings, app.infusion
    found = compare(app, values, schedule_of(values))
    copy = app.supervisor.keep(values["fallback_nl_day"], app.minimum_rate_nl_day, values["safe_state"])
    try:
        slot = settings.save_program(block.canonical, len(block.canonical), app.now_s)
        settings.save_copy(copy, slot)
    except OSError:
        return cat.R_STORE
    changes = {
        "program_slot": slot, "program_digest": block.digest, "prescriptions": settings.prescriptions + 1,
        "given_s": 0, "fallback_nl_day": values["fallback_nl_day"], "safe_state": values["safe_state"], "abrupt_stop": values["abrupt_stop"]}
    if found >= RISE:
        changes["rise_s"] = settings.steady_s + 1
    if found > SAME:
        changes["changed_s"] = settings.steady_s + 1
    share, bridge_nl = share_of(app.program_drugs, drugs_of(values)), values["bridge_nl"]
    kept = (infusion.extra, infusion.extra_left_nl, infusion.extra_rate_nl_day)
    if bridge_nl:
        if not infusion.bridge_left_nl() and app.program_block:
            changes["old_cap_hour_nl"], changes["old_cap_day_nl"] = caps_of(values_of(cat.PROGRAM, app.program_block))
            changes["bridge_share"] = share
            share = ONE         # the head keeps the old drug for now
        infusion.start_extra(BRIDGE, bridge_nl, values["bridge_rate_nl_day"])
    elif infusion.extra == BRIDGE:      # less than a pulse of it is left, and nobody restates that: it is over
        infusion.cut_extra()
        bridged(settings, changes)
    elif share != ONE:
        changes["old_share"], changes["switched_s"] = behind(settings, share), settings.steady_s
    reason = store(app, block, changes)
    if reason:
        infusion.extra, infusion.extra_left_nl, infusion.extra_rate_nl_day = kept
        return reason
    loading.program(app, block.canonical, share, values)
    app.supervisor.take(copy)
    if kept[0] == BRIDGE and not bridge_nl:
        app.caps.release_old()
        app.log(cat.E_BRIDGE_END)
    if bridge_nl or kept[0] == BRIDGE:
        app.supervisor.allow(bridge_nl, bridge_nl > 0)
    app.alarm(al.RECORDS, False)
    app.alarm(al.DRUGS, False)
    emergency.end(app)
    acknowledge(app)
    app.follow(app.now_s)       # the event tells the new rate
    app.log(cat.E_PROGRAM, values["mode"], app.schedule.daily_nl(app.now_s // 86400 % 7), app.program_rate)
    if values["overrides"]:
        app.log(cat.E_OVERRIDE, values["override_why"], values["overrides"])
    if bridge_nl:
        app.log(cat.E_BRIDGE, 0, bridge_nl, values["bridge_rate_nl_day"])
    return 0
