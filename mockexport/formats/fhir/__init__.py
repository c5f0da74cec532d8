"""FHIR Observations as NDJSON: one JSON object to a line, one or several rows to an Observation. This is the reference.

observations.py   what describes them, as a format (format.Format): which codes are which types, what is taken in
json_lines.py     a line → one JSON object, or why it is none
decoding.py       chunks → rows, missing values, bad rows, and what was left out
plain.py          the fast path for plain lines, over the compiled scan _lines.pyx; the others go to decoding.py
mapping.py        an Observation → its rows; every element falls into exactly one account
patients.py       whose it is
times.py          when it was
codes.py          what was measured
units.py          a value and its unit → a number
"""

from mockexport.formats.fhir.observations import FhirObservations

__all__ = ["FhirObservations"]
