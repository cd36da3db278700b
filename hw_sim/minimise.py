"""The least that still fails: delta debugging of a schedule of faults, and random schedules to find one that does.
"""
class MinimiseError(ValueError):
    exit_status = 2
