"""Statistics: what a reducer is (`protocol.py`), and one family a file.

summary.py   count, mean, min, max, anomalies, latency: the default
selection.py  those and more, chosen by name; the families behind them:
spread.py    variance and standard deviation
histogram.py quantiles
calendar.py  counts per hour and day
distinct.py  those of another reducer, of rows that count once
counts.py    counts alone: the example to learn from
per_group.py reducers that are written row by row
latest.py    resources that come again, in their latest version, before another reducer
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
