"""Folds the chunks of one span into a tally and a reducer's state: decode, count, reduce.

fold.py       what is asked of an engine
reference.py  in Python: every reducer, every row, and the last word on what a row means
kernel.py     compiled, where it could be built: it decodes, and for `Summary` and `Selection` it reduces too
columns.py    the compiled decoder, for reducers written in Python
choosing.py   which of them it is to be

Reports, tallies and dumped states are equal, bit by bit.
"""
