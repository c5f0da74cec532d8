"""The fast path of the decoder: lines that are plainly well formed, and say what others have said before.

What an Observation comes to follows from the members that say what was measured, whose it is, and when. The compiled
scan (`_lines`) proves that a line is one JSON object, and finds these members as bytes. The first line that has some is
given to the reference, and what it says is remembered by those very bytes; so the two cannot disagree, and the next
line with the same bytes costs a look-up. Lines that are not plain, and those of which anything is bad, are the
reference's.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mockexport.formats.batch import Decoded, Identified, Identity, MissingValue
from mockexport.formats.fhir.json_lines import read_object
from mockexport.formats.fhir.mapping import Rules
from mockexport.formats.fhir.patients import NoPatient, patient_of
from mockexport.formats.fhir.times import parse_instant
from mockexport.formats.fields import BadField

if TYPE_CHECKING:
    from mockexport.formats.fhir._lines import Plain

__all__ = ["MAX_REMEMBERED_BYTES", "PlainLines", "Remembered", "remembered", "scanner"]

# Of each kind of bytes, so many are remembered, and none that are longer, such as those with samples in them: some ten
# megabytes, and never more than a hundred. Of others the reference decides each time.
MAX_REMEMBERED = 20_000
MAX_REMEMBERED_BYTES = 4096


def scanner() -> "Callable[[bytes, int, int], list[tuple[int, int, int, Plain | None]]] | None":
    """Return the compiled scan; None where it was not built."""
    try:
        from mockexport.formats.fhir._lines import plain_lines
    except ImportError:
        return None
    return plain_lines


@dataclass(slots=True)
class _Known:
    """What some members come to, whoever's and whenever it is: rows and missing values, by type, and what is noted.

    `has_values`: something of it is somebody's, at some time; otherwise these do not matter.
    """

    rows: list[tuple[str, int]]
    missing: list[str]
    noted: Counter[str]
    has_values: bool


@dataclass(slots=True)
class Remembered:
    """What the reference has said of some bytes, None where it is to be asked each time."""

    known: dict[bytes, _Known | None] = field(default_factory=dict)
    patients: dict[bytes, str | None] = field(default_factory=dict)
    versions: dict[bytes | None, tuple[int, int] | None] = field(default_factory=dict)


@lru_cache(maxsize=4)
def remembered(fingerprint: str) -> Remembered:
    """Return what is remembered of the format of that fingerprint, by all spans of a run together."""
    return Remembered()


class PlainLines:
    """Takes plain lines of one span, as the reference would.

    Args:
        rules: how Observations are read.
        identity_of: the reference's way to tell which resource it is, and which of its versions.
        key_of: and what stands for its id.
        remembered: what the reference has said so far, by these rules.
    """

    def __init__(
        self,
        rules: Rules,
        identity_of: Callable[[dict[str, Any]], Identity | None],
        key_of: Callable[[bytes], bytes],
        remembered: "Remembered",
    ) -> None:
        self._rules = rules
        self._identity_of = identity_of
        self._key_of = key_of
        self._known, self._patients, self._versions = remembered.known, remembered.patients, remembered.versions

    def take(self, line: memoryview, plain: "Plain", number: int, into: Decoded) -> bool:
        """Add what a line comes to; False, and nothing added, if the reference is to decide."""
        key, resource_id, meta, subject, time = plain
        try:
            known = self._known[key]
        except KeyError:
            known = self._learn(key, bytes(line))
        if known is None or resource_id is None or resource_id[:1] != b'"' or len(resource_id) < 3:
            return False
        try:
            version = self._versions[meta]
        except KeyError:
            version = self._learn_version(meta)
        if version is None or b"\\" in resource_id:
            return False
        batch = into.batch
        assert isinstance(batch, Identified)  # noqa: S101 - it was made so
        if not known.has_values:
            into.noted.update(known.noted)
            batch.rowless.append(Identity(self._key_of(resource_id[1:-1]), *version))
            return True
        if subject is None or time is None:
            return False
        try:
            patient_id = self._patients[subject]
        except KeyError:
            patient_id = self._learn_patient(subject)
        if patient_id is None:
            return False
        if isinstance(time, bytes):
            if time[:1] != b'"' or b"\\" in time:
                return False
            try:
                time, day_only = parse_instant(time[1:-1].decode(), self._rules.zone)
            except BadField:
                return False
            if day_only:
                return False
        resource_key = self._key_of(resource_id[1:-1])
        for place, (event_type, value) in enumerate(known.rows):
            batch.patient_ids.append(patient_id)
            batch.event_times.append(time)
            batch.event_types.append(event_type)
            batch.values.append(value)
            batch.keys.append(resource_key)
            batch.versions.append(version[0])
            batch.updated.append(version[1])
            batch.places.append(place)
            into.lines.append(number)
        for event_type in known.missing:
            into.missing.append(MissingValue(patient_id, time, event_type))
            into.missing_lines.append(number)
        if known.noted:
            into.noted.update(known.noted)
        if not known.rows:
            batch.rowless.append(Identity(resource_key, *version))
        return True

    def _learn(self, key: bytes, line: bytes) -> _Known | None:
        """Ask the reference what these members come to; None if anything of it is bad."""
        known = None
        found = read_object(line)
        mapped = self._rules.map({**found, **_SOMEBODY})
        if not mapped.bad:
            # Without a patient, whatever has one is bad.
            has_values = bool(self._rules.map({**found, **_SOMEBODY, "subject": None}).bad)
            rows = [(row.event_type, row.value) for row in mapped.rows]
            known = _Known(rows, [row.event_type for row in mapped.missing], mapped.noted, has_values)
        if len(self._known) < MAX_REMEMBERED and len(key) <= MAX_REMEMBERED_BYTES:
            self._known[key] = known
        return known

    def _learn_patient(self, subject: bytes) -> str | None:
        patient_id = None
        # One that is contained in the Observation is looked for there.
        if b"#" not in subject:
            with suppress(BadField, NoPatient):
                patient_id = patient_of(read_object(b'{"subject":%s}' % subject), self._rules.base)
        if len(self._patients) < MAX_REMEMBERED and len(subject) <= MAX_REMEMBERED_BYTES:
            self._patients[subject] = patient_id
        return patient_id

    def _learn_version(self, meta: bytes | None) -> tuple[int, int] | None:
        version = None
        with suppress(BadField):
            found = read_object(b'{"id":"x"%s}' % (b"" if meta is None else b',"meta":' + meta))
            identity = self._identity_of(found)
            version = None if identity is None else (identity.version, identity.updated)
        if len(self._versions) < MAX_REMEMBERED and len(meta or b"") <= MAX_REMEMBERED_BYTES:
            self._versions[meta] = version
        return version


_SOMEBODY = {"subject": {"reference": "Patient/x"}, "effectiveDateTime": "2000-01-01T00:00:00Z"}
