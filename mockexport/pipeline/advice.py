"""What may help where a download could not be read: descriptions of a table, tried on its first rows."""

from mockexport.formats.descriptions import known_schemas
from mockexport.formats.format import Format
from mockexport.formats.proposing import Trial, attempt, cut_sample, proposals
from mockexport.formats.schema import Schema
from mockexport.formats.wording import as_arguments, as_options, reasons_for

__all__ = ["advice_for"]

# How many descriptions are named that come to other rows.
MOST_TOLD = 2


def advice_for(head: bytes, schema: Format, download_id: str) -> str | None:
    """Say how a table that begins with `head` is read well; None if that is not found, or it is so already.

    Nothing is said that was not tried on these rows.
    """
    if not isinstance(schema, Schema) or not head:
        return None
    sample = cut_sample(head)
    if attempt(sample, schema, download_id).reads_well:
        return None
    found = proposals(sample, schema, download_id, [*known_schemas()])[:MOST_TOLD]
    return "; or ".join(_said(trial, schema) for trial in found) or None


def _said(trial: Trial, schema: Schema) -> str:
    why = ", ".join(reasons_for(trial.schema, schema))
    # In quotes, so that it can be taken as it is.
    how = f"`{as_options(trial.schema, schema)}`"
    if trial.schema not in known_schemas():
        how += f" (in Python: `Schema({as_arguments(trial.schema, schema)})`)"
    return f"{f'{why}: ' if why else ''}the first {len(trial.decoded.batch):,} values are read with {how}"
