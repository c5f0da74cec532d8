"""Folds the chunks of one span into a tally and a reducer's state: decode, count, reduce.

fold.py       what an engine must do
reference.py  in Python: every reducer, every row, and the last word on what a row means
kernel.py     compiled, where it could be built: it decodes, and for `Summary` and `Selection` it reduces too
plan.py       a described table, as the numbers and bytes by which the kernel reads it
columns.py    the compiled decoder, for reducers written in Python
choosing.py   chooses one of them; unbuilt.py: why there is no compiled one, and what to do

`kernel.py` wraps `mockexport/_kernel.pyx` and `mockexport/native/`.

Reports, tallies and dumped states are equal, bit by bit.
"""
