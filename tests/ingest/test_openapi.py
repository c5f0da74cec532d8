"""The service against its own OpenAPI document, by Schemathesis: no server error, no break of the schema."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import Receive, Scope, Send

from mockexport.ingest.application import Service, create_app
from mockexport.ingest.settings import Settings

# A folder of its own for every process that collects this: the document is read at collection, the store opened then.
_FOLDER = Path(tempfile.mkdtemp(prefix="openapi-"))
_app: Service = create_app(Settings(data=_FOLDER / "data", host_name=("testserver",)))
schema = schemathesis.openapi.from_dict(_app.openapi())


async def _without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """The application as the fixture below has opened it; Schemathesis would open the folder anew for each request."""
    if scope["type"] != "lifespan":
        await _app(scope, receive, send)
        return
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    assert message["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


schema.app = _without_lifespan


@pytest.fixture(scope="module", autouse=True)
def _opened() -> Iterator[None]:
    from mockexport.ingest.store import Store

    _app.open_store = Store(_app.settings)
    yield
    _app.open_store.close()


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schema.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_reply_is_as_the_document_says(case: schemathesis.Case[Any]) -> None:
    # A batch with a bad reading is accepted, the reading listed as rejected: that is its contract.
    batch = case.path.endswith("/batch")
    case.call_and_validate(checks=CHECKS if batch else [*CHECKS, negative_data_rejection])
