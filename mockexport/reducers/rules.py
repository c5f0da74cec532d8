"""Anomaly rules from a file: per event type a `low` bound, a `high` one, or both.

    [heart_rate]  # adults at rest; source: the ward's own guideline
    low = 40
    high = 180

The format is TOML: rules are written by hand, each bound deserves a comment that says where it comes from, and a type
that is there twice is an error. Numbers are decimals and stay exact.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from mockexport.errors import OptionError
from mockexport.formats.fields import BadField, check_id
from mockexport.model import AnomalyRule
from mockexport.newfile import read_file

__all__ = ["MAX_RULES_BYTES", "check_rules", "read_rules"]

# Ten thousand event types; a larger file is another one.
MAX_RULES_BYTES = 1024 * 1024
# A key of many parts, such as a.b.c.d, takes time quadratic in them to read; a rule is called by one or two.
MAX_DOTS = 100


def read_rules(path: str | Path, *, most_bytes: int = MAX_RULES_BYTES) -> Mapping[str, AnomalyRule]:
    """Return the anomaly rules of a file, by event type; a type without one has no anomalies.

    Args:
        path: a TOML file with a table for each event type.
        most_bytes: how long it may be; 1 MiB by default.

    Raises:
        OptionError: it cannot be read, or a rule cannot be meant; the message names file, event type and fault.
    """
    try:
        data = read_file(path, most_bytes)
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise _problem(path, f"is larger than {most_bytes:,} bytes, which is the limit (most_bytes)")
    if any(line.count(b".") > MAX_DOTS for line in data.splitlines() if not line.lstrip().startswith(b"#")):
        raise _problem(path, f"has a line of more than {MAX_DOTS} dots, which is no rule")
    import tomllib  # no sooner: most runs have no such file

    try:
        tables = tomllib.loads(data.decode(), parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise _problem(path, "is not UTF-8") from error
    except (tomllib.TOMLDecodeError, ArithmeticError, ValueError, RecursionError) as error:
        told = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        raise _problem(path, f"is no TOML{told}") from error
    if not tables:
        raise _problem(path, "holds no rule")
    return {event_type: _rule(path, event_type, bounds) for event_type, bounds in tables.items()}


def check_rules(rules: Mapping[str, AnomalyRule]) -> None:
    """Raise OptionError unless a row could have each event type, and what is said of it is a rule."""
    given: Mapping[str, object] = rules
    for event_type, rule in given.items():
        if not isinstance(rule, AnomalyRule):
            problem = f"takes a mockexport.AnomalyRule(low, high), not a {type(rule).__name__}"
            raise OptionError("rules", f"{_shown(str(event_type))}: {problem}")
        try:
            check_id(event_type)
            event_type.encode()
        except ValueError as bad:
            reason = bad.reason if isinstance(bad, BadField) else "not UTF-8"
            raise OptionError("rules", f"{_shown(event_type)}: no event type is called so: {reason}") from None


def _rule(path: str | Path, event_type: str, bounds: Any) -> AnomalyRule:
    if not isinstance(bounds, dict):
        raise _problem(path, "an event type needs low, high or both, as in: low = 40", event_type)
    unknown = [name for name in bounds if name not in ("low", "high")]
    if unknown:
        raise _problem(path, f"there is no {unknown[0]!a}, only low and high", event_type)
    for name, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, int | Decimal):
            raise _problem(path, f"{name} is no number", event_type)
    try:
        check_id(event_type)
        return AnomalyRule(**bounds)
    except BadField as bad:
        raise _problem(path, f"no event type is called so: {bad.reason}", event_type) from bad
    except OptionError as error:
        raise _problem(path, error.problem, event_type) from error


def _problem(path: str | Path, problem: str, event_type: str | None = None) -> OptionError:
    shown = "" if event_type is None else f", {_shown(event_type)}"
    return OptionError("rules", f"{path}{shown}: {problem}")


def _shown(event_type: str) -> str:
    return ascii(event_type if len(event_type) <= 80 else event_type[:80] + "…")
