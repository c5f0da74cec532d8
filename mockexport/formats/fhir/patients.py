"""Whose an Observation is: its subject → the patient's id."""

import re
from typing import Any

from mockexport.formats.fields import BadField, BadRowReason, check_id

__all__ = ["NoPatient", "patient_of"]

_HISTORY = re.compile(r"/_history/[A-Za-z0-9.\-]+$")
_RELATIVE = re.compile(r"([A-Z][A-Za-z]*)/([A-Za-z0-9.\-]{1,64})")
_ABSOLUTE = re.compile(r"https?://.+/([A-Z][A-Za-z]*)/[A-Za-z0-9.\-]{1,64}")


class NoPatient(Exception):  # noqa: N818 - nothing is wrong with it
    """The subject is a group, a device, a place: no patient."""


def patient_of(observation: dict[str, Any], base: str | None) -> str:
    """Return the patient's id. A reference to another server than `base` is an id as a whole.

    Raises:
        NoPatient: it is of something else.
        BadField: there is none, or it cannot be told.
    """
    subject = observation.get("subject")
    if subject is None:
        raise BadField(BadRowReason.PATIENT)
    if not isinstance(subject, dict):
        raise BadField(BadRowReason.ELEMENT)
    kind, reference = subject.get("type"), subject.get("reference")
    if kind not in (None, "Patient"):
        raise NoPatient
    if reference is None:
        patient_id = _identified(subject.get("identifier"))
    elif not isinstance(reference, str):
        raise BadField(BadRowReason.ELEMENT)
    elif reference.startswith("#"):
        patient_id = _contained(observation, reference[1:])
    else:
        patient_id = _referred(reference, base)
    check_id(patient_id)
    return patient_id


def _referred(reference: str, base: str | None) -> str:
    if reference.startswith("urn:uuid:"):
        return reference.removeprefix("urn:uuid:")
    reference = _HISTORY.sub("", reference)
    if base is not None and reference.startswith(f"{base.rstrip('/')}/"):
        reference = reference[len(base.rstrip("/")) + 1 :]
    if (relative := _RELATIVE.fullmatch(reference)) is not None:
        if relative[1] != "Patient":
            raise NoPatient
        return relative[2]
    if (absolute := _ABSOLUTE.fullmatch(reference)) is not None:
        if absolute[1] != "Patient":
            raise NoPatient
        return reference
    raise BadField(BadRowReason.PATIENT)


def _identified(identifier: object) -> str:
    if not isinstance(identifier, dict) or not isinstance(identifier.get("value"), str) or not identifier["value"]:
        raise BadField(BadRowReason.PATIENT)
    system = identifier.get("system", "")
    if not isinstance(system, str):
        raise BadField(BadRowReason.ELEMENT)
    return f"{system}|{identifier['value']}"


def _contained(observation: dict[str, Any], local_id: str) -> str:
    contained = observation.get("contained")
    for resource in contained if isinstance(contained, list) else ():
        if isinstance(resource, dict) and resource.get("id") == local_id:
            if resource.get("resourceType") != "Patient":
                raise NoPatient
            identifiers = resource.get("identifier")
            if isinstance(identifiers, list) and identifiers:
                return _identified(identifiers[0])
    raise BadField(BadRowReason.PATIENT)
