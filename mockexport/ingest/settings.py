"""What an operator may set, and where from. The limits that protect the process are constants where they hold."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from mockexport.access import is_loopback, own_names
from mockexport.errors import OptionError

__all__ = ["DEFAULT_PRIORITY", "ENVIRONMENT_PREFIX", "Settings", "open_to_all", "parse_priority"]

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


def parse_truth(text: str) -> bool:
    """Read a variable that is true or false.

    Raises:
        OptionError: it is neither.
    """
    if text.lower() not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise OptionError("without_token", f"{text!a} is neither true nor false")
    return text.lower() in ("1", "true", "yes", "on")


def open_to_all(host: str) -> str:
    """Say why the service does not listen at an address, and what to do."""
    return f"at {host} anyone could read and write; give token_file, or say without_token"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator may set.

    `compact_rows` and `compact_age_s` are when the journal becomes Parquet: on size and on the age of its oldest row.
    `keep_days` is how many days before today are kept; None is all. `host_name` are further names by which clients may
    call the service in `Host`. `token_file` holds the tokens of which each request must bring one; without it only this
    machine may be listened at, unless `without_token`.
    """

    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 8000
    priority: Mapping[str, int] = field(default_factory=lambda: DEFAULT_PRIORITY)
    compact_rows: int = 200_000
    compact_age_s: float = 30.0
    keep_days: int | None = None
    host_name: Sequence[str] = ()
    token_file: Path | None = None
    without_token: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise OptionError("port", "must be between 0 and 65535")
        if self.compact_rows < 1:
            raise OptionError("compact_rows", "must be at least 1")
        if not self.compact_age_s > 0:
            raise OptionError("compact_age_s", "must be positive")
        if self.keep_days is not None and self.keep_days < 1:
            raise OptionError("keep_days", "must be at least 1")
        own_names(self.host, self.host_name)
        if self.token_file is not None and self.without_token:
            raise OptionError("without_token", "contradicts token_file")
        if self.is_open(self.host):
            raise OptionError("host", open_to_all(self.host))

    def is_open(self, host: str) -> bool:
        """Tell whether listening at `host` would let anyone in without having been asked for."""
        return self.token_file is None and not self.without_token and not is_loopback(host)

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
            "host_name": lambda text: tuple(line.strip() for line in text.splitlines() if line.strip()),
            "token_file": Path,
            "without_token": parse_truth,
        }
        given: dict[str, object] = {}
        for each in fields(cls):
            name = ENVIRONMENT_PREFIX + each.name.upper()
            if environment.get(name):
                try:
                    given[each.name] = readers.get(each.name, str)(environment[name])
                except ValueError as error:
                    raise OptionError(name, str(error) if isinstance(error, OptionError) else "not a number") from error
        return cls(**given)  # type: ignore[arg-type]
