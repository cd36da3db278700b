"""Caps and boluses on a bench: the real Caps, PatientBolus and Schedule in an app that has nothing else, and a demand of its own.

Common dialect of both Pythons. The bench delivers in pulses by exact integers that it shares with nobody, at whole minutes or
finer; what each minute was due is kept, so that a test can look at any window of it.
"""

import struct

from thecal.firmware.bolus import PatientBolus
from thecal.firmware.caps import Caps
from thecal.firmware.schedule import Schedule
from thecal.firmware.settings import BOLUS_STATE_BYTES
from thecal.protocol import catalogue as cat

DAY_S = 86400
MONDAY_S = 735 * DAY_S
NO_DRUG = bytes(cat.DRUG_NAME_BYTES)
BRIDGE, BOLUS, PATIENT_BOLUS = 2, 3, 4


def named(text):
    return text + bytes(cat.DRUG_NAME_BYTES - len(text))


def steps_of(patterns):
    """The bytes of day patterns: lists of (minute, nL/day)."""
    data = b""
    for pattern in patterns:
        data += bytes([len(pattern)])
        for minute, rate_nl_day in pattern:
            data += struct.pack("<HI", minute, rate_nl_day)
    return data


def program(patterns=((((0, 400000),)),), weekdays=bytes(7), concentration_ng_ml=10000000, hour_nl=0, day_nl=0, **changes):
    """Values of a program block of morphine; caps in nL (at a concentration that divides them), 0: none."""
    values = {
        "drug_1": named(b"morphine"), "concentration_1_ng_ml": concentration_ng_ml, "drug_2": NO_DRUG, "concentration_2_ng_ml": 0,
        "drug_3": NO_DRUG, "concentration_3_ng_ml": 0, "fallback_nl_day": 0,
        "cap_hour_1_ng": hour_nl * (concentration_ng_ml // 1000000), "cap_day_1_ng": day_nl * (concentration_ng_ml // 1000000),
        "cap_hour_2_ng": 0, "cap_day_2_ng": 0, "cap_hour_3_ng": 0, "cap_day_3_ng": 0,
        "bolus_nl": 0, "bolus_s": 0, "lockout_min": 0, "interval_h": 0, "per_interval": 0, "per_day": 0, "released": 1,
        "bridge_nl": 0, "bridge_rate_nl_day": 0, "weekdays": weekdays, "patterns": len(patterns), "steps": steps_of(patterns),
    }
    for name, value in changes.items():
        assert name in values, name
        values[name] = value
    return values


# M3 of regimens.md: morphine 10 mg/mL, 4 mg/day; 0.2 mg over 10 min, lockout 3 h, 4 in 24 h
M3 = {"bolus_nl": 20000, "bolus_s": 600, "lockout_min": 180, "per_day": 4}


def drugs_of(values):
    return (values["drug_1"], values["concentration_1_ng_ml"], values["drug_2"], values["concentration_2_ng_ml"], values["drug_3"],
            values["concentration_3_ng_ml"])


class Bare:
    """Attributes and nothing else."""

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


class Alarms:
    def __init__(self):
        self.urgent = False
        self.rows = ()

    def is_active(self, row):
        return row in self.rows


class Bench:
    """An app as firmware/caps.py and firmware/bolus.py see it."""

    def __init__(self, pulse_nl=1000, now_s=MONDAY_S, uptime_s=0):
        self.now_s, self.uptime_s = now_s, uptime_s
        self.settings = Bare(steady_s=uptime_s, bolus_state=bytearray(BOLUS_STATE_BYTES), filled_s=0, changed_s=0, switched_s=0, old_share=0)
        self.ledger = Bare(pulse_nl=pulse_nl, base_nl=20000000)
        self.infusion = Bare(acc_nl=0, extra=0, extra_left_nl=0, extra_rate_nl_day=0)
        self.alarms = Alarms()
        self.contents = Bare(usable_nl=lambda: 18000000)
        self.schedule = Schedule()
        self.delivering = False
        self.program_drugs = ()
        self.program_block = b""    # nothing was filled since: a line holds what the caps say
        self.bolus = PatientBolus(self.settings)
        self.caps = Caps()
        self.caps.tick(uptime_s)
        self.exceeded = 0           # what Caps.exceeded said last that was not 0
        self.due = []               # (uptime at its end, 1/86400 nL due) of each stretch that was run
        self._rest = 0              # 1/86400 nL that make no whole nL yet
        self._left = 0              # 1/86400 nL of the extra

    def misfit(self):
        """The fill is what the program says."""
        return False

    def schedule_of(self, values):
        schedule = Schedule()
        schedule.load(values["weekdays"], values["patterns"], values["steps"])
        return schedule

    def refusal(self, values):
        """What a commit would be told."""
        return self.caps.commit_refusal(self, values, self.schedule_of(values))

    def commit(self, values):
        """Commit a program; 0 or the reason."""
        reason = self.refusal(values)
        if reason == 0:
            self.load(values)
        return reason

    def load(self, values, share=0):
        """Run a program without asking."""
        self.schedule = self.schedule_of(values)
        if share:
            self.caps.load(values, share)
        else:
            self.caps.load(values)
        self.bolus.load(values)
        self.program_drugs = drugs_of(values)
        self.delivering = True

    def request(self):
        """The patient asks; 0 and a bolus starts, or the reason."""
        reason = self.bolus.refusal(self)
        if reason:
            self.bolus.denied()
        else:
            self.bolus.granted()
            self.start(PATIENT_BOLUS, self.bolus.volume_nl, -(-self.bolus.volume_nl * DAY_S // self.bolus.seconds))
        return reason

    def start(self, kind, volume_nl, rate_nl_day):
        self.infusion.extra, self.infusion.extra_left_nl, self.infusion.extra_rate_nl_day = kind, volume_nl, rate_nl_day
        self._left = volume_nl * DAY_S

    def cut(self):
        """The extra ends now."""
        if self.infusion.extra >= BOLUS:
            self.bolus.ended(self.settings.steady_s)
        self.infusion.extra = self.infusion.extra_left_nl = self._left = 0

    def run(self, seconds, step_s=60):
        """Let time pass in steps of `step_s`, which must divide the schedule's steps; an extra ends at its own second."""
        infusion = self.infusion
        until_s = self.uptime_s + seconds
        while self.uptime_s < until_s:
            part = min(step_s, until_s - self.uptime_s)
            if infusion.extra:
                part = min(part, -(-self._left // infusion.extra_rate_nl_day))
            extra = infusion.extra
            due = 0
            if self.delivering and extra != BRIDGE:
                due = self.schedule.rate_at(self.now_s) * part
            if extra:
                volume = min(self._left, infusion.extra_rate_nl_day * part)
                self._left -= volume
                infusion.extra_left_nl = -(-self._left // DAY_S)
                due += volume
            self._rest += due
            infusion.acc_nl += self._rest // DAY_S
            self._rest %= DAY_S
            self.uptime_s += part
            self.now_s += part
            self.settings.steady_s += part
            self.due.append((self.uptime_s, due))
            self._pulses(extra)
            self.caps.tick(self.uptime_s)
            if extra and self._left == 0:
                self.cut()
                if extra == BRIDGE:
                    self.caps.release_old()

    def _pulses(self, extra):
        pulse_nl = self.ledger.pulse_nl
        while self.infusion.acc_nl >= pulse_nl:
            exceeded = self.caps.exceeded(pulse_nl, self.schedule.rate_at(self.now_s - 1))
            self.exceeded = exceeded or self.exceeded
            self.infusion.acc_nl -= pulse_nl
            self.caps.note(pulse_nl, extra)

    def most(self, window_s, behind_s=0):
        """The most that was due in any window of `window_s` that ends with a stretch, behind uptime `behind_s`, in 1/86400 nL."""
        most = inside = tail = 0
        for end_s, due in self.due:
            inside += due
            while self.due[tail][0] <= end_s - window_s:
                inside -= self.due[tail][1]
                tail += 1
            if end_s > behind_s:
                most = max(most, inside)
        return most
