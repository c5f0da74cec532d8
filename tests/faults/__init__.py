"""Faults: the rules of resuming, schedules of faults, checkpoints; with a virtual clock and a server in memory."""
