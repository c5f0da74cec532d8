"""What an operator may set, and where from. The limits that protect the process are constants where they hold."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from mockexport.errors import OptionError

__all__ = ["DEFAULT_PRIORITY", "ENVIRONMENT_PREFIX", "Settings", "parse_priority"]

ENVIRONMENT_PREFIX = "MOCKEXPORT_INGEST_"

# The medical-grade device before the consumer wearable; any other after those, by name.
DEFAULT_PRIORITY: Mapping[str, int] = MappingProxyType({"device_a": 1, "device_b": 2})


def parse_priority(text: str) -> Mapping[str, int]:
    """Read `device_a=1,device_b=2`: the lower number is preferred; a device that is not named comes after all that are.

    Raises:
        OptionError: not of that form, or a device named twice.
    """
    ranks: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        device, separator, number = part.rpartition("=")
        if not separator or not device or not number.isascii() or not number.isdigit() or len(number) > 9:
            raise OptionError("priority", "must look like device_a=1,device_b=2")
        if device in ranks:
            raise OptionError("priority", "names a device twice")
        ranks[device] = int(number)
    return MappingProxyType(ranks)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator may set.

    `compact_rows` and `compact_age_s` are when the journal becomes Parquet: on size and on the age of its oldest row.
    `keep_days` is how many days before today are kept; None is all.
    """

    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 8000
    priority: Mapping[str, int] = field(default_factory=lambda: DEFAULT_PRIORITY)
    compact_rows: int = 200_000
    compact_age_s: float = 30.0
    keep_days: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise OptionError("port", "must be between 0 and 65535")
        if self.compact_rows < 1:
            raise OptionError("compact_rows", "must be at least 1")
        if not self.compact_age_s > 0:
            raise OptionError("compact_age_s", "must be positive")
        if self.keep_days is not None and self.keep_days < 1:
            raise OptionError("keep_days", "must be at least 1")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Make settings of the variables that are there (`MOCKEXPORT_INGEST_DATA`, `…_PORT` and so on).

        Raises:
            OptionError: a variable cannot be meant; the message names it.
        """
        readers: dict[str, Callable[[str], object]] = {
            "data": Path,
            "port": int,
            "priority": parse_priority,
            "compact_rows": int,
            "compact_age_s": float,
            "keep_days": int,
        }
        given: dict[str, object] = {}
        for each in fields(cls):
            name = ENVIRONMENT_PREFIX + each.name.upper()
            if name in environment:
                try:
                    given[each.name] = readers.get(each.name, str)(environment[name])
                except ValueError as error:
                    raise OptionError(name, str(error) if isinstance(error, OptionError) else "not a number") from error
        return cls(**given)  # type: ignore[arg-type]
