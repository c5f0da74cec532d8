"""The options that say which statistics: `--stats`, `--rules` and `--counts` in, a reducer of the library out."""

import argparse

from mockexport.errors import OptionError
from mockexport.model import ANOMALY_RULES
from mockexport.reducers import Selection, Summary

__all__ = ["chosen_reducer"]


def chosen_reducer(options: argparse.Namespace) -> Summary | Selection:
    """Return the reducer of the statistics that are asked for; of all rows."""
    if options.counts and options.stats is not None:
        raise OptionError("stats", "goes without --counts, which is short for a report of counts alone")
    rules = ANOMALY_RULES
    if options.rules is not None:
        from mockexport.reducers.rules import read_rules

        most = options.max_rules
        rules = read_rules(options.rules) if most is None else read_rules(options.rules, most_bytes=most)
    if options.stats is None:
        return Summary(rules)
    return Selection([name.strip() for name in options.stats.split(",")], rules)
