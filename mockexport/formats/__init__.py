"""How bytes become rows. CSV is the only format so far, and this is its reference.

format.py    what every format gives the pipeline
cutting.py   bytes of a span → chunks of whole rows
csv.py       chunks → columns, header, bad rows
fields.py    the grammar of one field
batch.py     the columns, as values
"""

from mockexport.formats.batch import BadRow, Batch, Decoded, MissingValue, Row
from mockexport.formats.csv import CsvDecoder
from mockexport.formats.cutting import MAX_ROW_BYTES, Cutter
from mockexport.formats.fields import BadRowReason

__all__ = ["MAX_ROW_BYTES", "BadRow", "BadRowReason", "Batch", "CsvDecoder", "Cutter", "Decoded", "MissingValue", "Row"]
