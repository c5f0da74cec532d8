"""A script of faults: which requests suffer what, from which on, and how often; from TOML or Python's values.

Rules: pure, but for the reading of the file. An entry is checked whole before it is used, and once more against what
the server offers: an error names the file, the entry and the key, and says what is allowed.
"""

import math
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mockexport.errors import OptionError
from mockexport.newfile import read_file
from mockexport.server.catalogue import Catalogue, Offer, StoredFile
from mockexport.server.kinds import AT_A_BYTE, FHIR_KINDS, KINDS, OF_ANY_REPLY, ROUTES, WRONG_PARTS, Fault, Target

__all__ = ["ScriptedFault", "bound", "brief", "read_script", "scripted"]

# A script is a page or two; each request is held against all of its entries.
MAX_SCRIPT_BYTES = 1 << 20
MAX_ENTRIES = 1_000
MAX_NUMBER = 2**63 - 1
DAY_S = 86_400.0
# How much of a wrong value is repeated.
_SHOWN = 60

# What every entry may say, and what the kinds take beside it.
_OF_ALL = ("kind", "route", "export", "download", "ranged", "attempt", "times")
_OF_KINDS: Mapping[str, Collection[str]] = {
    "at": AT_A_BYTE,
    "seconds": ("delay", "stall", "trickle", "slow-headers"),
    "step": ("trickle", "slow-headers"),
    "status": ("status",),
    "retry_after": ("status",),
    "variant": ("wrong-206",),
}


@dataclass(frozen=True, slots=True)
class ScriptedFault:
    """An entry of a script: a fault, the requests that it fits, and which of them suffer it.

    It happens `times` times (None: always) from the `attempt`-th request on that it fits, of each download by itself.
    `download` is a place in the listing, from 1, an id or a file's name; `chosen` are the export's and download's ids
    that it means, once the server's offers are known. `place` is where the entry stands, for errors.
    """

    fault: Fault
    route: str = "data"
    export: str | None = None
    download: int | str | None = None
    ranged: bool | None = None
    attempt: int = 1
    times: int | None = 1
    place: str = "the script"
    chosen: frozenset[tuple[str, str]] | None = None

    def fits(self, target: Target) -> bool:
        """Tell whether a request is one of those that the entry is about: where it says a byte, they ask for it."""
        if self.route != target.route or self.export not in (None, target.export_id):
            return False
        if self.ranged not in (None, target.ranged):
            return False
        if self.chosen is not None and (target.export_id, target.download_id) not in self.chosen:
            return False
        if self.chosen is None and self.download not in (None, target.download_id):
            return False
        at, end = self.fault.at_byte, target.first + target.count
        if at is None or target.route != "data":
            return True
        return target.first <= at < end or at == end == target.length

    def __str__(self) -> str:
        of = "" if self.export is None else f" of export {self.export}"
        what = "each download" if self.download is None else f"download {self.download}"
        subject = f"{what}{of}" if self.route in ("data", "metadata") else f"the list{of}"
        if self.route == "metadata":
            subject = f"the metadata of {subject}"
        fault = self.fault
        where = f" at byte {fault.at_byte:,}" if fault.at_byte is not None else f" at {fault.at:.0%}"
        happens = f"{fault.kind}{where if fault.kind in AT_A_BYTE else ''}{f' {fault.status}' if fault.status else ''}"
        often = "always" if self.times is None else "once" if self.times == 1 else f"{self.times:,} times"
        begin = "" if self.attempt == 1 else f" from request {self.attempt:,} on"
        return f"{subject}: {happens}, {often}{begin}"


def read_script(path: str | Path) -> tuple[tuple[ScriptedFault, ...], dict[str, float]]:
    """Return the entries of a script's file, and its probabilities.

    Raises:
        OptionError: it cannot be read, is no TOML, or says what a script cannot.
    """
    try:
        data = read_file(path, MAX_SCRIPT_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise OptionError("faults", f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_SCRIPT_BYTES:
        raise OptionError("faults", f"{path} is longer than {MAX_SCRIPT_BYTES:,} bytes")
    try:
        said = tomllib.loads(data.decode("utf-8-sig"))  # some editors begin a file with a BOM
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise OptionError("faults", f"{path} is no TOML: {problem[:200]}") from error
    known = ("fault", "probabilities")
    for key in said:
        if key not in known:
            raise _problem(f"{path}", f"there is no {brief(key)}; there are [[fault]] and [probabilities]", key, known)
    entries, probabilities = said.get("fault", []), said.get("probabilities", {})
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _problem(f"{path}", "fault: entries are tables, each headed [[fault]]")
    if not isinstance(probabilities, dict) or not all(_is_number(number) for number in probabilities.values()):
        raise _problem(f"{path}", "probabilities: must be a table of kinds and numbers from 0 to 1")
    return scripted(entries, where=str(path)), probabilities


def scripted(
    entries: Iterable[ScriptedFault | Mapping[str, Any]], *, where: str = "the script"
) -> tuple[ScriptedFault, ...]:
    """Return entries as what they mean; those that are read already as they are.

    Raises:
        OptionError: one means nothing; the message names it by its place, from 1.
    """
    found = list(entries)
    if len(found) > MAX_ENTRIES:
        raise _problem(where, f"has {len(found):,} entries; {MAX_ENTRIES:,} are the most")
    return tuple(
        entry if isinstance(entry, ScriptedFault) else _Entry(f"{where}, entry {number}", entry).read()
        for number, entry in enumerate(found, 1)
    )


def bound(script: Iterable[ScriptedFault], catalogue: Catalogue) -> tuple[ScriptedFault, ...]:
    """Return the entries with the downloads that they mean among those on offer.

    Raises:
        OptionError: an export or download is not on offer, or has fewer bytes.
    """
    return tuple(replace(entry, chosen=_chosen(entry, catalogue)) for entry in script)


def _chosen(entry: ScriptedFault, catalogue: Catalogue) -> frozenset[tuple[str, str]] | None:
    if entry.export is not None and entry.export not in catalogue:
        known = list(catalogue)
        told = f"export: no export {brief(entry.export)}; there are {', '.join(known[:20]) or 'none'}"
        raise _problem(entry.place, told, entry.export, known)
    exports = [entry.export] if entry.export is not None else list(catalogue)
    offers = [
        (export_id, offer)
        for export_id in exports
        for place, offer in enumerate(catalogue[export_id].values(), 1)
        if entry.download is None or entry.download in (place, *_names(offer))
    ]
    if entry.download is not None and not offers:
        most = max((len(catalogue[export_id]) for export_id in exports), default=0)
        allowed = f"give a place from 1 to {most:,}, an id or a file's name"
        raise _problem(entry.place, f"download: no {brief(entry.download)} is on offer; {allowed}")
    at = entry.fault.at_byte
    if at is not None and entry.route == "data":
        longest = max((offer.length for _, offer in offers), default=0)
        if at > longest:
            raise _problem(entry.place, f"at: byte {at:,} is beyond the end; there are {longest:,} bytes")
    return None if entry.download is None else frozenset((export_id, offer.metadata.id) for export_id, offer in offers)


def _names(offer: Offer) -> tuple[str, ...]:
    file = (offer.content.path.name,) if isinstance(offer.content, StoredFile) else ()
    return (offer.metadata.id, *file)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry that is being read: what it says, key by key."""

    place: str
    said: Mapping[str, Any]

    def read(self) -> ScriptedFault:
        if not isinstance(self.said, Mapping):
            raise _problem(self.place, f"must be a table of keys and values, and not {brief(self.said)}")
        kind = self._kind()
        allowed = [*_OF_ALL, *(key for key, kinds in _OF_KINDS.items() if kind in kinds)]
        for key in self.said:
            if key not in allowed:
                of = f"; {kind} takes {', '.join(allowed)}"
                raise _problem(self.place, f"there is no {brief(key)}{of}", str(key), allowed)
        route = self._word("route", ROUTES, "data")
        if route != "data" and kind not in OF_ANY_REPLY:
            raise self._wrong("route", f"{kind} happens to data alone; elsewhere: {', '.join(sorted(OF_ANY_REPLY))}")
        if route in ("exports", "export") and "download" in self.said:
            raise self._wrong("download", f"the route {route} has none")
        if route == "exports" and "export" in self.said:
            raise self._wrong("export", "the route exports has none: it lists all")
        if kind in AT_A_BYTE and "at" not in self.said:
            raise self._wrong("at", f"{kind} needs it: a byte, such as 4096, or a share, such as '50%'")
        ranged = self.said.get("ranged")
        if ranged is not None and not isinstance(ranged, bool):
            raise self._wrong("ranged", f"must be true or false, and not {brief(ranged)}")
        if kind in ("no-range", "wrong-206"):
            if ranged is False:
                raise self._wrong("ranged", f"{kind} is about requests with a Range")
            ranged = True
        at, at_byte = self._at()
        fault = Fault(
            kind,
            at=at,
            at_byte=at_byte,
            status=self._whole("status", 400, 599) if kind == "status" else 0,
            retry_after=self._retry_after(),
            variant=self._word("variant", WRONG_PARTS, WRONG_PARTS[0]) if kind == "wrong-206" else "",
            seconds=self._seconds(),
            step=self._whole("step", 1, 1 << 20, default=1),
        )
        has_place = isinstance(self.said.get("download"), int)
        return ScriptedFault(
            fault,
            route=route,
            export=self._name("export"),
            download=self._whole("download", 1, MAX_NUMBER) if has_place else self._name("download"),
            ranged=ranged,
            attempt=self._whole("attempt", 1, MAX_NUMBER, default=1),
            times=None
            if self.said.get("times") == "always"
            else self._whole("times", 1, MAX_NUMBER, " or 'always'", 1),
            place=self.place,
        )

    def _wrong(self, key: str, told: str) -> OptionError:
        return _problem(self.place, f"{key}: {told}")

    def _kind(self) -> str:
        kind = self.said.get("kind")
        if not isinstance(kind, str):
            raise self._wrong("kind", f"must say what happens: {', '.join(KINDS)}")
        if kind in FHIR_KINDS:
            raise self._wrong("kind", f"{kind} cannot be scripted; give it a probability under [probabilities]")
        if kind not in KINDS:
            told = f"kind: no kind {brief(kind)}; there are {', '.join(KINDS)}"
            raise _problem(self.place, told, kind, [*KINDS])
        return kind

    def _word(self, key: str, known: Collection[str], default: str) -> str:
        word = self.said.get(key, default)
        if not isinstance(word, str) or word not in known:
            told = f"{key}: {brief(word)} is none of {', '.join(known)}"
            raise _problem(self.place, told, word if isinstance(word, str) else "", [*known])
        return word

    def _name(self, key: str) -> str | None:
        name = self.said.get(key)
        if name is not None and (not isinstance(name, str) or not name):
            more = " or a place in the listing, from 1" if key == "download" else ""
            raise self._wrong(key, f"must be an id{more}, and not {brief(name)}")
        return name

    def _whole(self, key: str, low: int, high: int, more: str = "", default: int | None = None) -> int:
        number = self.said.get(key, default)
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            upto = f" to {high:,}" if high < MAX_NUMBER else " up"
            raise self._wrong(key, f"must be a whole number from {low:,}{upto}{more}, and not {brief(number)}")
        return number

    def _at(self) -> tuple[float, int | None]:
        at = self.said.get("at")
        if isinstance(at, str) and (found := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%", at)):
            if (share := float(found[1])) <= 100:
                return share / 100, None
        elif at is None or (isinstance(at, int) and not isinstance(at, bool) and 0 <= at <= MAX_NUMBER):
            return 0.0, at
        raise self._wrong("at", f"must be a byte, from 0 up, or a share such as '50%', and not {brief(at)}")

    def _seconds(self) -> float | None:
        seconds = self.said.get("seconds")
        if seconds is not None and not (_is_number(seconds) and 0 <= seconds <= DAY_S):
            raise self._wrong("seconds", f"must be a number from 0 to {DAY_S:,.0f}, and not {brief(seconds)}")
        return None if seconds is None else float(seconds)

    def _retry_after(self) -> str | None:
        said = self.said.get("retry_after")
        is_whole = isinstance(said, int) and not isinstance(said, bool) and abs(said) <= MAX_NUMBER
        text = str(said) if is_whole else said
        if text is not None and not (isinstance(text, str) and re.fullmatch(r"[ -~]{0,200}", text)):
            raise self._wrong(
                "retry_after",
                f"must be seconds, 'date' for the date in a second, or any ASCII text, and not {brief(said)}",
            )
        return text


def _problem(place: str, told: str, given: str = "", known: Collection[str] = ()) -> OptionError:
    return OptionError("faults", f"{place}: {told}", given=given, known=[*known])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def brief(value: object) -> str:
    """Return a wrong value as a message may repeat it."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # thousands of digits, or nested too deeply
        return f"this {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
