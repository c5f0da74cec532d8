"""What the application learns from the uvicorn that hosts it."""

from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.lifespan.on import LifespanOn

from mockexport.ingest.application import create_app
from mockexport.ingest.hosting import serves_directly
from mockexport.ingest.settings import Settings


@pytest.mark.parametrize(
    ("limits", "directly"), [({}, True), ({"limit_concurrency": 100}, False), ({"limit_max_requests": 100}, False)]
)
def test_what_uvicorn_has_to_count_goes_the_long_way(limits: dict[str, Any], directly: bool, tmp_path: Path) -> None:
    app = create_app(Settings(data=tmp_path / "data"))
    config = uvicorn.Config(app, log_config=None, **limits)
    config.load()
    assert serves_directly(LifespanOn(config).receive, app) is directly
