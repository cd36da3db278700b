"""Pulses to motor steps for several heads: sums, remainders and the missed pairs."""

from thecal.firmware.ledger import CAUSES, Ledger

for nl_per_rev, steps_per_rev, pulse_nl in ((35000, 4096, 1000), (35000, 4096, 4000), (34987, 4096, 999), (60000, 200, 1500),
                                            (5000, 4096, 500), (17500, 3200, 250)):
    ledger = Ledger()
    ledger.commission(pulse_nl, nl_per_rev, steps_per_rev)
    steps, odd = 0, 0
    for count in range(1, 5001):
        turned = ledger.pulse()
        odd += turned == ledger.longest_pulse_steps()
        assert turned <= ledger.longest_pulse_steps()
        steps += turned
        if count % 997 == 0 or count < 200:
            ahead = steps * nl_per_rev - count * pulse_nl * steps_per_rev      # in 1/steps_per_rev nL: 0 <= ahead < one step
            assert 0 <= ahead < nl_per_rev, (count, ahead)
    assert ledger.revs * steps_per_rev + ledger.steps == steps
    assert ledger.pulsed_ul * 1000 + ledger.pulsed_nl == 5000 * pulse_nl
    print(nl_per_rev, steps_per_rev, pulse_nl, "steps", steps, ledger.revs, ledger.steps, ledger.steps_rem, "odd", odd)
    ledger.refill(20000000)
    for _ in range(300):
        ledger.pulse()
    ledger.lose_pulse()
    print("  reservoir", ledger.reservoir_nl(), ledger.lost_pulses)
    for cause in range(CAUSES):
        ledger.miss(cause, 1234567 * (cause + 1))
        ledger.miss(cause, 999)
    print("  missed", ledger.missed_ul, ledger.missed_nl)
    ledger.base_pulses = -(1 << 28)
    print("  never refilled", ledger.reservoir_nl())
