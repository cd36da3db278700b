"""boards: where the ports meet hardware, or a simulator. Only files here and main.py import machine or time."""
