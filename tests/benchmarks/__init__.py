"""Benchmarks: `python -m tests.benchmarks` prints a table and writes JSON. No part of the suite.

__main__.py    what is measured, in what order, and against which target
parties.py     one measured run of one party, in a process of its own
kernel.py      the kernel alone
measuring.py   running parties in turn; medians
"""
