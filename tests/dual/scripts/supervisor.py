"""The second hand: a script of looks at a rotor, with leases, stalls, creeping, wraps and a clock that jumps."""

from thecal.firmware.supervisor import Supervisor


class Motor:
    drops = 0

    def drop_enable(self):
        self.drops += 1


def show(title, supervisor, outcome):
    print(title, outcome, supervisor.seen, supervisor.expected, supervisor.lost_in_a_row, supervisor.busy, supervisor.stalled)


for counts, steps in ((4096, 4096), (200, 4096), (4096, 200)):
    motor = Motor()
    supervisor = Supervisor(motor)
    turn = 117 * steps // 4096 + 1
    supervisor.commission(counts, steps, turn)
    angle = counts - 3
    show("first", supervisor, supervisor.look(angle, 0))
    for moved in (100, 100, 100, 60, 49, 0, 0, 0, 0, 100, 130, 300, 0, 0):
        supervisor.lease(turn, 150)
        show("early", supervisor, supervisor.look(angle, 149))
        angle = (angle + turn * counts // steps * moved // 100) % counts
        show("late %d" % moved, supervisor, supervisor.look(angle, 86400))
        show("rest", supervisor, supervisor.look(angle, 300000))
    for creep in (3, 3, 3, -6, 8, 1, 40, -40, counts // 2, -(counts // 2), 9, -9):
        angle = (angle + creep) % counts
        show("creep %d" % creep, supervisor, supervisor.look(angle, 1000))
    supervisor.lease(turn, 150)
    supervisor.look(angle, 200)
    for wait_ms in (600000, 600000, 600000):
        show("half an hour", supervisor, supervisor.look(angle, wait_ms))
    print("drops", motor.drops)

supervisor = Supervisor(Motor())
supervisor.clock_set(63504000, 0)
for rtc_s, ticked_s in ((63504010, 10), (63504021, 20), (63504030, 30), (63504330, 330), (63504640, 340), (63504941, 341), (63504942, 342),
                        (63504000, 343), (63504001, 344), ((1 << 30) - 1, 345), (0, 346), (1, 347)):
    print("clock", rtc_s, ticked_s, supervisor.clock_jump_s(rtc_s, ticked_s))
