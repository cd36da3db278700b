"""Names known to MicroPython before and behind orders, pulses, a pause and a status.

MicroPython only. A name is kept for ever, and the pool of names doubles when it is full: at boot there is room for that, behind a week
of sessions the heap has no 7 KB in one piece any more. So a pump that runs must meet no new name.
"""

import micropython

from bare_pump import Bench

Bench(ready=False)
micropython.qstr_info()
pump = Bench()
pump.program(480000)
pump.run_s(3600)
pump.pause(30)
pump.run_s(2400)
pump.stop()
pump.run_s(60)
pump.resume()
pump.run_s(60)
micropython.qstr_info()
