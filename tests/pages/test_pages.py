"""Every code block of every page is tried, or says why not; and the site builds."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages.blocks import LANGUAGES, Reader, blocks
from tests.pages.network import CERTIFICATE, network

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, str]]:
    with network() as listening:
        yield listening


@pytest.mark.parametrize("page", [page for page in PAGES if "```" in page.read_text()], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_do_what_they_show(
    page: Path, names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text()
    port = names["127.0.0.1:8000"].partition(":")[2]
    if "$ mockexport serve" in text:  # the page's own server listens there instead
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
    ours = names | {"127.0.0.1:8000": f"127.0.0.1:{port}", "--port 8000": f"--port {port}"}
    for name in [name for name in os.environ if name.startswith("MOCKEXPORT_")]:
        monkeypatch.delenv(name)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path), "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1", "MOCKEXPORT_PORT": port,
    }  # fmt: skip
    if "$ mockexport serve" not in text and "no server given" not in text:
        environment["MOCKEXPORT_URL"] = (
            f"http://127.0.0.1:{port}"  # a server that runs already: starting one takes time
        )
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "hospital-ca.pem").write_bytes(CERTIFICATE.read_bytes())
    (folder / "token.txt").write_text("a-token\n")
    with Reader(page, folder, ours, environment) as reader:
        for block in blocks(text):
            reader.read(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_of_a_kind_that_is_tried(page: Path) -> None:
    for block in blocks(page.read_text()):
        assert block.language in LANGUAGES or block.language.startswith("{"), f"{page.name}:{block.line}"


# Blocks that are not tried, a page each. A new one needs its reason on the page, and to be counted here.
NOT_RUN = {
    "README": 1,
    "bulk-data-clients": 1,
    "development": 1,
    "fhir": 1,
    "ingest": 2,
    "notebook": 1,
    "performance": 1,
    "run-the-service": 4,
    "scale": 1,
    "tutorial": 1,
}


def test_the_blocks_that_are_not_tried_are_these() -> None:
    skipped = {page.stem: count for page in PAGES if (count := sum(bool(b.not_run) for b in blocks(page.read_text())))}
    assert skipped == NOT_RUN


@pytest.mark.timeout(120)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", "--keep-going", "--nitpicky"]
    built = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", DOCS, tmp_path / "site"], capture_output=True, text=True, timeout=110
    )
    assert not built.stderr
    assert built.returncode == 0
    assert not [
        page
        for page in DOCS.rglob("*.md")
        if not (tmp_path / "site" / page.relative_to(DOCS)).with_suffix(".html").exists()
    ]
