"""Heap of a booted, idle pump after a collection: modules, schema, tables, App, latched ports; the FRAM itself not counted.

MicroPython only. The store answers from nothing, so no bench stands beside the pump in the figure.
"""

import gc
#%%
gc.collect()
#%%
start_bytes = gc.mem_alloc()

from thecal.firmware.boards.latched import REQUEST_BYTES, Latch, bundle
from thecal.firmware.app import App


class Blank:
    """A fresh FRAM that forgets."""

    def read(self, address, buffer, length):
        for index in range(length):
            buffer[index] = 0

    def write(self, address, buffer, length):
        return None


latch = Latch()
request = bytearray(REQUEST_BYTES)
request[0], request[1], request[2], request[4] = 0x54, 0x43, 1, 1
latch.begin(request, b"")
app = App(bundle(latch, Blank(), "heap"))
delay_ms = app.step()
#%%
gc.collect()
#%%
print("booted", gc.mem_alloc() - start_bytes, "of it latched ports' transmit buffer", len(latch.tx))
