"""`serial.serial_for_url("sim://?scenario=baclofen")`: the class that pyserial looks for."""

from ..endpoints import VirtualPort as Serial

__all__ = ["Serial"]
