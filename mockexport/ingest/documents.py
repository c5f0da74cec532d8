"""The shapes of requests and replies as Pydantic models: what /openapi.json tells a client.

Replies are built as these models describe and requests judged by `readings`; a test sends what the document promises
and holds every answer against it.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from mockexport.ingest.readings import HIGHEST_RATE, ID_LENGTH, LOWEST_RATE, MAX_BATCH

__all__ = [
    "Accepted",
    "BatchAccepted",
    "BatchIn",
    "Deleted",
    "Detail",
    "DownloadIds",
    "DownloadMetadata",
    "ExportIds",
    "HealthOut",
    "MinutesOut",
    "ReadingIn",
    "body_of",
]

Id = Annotated[str, Field(min_length=1, max_length=ID_LENGTH, description="Printable characters, in Unicode's NFC.")]
TIME = "ISO 8601: `2024-01-15T10:00:00Z`. An offset is converted, none means UTC; kept to the microsecond."


class ReadingIn(BaseModel):
    """One reading of one device."""

    device_id: Id
    user_id: Id
    timestamp: str = Field(description=TIME, json_schema_extra={"format": "date-time"})
    heart_rate: int = Field(ge=LOWEST_RATE, le=HIGHEST_RATE, description="Beats per minute.")

    model_config: ClassVar[ConfigDict] = {
        "json_schema_extra": {
            "examples": [
                {
                    "device_id": "device_a",
                    "user_id": "user_123",
                    "timestamp": "2024-01-15T10:00:00Z",
                    "heart_rate": 75,
                }
            ]
        }
    }


class BatchIn(BaseModel):
    """Many readings; each is judged for itself."""

    readings: list[ReadingIn] = Field(max_length=MAX_BATCH)


class Accepted(BaseModel):
    """The reading is on disk, and every query from now on sees it."""

    status: Literal["accepted"]


class Deleted(BaseModel):
    """The readings are gone from every answer, and leave the files soon after."""

    status: Literal["accepted"]
    deleted: int = Field(description="How many readings there were.")


class ItemError(BaseModel):
    """Why one reading of a batch was not stored."""

    index: int
    field: str
    message: str


class BatchAccepted(BaseModel):
    """The accepted readings are on disk."""

    status: Literal["accepted"]
    accepted: int
    rejected: int
    errors: list[ItemError]


class Minute(BaseModel):
    """The mean of one device's readings within one minute."""

    timestamp: str = Field(description="The start of the minute, UTC.")
    heart_rate: int | float
    device_id: str


class MinutesOut(BaseModel):
    """A user's minutes, ascending. `next` is there where pages are asked for: the cursor of the next, or null."""

    user_id: str
    data: list[Minute]
    count: int
    next: str | None = None


class Detail(BaseModel):
    """What is wrong. No value is repeated."""

    detail: str


class HealthOut(BaseModel):
    """How the service is."""

    status: Literal["ok", "degraded", "unavailable"]
    journal: str
    journal_readings: int
    oldest_uncompacted_seconds: float
    damaged_days: list[str]


class _Exports(BaseModel):
    export_ids: list[str]


class ExportIds(BaseModel):
    """Which exports there are."""

    data: _Exports


class _Downloads(BaseModel):
    id: str
    download_ids: list[str]


class DownloadIds(BaseModel):
    """One download per stored day, as of now."""

    data: _Downloads


class _Metadata(BaseModel):
    id: str
    rows: int
    event_types: list[str]
    patients: list[str]
    start_time: str
    end_time: str


class DownloadMetadata(BaseModel):
    """What a download holds."""

    data: _Metadata


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a request body that the route reads by itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    # Nested models are inlined: the document's components are FastAPI's to fill.
    for name, nested in schema.pop("$defs", {}).items():
        reference = {"$ref": f"#/components/schemas/{name}"}
        schema = _inlined(schema, reference, nested)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _inlined(node: Any, reference: dict[str, str], replacement: Any) -> Any:
    if node == reference:
        return replacement
    if isinstance(node, dict):
        return {key: _inlined(value, reference, replacement) for key, value in node.items()}
    if isinstance(node, list):
        return [_inlined(value, reference, replacement) for value in node]
    return node
