"""firmware: the control loop of the pump. Common dialect of CPython and MicroPython (R3); knows only protocol."""
