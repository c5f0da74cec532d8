"""The files on the page about running the service: held to the package's real options, and done as far as can be here.

A container engine needs images from elsewhere: what its file says is read, and the command that it starts is started.
"""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from mockexport.cli.arguments import parse
from tests.ingest.running import RunningService
from tests.pages.blocks import blocks

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "howto" / "run-the-service.md").read_text("utf-8")
UNIT = next(block.text for block in blocks(TEXT) if "[Unit]" in block.text)
CONTAINER = dict(
    line.split(maxsplit=1) for line in next(b.text for b in blocks(TEXT) if b.text.startswith("FROM ")).splitlines()
)
ENTRY: list[str] = json.loads(CONTAINER["ENTRYPOINT"])
(RUN,) = (line.removeprefix("$ ") for line in TEXT.splitlines() if line.startswith("$ podman run "))
COMMAND = str(Path(sys.executable).with_name("mockexport"))


def _unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd tells capitals apart
    unit.read_string(UNIT)
    return unit


def _in_the_container() -> tuple[list[str], list[str]]:
    """Return podman's own words, and those that the entry point gets: they are told apart by the image's name."""
    words = shlex.split(RUN)
    image = max(place for place, word in enumerate(words) if word == "heart-rate")
    return words[:image], words[image + 1 :]


def test_the_container_installs_the_extra_on_a_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    image = re.fullmatch(r"python:(3\.\d+)-slim", CONTAINER["FROM"])
    assert image is not None
    assert f"Programming Language :: Python :: {image[1]}" in project["classifiers"]
    assert "pip install --no-cache-dir 'mockexport[ingest]'" in CONTAINER["RUN"]
    assert "ingest" in project["optional-dependencies"]


def test_the_container_runs_as_a_user_who_owns_the_data() -> None:
    user, data = CONTAINER["USER"], CONTAINER["VOLUME"]
    assert f"useradd --uid 10001 {user}" in CONTAINER["RUN"]
    assert f"install -d -o {user} {data}" in CONTAINER["RUN"]
    assert parse(ENTRY[1:]).data == data
    words, _ = _in_the_container()
    assert words[words.index("-v") + 1].partition(":")[2] == data


def test_the_container_listens_at_the_port_that_is_published_on_this_machine_alone() -> None:
    words, more = _in_the_container()
    options = parse([*ENTRY[1:], *more])
    assert options.without_token
    assert options.host == "0.0.0.0"  # noqa: S104 - within the container
    assert words[words.index("-p") + 1] == f"127.0.0.1:{options.port}:{CONTAINER['EXPOSE']}"
    assert str(options.port) == CONTAINER["EXPOSE"]


def test_what_the_container_starts_takes_readings_and_ends_at_its_stop_signal(tmp_path: Path) -> None:
    assert CONTAINER["STOPSIGNAL"] == "SIGTERM"
    data = str(tmp_path / "volume")
    command = [COMMAND, *(data if word == CONTAINER["VOLUME"] else word for word in ENTRY[1:])]
    command += [*_in_the_container()[1], "--port", "0"]
    with RunningService(tmp_path, command=command) as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - what it says of itself
        body = {"device_id": "a", "user_id": "u", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": 75}
        request = urllib.request.Request(
            f"{url}/metrics/heart-rate", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            assert reply.status == 202
        assert service.stop() in (0, -15)
    assert (Path(data) / "journal.sqlite").exists()


def test_the_unit_starts_the_service_with_options_that_there_are() -> None:
    service = _unit()["Service"]
    command = shlex.split(service["ExecStart"])
    options = parse(command[1:])
    assert Path(options.data).parent == Path("/var/lib") / service["StateDirectory"]
    assert options.keep_days == 730
    # The commands beside it make what it names.
    assert f"useradd --system {service['User']}" in TEXT
    assert f"python3 -m venv {Path(command[0]).parents[1]}" in TEXT
    for line in re.findall(r"^\$ (mockexport ingest .*)$", TEXT, re.MULTILINE):
        parse(shlex.split(line.replace("$(date +%F)", "today"))[1:])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "heart-rate.service"
    # Of a program that is here.
    unit.write_text(UNIT.replace("/opt/heart-rate/bin/mockexport", COMMAND))
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
