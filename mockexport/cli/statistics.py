"""The options that say which statistics: `--stats`, `--rules` and `--counts` in, a reducer of the library out."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mockexport.errors import OptionError
from mockexport.model import ANOMALY_RULES
from mockexport.reducers import Selection, Statistics, Summary
from mockexport.reducers.drawing import DRAWING
from mockexport.report.report import Report

__all__ = ["chosen_reducer", "with_drawings", "without_drawings"]


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


def with_drawings(chosen: Summary | Selection) -> Selection:
    """Return a reducer of the same figures that keeps what the page draws, too."""
    names = chosen.stats if isinstance(chosen, Selection) else Statistics.__struct_fields__
    return Selection([*names, DRAWING], chosen.rules)


def without_drawings(report: Report[Any], chosen: Summary | Selection) -> Report[Any]:
    """Return the report as the chosen reducer would have made it."""

    def figures(result: Mapping[str, Any]) -> Any:
        kept = {name: value for name, value in result.items() if name != DRAWING}
        return Statistics(**kept) if isinstance(chosen, Summary) else kept

    whole = report.allowing_incomplete()
    patients = {
        patient: {name: figures(one) for name, one in types.items()} for patient, types in whole.patients.items()
    }
    totals = {name: figures(one) for name, one in whole.totals.items()}
    return replace(report, _patients=patients, _totals=totals)
