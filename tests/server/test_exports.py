"""The exports' metadata is that of the contract, to the letter."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mockexport.server.bodies import body_of
from mockexport.server.exports import EXPORTS, downloads_of

PUBLISHED: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parents[1] / "data/exports.json").read_bytes())


def test_the_exports_are_those_of_the_contract_in_its_order() -> None:
    assert list(EXPORTS) == list(PUBLISHED) == ["demo", "small", "large"]


@pytest.mark.parametrize("export_id", list(PUBLISHED))
def test_every_downloads_metadata_is_as_published(export_id: str) -> None:
    published = [{key: value for key, value in item.items() if key != "sha256"} for item in PUBLISHED[export_id]]
    made = [json.loads(msgspec.json.encode(download.metadata())) for download in downloads_of(export_id)]
    assert made == published
    assert [list(item) for item in made] == [list(item) for item in published], "the keys' order counts, too"


@pytest.mark.parametrize(("export_id", "rows"), [("demo", 18_784), ("small", 7_083_793), ("large", 153_630_201)])
def test_the_rows_of_an_export_are_as_many_as_published(export_id: str, rows: int) -> None:
    assert sum(download.rows for download in downloads_of(export_id)) == rows


def test_a_download_begins_where_the_one_before_it_ends() -> None:
    for export_id in EXPORTS:
        downloads = downloads_of(export_id)
        assert [before.end_us for before in downloads[:-1]] == [after.start_us for after in downloads[1:]]


def test_the_table_of_bodies_holds_the_published_digests() -> None:
    published = {item["id"]: item["sha256"] for items in PUBLISHED.values() for item in items if "sha256" in item}
    assert len(published) == 5
    assert {download_id: body_of(download_id).sha256 for download_id in published} == published


def test_the_table_of_bodies_has_a_plausible_length_for_every_download() -> None:
    for export_id in EXPORTS:
        for download in downloads_of(export_id):
            assert 36 < body_of(str(download.id)).length / download.rows < 50
