"""`mockexport formats`: the known descriptions of tables, and their text."""

import argparse
import tomllib

from mockexport.cli.text import put
from mockexport.formats.descriptions import known_names, known_text
from mockexport.report.plain import aligned

__all__ = ["formats"]


def formats(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    if options.name is not None:
        put(known_text(options.name))
        return 0
    rows = [[name, str(tomllib.loads(known_text(name)).get("about", ""))] for name in known_names()]
    put(aligned(["name", "is for"], rows, left=2))
    return 0
