"""Statistics: what a reducer is (`protocol.py`), and one family a file.

summary.py   count, mean, min, max, anomalies, latency: the default
selection.py those and more, chosen by name; family.py: what the families behind them have in common
spread.py    variance and standard deviation
histogram.py quantiles
calendar.py  counts per hour and day
course.py    the course over time; drawing.py: what the page draws of a group
distinct.py  another reducer's statistics, with equal rows counted once
latest.py    another reducer's statistics, with each resource's latest version counted; records.py: the rows until then
counts.py    counts alone: the example to learn from
per_group.py reducers that are written row by row
rules.py     anomaly rules from a file
packed.py    the patients of a result, held as integers
packing.py   a state's bytes; reach.py: how far in time its groups reach
"""

from mockexport.reducers.counts import Counts
from mockexport.reducers.distinct import Distinct
from mockexport.reducers.latest import Latest
from mockexport.reducers.per_group import GroupReducer
from mockexport.reducers.protocol import Reducer, Result, load_state, pack_state, unpack_state
from mockexport.reducers.selection import Selection
from mockexport.reducers.summary import Statistics, Summary

__all__ = [
    "Counts",
    "Distinct",
    "GroupReducer",
    "Latest",
    "Reducer",
    "Result",
    "Selection",
    "Statistics",
    "Summary",
    "load_state",
    "pack_state",
    "unpack_state",
]
