"""A year of demand in odd chunks, at rates that divide a day badly and well: the total and the remainder, exact."""

from thecal.firmware.infusion import Integrator

YEAR_S = 366 * 86400
for rate_nl_day in (1, 6000, 48000, 86399, 86401, 500000, 999999, 24000000):
    demand = Integrator()
    chunk_s, total_nl, passed_s, chunks = 1, 0, 0, 0
    while passed_s < YEAR_S:
        chunk_s = (chunk_s * 75 + 74) % 65537
        part_s = min(chunk_s, YEAR_S - passed_s)
        total_nl += demand.run(rate_nl_day, part_s)
        passed_s += part_s
        chunks += 1
        assert total_nl * 86400 + demand.rem == rate_nl_day * passed_s, (rate_nl_day, passed_s)
    print(rate_nl_day, chunks, total_nl, demand.rem)

# One integrator through many rates: the remainder is handed on, nothing is lost at a change.
demand, total_nl, due, rate_nl_day, part_s = Integrator(), 0, 0, 1, 1
for _ in range(3000):
    rate_nl_day = (rate_nl_day * 48271 + 11) % 24000001
    part_s = (part_s * 75 + 74) % 65537 % 7300
    total_nl += demand.run(rate_nl_day, part_s)
    due += rate_nl_day * part_s
    assert total_nl * 86400 + demand.rem == due
print("mixed", total_nl, demand.rem)
