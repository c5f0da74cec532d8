"""FHIR Bulk Data as a source: from the kick-off of an export to its files.

options.py      what to ask of which server, as a value
manifest.py     the manifest of a finished job, in every version's form
polling.py      what a job's answers mean, and when to ask again
authorizing.py  SMART Backend Services: a signed assertion out, a token in
client.py       requests and their replies, with a token that is renewed
asking.py       a job started and waited for
files.py        the streams of its files
bulk.py         the Source: a job, its manifest, files
"""

from mockexport.sources.fhir.options import FhirServer

__all__ = ["FhirServer"]
