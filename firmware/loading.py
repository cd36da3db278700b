"""Canonical blocks into the running pump: what the store holds of head, program and fill, at boot and behind each order."""

import gc
import sys

from ..protocol import catalogue as cat
from .blocks import drugs_of, values_of
from .caps import ONE

OFF, ON, LEARNED, FACTORY = range(4)        # cause of E_CALIBRATION


HOST = sys.implementation.name == "cpython"


def collect():
    """Gather what is free, before something large is wanted. Not on CPython, which counts references."""
    if not HOST:
        gc.collect()


def forget(name):
    """Give a module of this package that is used once, or rarely, back to the heap; who imports it again loads it again.

    On CPython it stays: many pumps share it.
    """
    if not HOST:
        package = __name__.rpartition(".")[0]
        del sys.modules[package + "." + name]
        delattr(sys.modules[package], name)


def commission(app, block):
    """Take the constants of a canonical commissioning block."""
    values, ledger = values_of(cat.COMMISSION, block), app.ledger
    app.commission_block = block
    app.serial, app.minimum_rate_nl_day = values["serial"], values["minimum_rate_nl_day"]
    app.nl_per_rev, app.steps_per_rev = values["nl_per_rev"], values["steps_per_rev"]
    app.tubing_nl, app.dead_volume_nl = values["tubing_nl"], values["dead_volume_nl"]
    app.contents.commission(values["level_nl_per_count"], values["capacity_ul"], values["residual_ul"])
    app.sensing.commission(values)
    remainder = ledger.steps_rem
    ledger.commission(values["pulse_nl"], app.nl_per_rev, app.steps_per_rev)
    if ledger.pulses:
        ledger.steps_rem = remainder % app.nl_per_rev
    app.infusion.commission(values["step_hz"])
    app.supervisor.commission(values["counts_per_rev"], app.steps_per_rev, ledger.longest_pulse_steps(), app.nl_per_rev)
    app.supervisor.trim(app.settings.trim)
    app.trim.set(app.settings.trim)
    app.sensing.note()


def trim(app, part, cause):
    """Another trim of the calibration from now on; the caller stores the state. The supervisor is told, and holds the bound by itself."""
    settings = app.settings
    before = app.trim.part if cause <= ON else settings.trim       # an order is stored before it acts, what was learned acts before
    app.trim.set(part)
    app.supervisor.trim(part)
    settings.trim = app.trim.part
    if cause <= ON or settings.trim != before:
        app.log(cat.E_CALIBRATION, cause, settings.trim, before)


def program(app, block, share=ONE, values=None):
    """Run a canonical program block from now on. `share`: of caps.share_of, when the drug in the head changes at once. `values`: of the block, if known."""
    values, settings = values or values_of(cat.PROGRAM, block), app.settings
    app.program_block = block
    app.program_mode = values["mode"]
    app.program_drugs = drugs_of(values)
    app.bridge_rate_nl_day = values["bridge_rate_nl_day"]
    app.schedule.load(values["weekdays"], values["patterns"], values["steps"])
    app.schedule.given_s = settings.given_s
    app.caps.load(values, share)
    if settings.old_cap_day_nl:
        app.caps.hold_old(settings.old_cap_hour_nl, settings.old_cap_day_nl, settings.bridge_share)
    app.bolus.load(values)
    app.supervisor.load(block, len(block) - len(values["steps"]) - 8)       # weekdays and the number of patterns lie before the steps
    app.sensing.note()


def fill(app, block):
    """What the reservoir was filled with, from a canonical refill block."""
    values = values_of(cat.REFILL, block)
    app.fill_drugs = drugs_of(values) if values["drug_1"][0] else ()
    app.expires_s, app.next_s = values["expires_s"], values["next_s"]
    if app.program_block:
        app.caps.refilled(values_of(cat.PROGRAM, app.program_block), app.fill_drugs)
