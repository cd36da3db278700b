"""pyserial URL handlers: append "thecal.hw_sim.handlers" to serial.protocol_handler_packages and open sim:// like any port."""
