"""The learning calibration: what a revolution moves beyond the factory's figure, in thousandths, learned at refills and bounded.

Off by default. A clinician switches it on (block `calibration`, logged, in the status), and it only ever moves behind a clinician's
refill. Between two refills the level sensor walks by 50 uL a root day and cannot tell 1 % in any time; *across* a refill, minutes
apart, it has not walked at all. There it says how much lay in the reservoir that was emptied, so how much left beyond the orders
since the refill before (firmware/contents.py); the syringe says the same by what it drew. `learn` goes by the median of sensor,
syringe and nothing: neither moves the trim without the other. One move is half of what was seen, at most SLEW; the trim never leaves
+/-MOST, whatever is learned, stored or told: `steps` holds the bound once more where it acts, and so does the supervisor for itself.

What counts by what: the ledger orders in *calibrated* volume, so |demanded - ordered| < one pulse holds across every change of the
trim and the patient's volume is the ordered one when the trim is right; `steps` then turns the ledger's steps into the motor's. The
level test and the encoder's volumes go by the *factory's* figure: the motor's own turns are what they count, so a head of 1.3 stands
out by the same 30 % whatever the trim is. The supervisor books a turn with the trim that it was told, if that is within the bound.

Back to the factory's: row 5, 10 or 21, another commissioning, the order off. The class knows nothing of the pump: a simulation of
years drives it with `learn` once a refill; a turn then counts for 1000 + `part` thousandths of the factory's volume.
"""

MOST = 50           # thousandths: the error of a sound head by tube and wear is some per cent; more is a fault and the level test's
SLEW = 20           # of one refill: a change of dose that no patient feels, a fraction of a titration step
SENSELESS = 100     # a tenth of the fill is no calibration: theft, pocket fill, a wrong figure
LEAST_UL = 8000     # ordered since the refill before: 50 uL of noise are then 0.6 %


class Trim:
    """`part` is the trim in thousandths, -MOST..MOST; 0: the factory's. Allocates nothing."""

    def __init__(self):
        self.part = 0
        self._rem = 500         # of a step, in 1/(1000 + part): it begins in the middle at each boot, so that no direction is favoured

    def set(self, part):
        """Go by this trim from now on, within the bound."""
        self.part = max(-MOST, min(MOST, part))

    def steps(self, steps):
        """The motor's steps for `steps` (0..32767) of a head as the factory knew it: fewer when a revolution moves more."""
        whole = 1000 + self.part
        total = steps * 1000 + self._rem
        self._rem = total % whole
        return total // whole

    def learn(self, seen_ul, told_ul, ordered_ul):
        """At a refill: the trim from now on, also set.

        `ordered_ul`: ordered since the refill before; `seen_ul`, `told_ul`: what left the reservoir beyond that (+) or stayed (-), by the
        level's rise and by the syringe. Less than LEAST_UL teaches nothing, nor does a difference that is no calibration's.
        """
        least, most = min(seen_ul, told_ul), max(seen_ul, told_ul)
        if ordered_ul >= LEAST_UL and 1000 * most <= SENSELESS * ordered_ul and -1000 * least <= SENSELESS * ordered_ul:
            excess_ul = max(0, least) + min(0, most)        # the median of both and 0
            self.set(self.part + max(-SLEW, min(SLEW, (1000 * excess_ul + ordered_ul) // (2 * ordered_ul))))
        return self.part
