"""Limits of what does not grow with the rows: each holds in every way to run, and its error names it and its option."""

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from backports import zstd

from mockexport import (
    Access,
    Counts,
    GroupReducer,
    MockExportError,
    MockServer,
    Selection,
    SizeLimits,
    Summary,
    analyze,
    read_rules,
)
from mockexport.cli import main
from mockexport.engine.choosing import kernel_problem
from mockexport.errors import CheckpointError, FolderError, LimitError, MetadataError, OptionError
from mockexport.newfile import read_file
from mockexport.pipeline.checkpoint import Belonging, Checkpoint
from mockexport.sources.export_api import ExportApi
from mockexport.sources.listing import read_listing
from mockexport.sources.url_list import UrlList
from tests.rows import HEADER

ENGINES = ["python"] if kernel_problem() else ["python", "kernel"]
PATIENTS = 6


class Last(GroupReducer[int, int]):
    fingerprint = "last 1"

    def start(self) -> int:
        return 0

    def add(self, group: int, row: Any) -> int:
        return int(row.value)

    def combine(self, earlier: int, later: int) -> int:
        return later

    def finish(self, group: int) -> int:
        return group


def table(first: int, *, types: int = 1, quoted: bool = False) -> bytes:
    """Rows of as many patients, from number `first` on, and of so many event types each."""
    mark = b'"' if quoted else b""
    return HEADER + b"".join(
        mark + b"P%03d" % (first + patient) + mark + b",2025-08-26T00:00:04Z,type%d,72\n" % kind
        for patient in range(PATIENTS)
        for kind in range(types)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tables whose patients differ, so that only both together have twelve groups."""
    (tmp_path / "tables").mkdir()
    for number in (0, 1):
        (tmp_path / "tables" / f"{number}.csv").write_bytes(table(number * PATIENTS))
    return tmp_path / "tables"


async def found(folder: Path, reducer: Any, engine: Any = "auto", **limits: int) -> int:
    report = await analyze(folder=folder, reducer=reducer, engine=engine, size_limits=SizeLimits(**limits))
    return len(report.patients)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reducer", [Summary(), Selection(["median"]), Selection(["per_day"])], ids=["1", "2", "3"])
async def test_as_many_groups_as_the_limit_are_merged_and_no_more(folder: Path, engine: str, reducer: Any) -> None:
    assert await found(folder, reducer, engine, groups=12) == 12
    with pytest.raises(LimitError, match=r"more than 11 groups .* \(SizeLimits\.groups\)") as error:
        await found(folder, reducer, engine, groups=11)
    assert (error.value.limit, error.value.name) == (11, "groups")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("quoted", [False, True])
async def test_a_download_of_too_many_groups_or_types_is_not_read_to_its_end(
    tmp_path: Path, engine: str, quoted: bool
) -> None:
    (tmp_path / "a.csv").write_bytes(table(0, types=3, quoted=quoted))
    for limits in ({"groups": 17}, {"groups": 5}, {"types": 2}):
        with pytest.raises(LimitError, match=f"more than {next(iter(limits.values()))} "):
            await found(tmp_path, Summary(), engine, **limits)
    assert await found(tmp_path, Summary(), engine, groups=18, types=3) == PATIENTS


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reducer", [Last(), Counts()], ids=["group", "counts"])
async def test_reducers_in_python_are_held_to_the_limits_too(folder: Path, engine: str, reducer: Any) -> None:
    with pytest.raises(LimitError, match=r"SizeLimits\.groups"):
        await found(folder, reducer, engine, groups=5)
    (folder / "1.csv").write_bytes(table(0, types=2))
    with pytest.raises(LimitError, match=r"SizeLimits\.types"):
        await found(folder, reducer, engine, types=1)


@pytest.mark.parametrize("engine", ENGINES)
async def test_types_that_only_all_downloads_have_are_too_many_as_well(folder: Path, engine: str) -> None:
    (folder / "1.csv").write_bytes(table(0).replace(b"type0", b"type1"))
    with pytest.raises(LimitError, match="more than 1 event types"):
        await found(folder, Summary(), engine, types=1)


async def test_spans_of_one_download_are_held_to_the_limit_when_they_are_merged() -> None:
    async with MockServer() as server:
        whole = await analyze("demo", url=server.url)
        groups = sum(len(types) for types in whole.patients.values())
        for split in (None, 50_000):
            with pytest.raises(LimitError, match=r"SizeLimits\.groups"):
                await analyze("demo", url=server.url, split=split, size_limits=SizeLimits(groups=groups - 1))
        again = await analyze("demo", url=server.url, split=50_000, size_limits=SizeLimits(groups=groups))
    assert again.to_json() == whole.to_json()


async def test_with_a_higher_limit_a_run_goes_on_from_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    async def run(groups: int) -> str:
        kept = tmp_path / "kept"
        return (await analyze(folder=folder, checkpoint=kept, size_limits=SizeLimits(groups=groups))).to_json()

    with pytest.raises(LimitError):
        await run(11)
    assert (tmp_path / "kept").exists()
    assert await run(12) == (await analyze(folder=folder)).to_json()


class Listing:
    """A server that lists downloads, and announces patients of each."""

    def __init__(self, downloads: int, patients: int = 0) -> None:
        self.ids = [f"d{number}" for number in range(downloads)]
        self.patients = [f"P{number}" for number in range(patients)]
        self.asked = 0

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked += 1
        name = request.path.rpartition("/")[2]
        if request.path == "/api/export":
            return web.json_response({"data": {"export_ids": self.ids}})
        if name == "x":
            return web.json_response({"data": {"id": "x", "download_ids": self.ids}})
        return web.json_response({"data": {"id": name, "patients": self.patients, "rows": 1}})


async def asking(listing: Listing, ask: Callable[[ExportApi], Awaitable[Any]], **limits: int) -> Any:
    server = web.ServerRunner(web.Server(listing))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    try:
        async with ExportApi(f"http://127.0.0.1:{server.addresses[0][1]}", size_limits=SizeLimits(**limits)) as api:
            return await ask(api)
    finally:
        await server.cleanup()


async def test_a_server_that_lists_too_much_is_refused_before_it_is_asked_for_each() -> None:
    listing = Listing(5, patients=3)
    with pytest.raises(LimitError, match=r"more than 4 downloads in the export x.*SizeLimits\.downloads"):
        await asking(listing, lambda api: api.discover("x"), downloads=4)
    assert listing.asked == 1
    with pytest.raises(LimitError, match=r"more than 4 exports at http"):
        await asking(listing, lambda api: api.export_ids(), downloads=4)
    with pytest.raises(LimitError, match=r"more than 14 patients and event types.*SizeLimits\.announced"):
        await asking(listing, lambda api: api.discover("x"), announced=14)
    with pytest.raises(MetadataError, match=r"longer than 60 bytes.*SizeLimits\.reply_bytes"):
        await asking(listing, lambda api: api.discover("x"), reply_bytes=60)
    export = await asking(listing, lambda api: api.discover("x"), downloads=5, announced=15, reply_bytes=100)
    assert [download.id for download in export.downloads] == listing.ids
    first, second, *_ = export.downloads
    assert first.patients[0] is second.patients[0], "an id that many downloads announce is kept once"


async def test_a_list_of_urls_and_an_export_json_have_their_limits(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("http://h/a\nhttp://h/b\n")
    with pytest.raises(LimitError, match="more than 1 URLs"):
        UrlList(tmp_path / "urls.txt", size_limits=SizeLimits(downloads=1))
    with pytest.raises(OptionError, match=r"longer than 21 bytes.*SizeLimits\.list_bytes"):
        UrlList(tmp_path / "urls.txt", size_limits=SizeLimits(list_bytes=21))
    UrlList(tmp_path / "urls.txt", size_limits=SizeLimits(downloads=2, list_bytes=22))
    (tmp_path / "export.json").write_text('{"id": "x", "downloads": []}')
    with pytest.raises(FolderError, match=r"longer than 27 bytes.*SizeLimits\.list_bytes"):
        await analyze(folder=tmp_path, size_limits=SizeLimits(list_bytes=27))
    await analyze(folder=tmp_path, size_limits=SizeLimits(list_bytes=28))


async def test_more_files_than_the_limit_are_refused(folder: Path) -> None:
    for where in ({"folder": folder}, {"files": f"{folder}/*.csv"}):
        with pytest.raises(LimitError, match=r"more than 1 .*SizeLimits\.downloads"):
            await analyze(**cast("Any", where), size_limits=SizeLimits(downloads=1))


async def test_a_zstd_window_beyond_the_limit_fails_the_download(tmp_path: Path) -> None:
    options = {int(zstd.CompressionParameter.window_log): 20}
    packer = zstd.ZstdCompressor(options=options)
    (tmp_path / "a.csv.zst").write_bytes(packer.compress(table(0) + table(0)[len(HEADER) :] * 3000) + packer.flush())
    report = await analyze(files=tmp_path / "a.csv.zst", size_limits=SizeLimits(window_bytes=2**20 - 1))
    assert re.search(r"window is larger than 524,288 bytes.*SizeLimits\.window_bytes", str(report.account.downloads[0]))
    assert not (await analyze(files=tmp_path / "a.csv.zst", size_limits=SizeLimits(window_bytes=2**20))).incomplete


@pytest.mark.parametrize("name", [field.name for field in fields(SizeLimits)])
def test_a_limit_below_one_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        SizeLimits(**{name: 0})


def test_the_message_on_the_command_line_names_the_option(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.toml").write_text("[a]\nlow = 1\n")
    for option, more in (
        ("--max-groups=3", ()),
        ("--max-types=1", ("--columns=event_type=patient_id,patient_id=event_type",)),
        ("--max-downloads=1", ()),
        ("--max-rules=3", (f"--rules={tmp_path / 'rules.toml'}",)),
        ("--max-checkpoint=3", (f"--checkpoint={tmp_path / 'rules.toml'}",)),
    ):
        assert main(["--from", str(folder), option, *more]) in (1, 2)
        told = capsys.readouterr().err
        assert f"({option.partition('=')[0]})" in told, told
        assert "Traceback" not in told


# ---- files that never end, or never begin


def readers() -> dict[str, Callable[[Path], object]]:
    belonging = Belonging("1", "x", "s", "d", "c", "a", "r", False)
    return {
        "rules": read_rules,
        "checkpoint": lambda path: Checkpoint(path).load(belonging),
        "list of URLs": UrlList,
        "cacert": lambda path: Access(cacert=path).ssl_context(),
        "cert": lambda path: Access(cert=path).ssl_context(),
        "export.json": lambda path: read_listing(path.parent),
        "token": lambda path: main(["demo", "--url", "http://127.0.0.1:1", "--token-file", str(path)]) == 2 or None,
    }


@pytest.mark.parametrize("name", readers())
def test_a_pipe_is_refused_at_once_where_a_regular_file_is_expected(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "export.json")
    try:
        readers()[name](tmp_path / "export.json")
    except MockExportError as error:
        told = str(error)
    else:
        told = capsys.readouterr().err
    assert "a device or a pipe, where a regular file is expected" in told
    assert stat.S_ISFIFO(os.stat(tmp_path / "export.json").st_mode)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_checkpoint(device: str, folder: Path) -> None:
    with pytest.raises(CheckpointError, match="a device or a pipe"):
        asyncio.run(analyze(folder=folder, checkpoint=device))


def test_no_more_is_read_of_a_file_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    assert read_file(tmp_path / "a", 3) == b"1234"
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 3)
