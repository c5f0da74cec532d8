"""How bytes become rows: tables (CSV), and FHIR Observations in `fhir/`. This is the reference; the kernel follows it.

format.py        what every format gives the pipeline
schema.py        how a table is described; descriptions.py: as options or TOML (`known/`), wording.py: the way back
cutting.py       bytes of a span → chunks of whole rows; quoting.py: where rows and fields end
csv.py           chunks → columns, header, bad rows
layout.py        which column of a header has which role; decoding.py: rows of one layout → columns
fields.py        the grammar of one field; values.py: numbers, times.py: times, zones.py: local times
sampled.py       tables without times, such as those of sensors at the wrist
batch.py         the columns, as values; arrow.py: as data frames take them
resources.py     rows of FHIR resources, as columns of bytes
tally.py         what a verdict needs to know; coverage.py: rows by the hour; noted.py: what is worth knowing beside
filters.py       the rows that are asked for
guessing.py      what a column may hold; proposing.py: descriptions that were tried; hints.py: words for errors
"""

from mockexport.formats.batch import BadRow, Batch, Decoded, MissingValue, Row
from mockexport.formats.csv import CsvDecoder
from mockexport.formats.cutting import MAX_ROW_BYTES, Cutter
from mockexport.formats.fields import BadRowReason

__all__ = ["MAX_ROW_BYTES", "BadRow", "BadRowReason", "Batch", "CsvDecoder", "Cutter", "Decoded", "MissingValue", "Row"]
