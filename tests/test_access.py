"""Who may ask: every form of `Host`, `Origin` and `Content-Type` that a client or an attacker may think of."""

from pathlib import Path

import pytest

from mockexport.access import Asked, Door, Tokens, is_loopback, new_token, own_names
from mockexport.errors import OptionError

LOCAL = "127.0.0.1"
ANY = "0.0.0.0"  # noqa: S104 - a name here, bound by nobody


def status(
    *headers: tuple[str, str],
    method: str = "GET",
    scheme: str = "http",
    local: str = LOCAL,
    door: Door | None = None,
    target: str | None = None,
) -> int:
    """Return the status with which a request is refused, 200 for one that is not."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    refusal = (door or Door(own_names("127.0.0.1", ()))).refusal(Asked(method, scheme, local, raw, target=target))
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:8000", "127.9.8.7", "[::1]", "[::1]:1",
     "[::ffff:127.0.0.1]", " localhost\t"],
)  # fmt: skip
def test_this_machines_own_names_are_the_servers(host: str) -> None:
    assert status(("Host", host)) == 200


@pytest.mark.parametrize(
    "host",
    ["rebound.example", "localhost.example", "127.0.0.1.example", ANY, "192.0.2.1", "[2001:db8::1]", "127.1",
     "2130706433", "0x7f.1", "[::]"],
)  # fmt: skip
def test_another_name_is_misdirected(host: str) -> None:
    assert status(("Host", host)) == 421


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "localhost:", "localhost:99999", "localhost:x", "http://localhost", "user@localhost", "localhost/",
     "[::1", "[x]", "::1", "localhost,localhost", "l\xf6calhost", "[::1%25lo]", "localhost:0000080"],
)  # fmt: skip
def test_what_is_no_host_is_a_bad_request(host: str) -> None:
    assert status(("Host", host)) == 400


def test_there_is_one_host() -> None:
    assert status() == 400
    assert status(("Host", "localhost"), ("host", "localhost")) == 400


def test_further_names_and_the_address_that_was_connected_to_are_the_servers_too() -> None:
    door = Door(own_names(ANY, ["Ward7.Example.", "2001:DB8::7"]))
    assert status(("Host", "ward7.example:8000"), door=door) == 200
    assert status(("Host", "[2001:db8::7]"), door=door) == 200
    assert status(("Host", "ward8.example"), door=door) == 421
    assert status(("Host", "192.0.2.7:8000"), door=door, local="192.0.2.7") == 200
    assert status(("Host", "192.0.2.7:8000"), door=door, local="::ffff:192.0.2.7") == 200
    assert status(("Host", "192.0.2.8:8000"), door=door, local="192.0.2.7") == 421
    assert status(("Host", f"{ANY}:8000"), door=door) == 200
    assert status(("Host", "localhost"), door=door, local="") == 200


@pytest.mark.parametrize("name", ["", "http://x", "x:80", "x/y", "*", "a b", "[::1]"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="host_name"):
        own_names("127.0.0.1", [name])


def test_a_target_with_a_host_of_its_own_means_that_one() -> None:
    assert status(("Host", "localhost"), target="localhost") == 200
    assert status(("Host", "localhost"), target="rebound.example") == 421


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8000", 200),
        ("http://127.0.0.1:8000", 200),
        ("HTTP://[::1]:8000", 200),
        ("null", 403),
        ("", 403),
        ("http://localhost", 403),
        ("http://localhost:8001", 403),
        ("https://localhost:8000", 403),
        ("http://rebound.example:8000", 403),
        ("http://localhost:8000/", 403),
        ("http://x@localhost:8000", 403),
        ("localhost:8000", 403),
        ("file://", 403),
    ],
)
def test_only_the_servers_own_origin_may_ask(origin: str, expected: int) -> None:
    assert status(("Host", "localhost:8000"), ("Origin", origin)) == expected


def test_the_usual_port_of_a_scheme_may_be_left_out() -> None:
    assert status(("Host", "localhost"), ("Origin", "http://localhost:80")) == 200
    assert status(("Host", "localhost:443"), ("Origin", "https://localhost"), scheme="https") == 200
    assert status(("Host", "localhost"), ("Origin", "http://localhost"), scheme="https") == 403


def test_of_several_origins_all_must_be_the_servers() -> None:
    own, other = ("Origin", "http://localhost"), ("Origin", "http://rebound.example")
    assert status(("Host", "localhost"), own, own) == 200
    assert status(("Host", "localhost"), own, other) == 403


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/json ;x=y", 200),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("application/json, text/plain", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_a_body_is_json(kind: str | None, expected: int) -> None:
    kinds = [] if kind is None else [("Content-Type", kind)]
    for framing in (("Content-Length", "5"), ("Transfer-Encoding", "chunked")):
        assert status(("Host", "localhost"), *kinds, framing, method="POST") == expected
        assert status(("Host", "localhost"), *kinds, framing) == expected


def test_two_types_are_none() -> None:
    twice = ("Content-Type", "application/json")
    assert status(("Host", "localhost"), twice, twice, ("Content-Length", "5"), method="POST") == 415


def test_a_request_without_a_body_needs_no_type_unless_it_always_has_one() -> None:
    assert status(("Host", "localhost"), ("Content-Length", "0"), ("Content-Type", "text/plain"), method="POST") == 200
    assert status(("Host", "localhost"), method="DELETE", door=Door(bodies=frozenset({"POST"}))) == 200
    assert status(("Host", "localhost"), method="POST", door=Door(bodies=frozenset({"POST"}))) == 415


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True), (ANY, False), ("::", False),
     ("192.0.2.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_what_means_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def door_of(path: Path, *rights: str) -> tuple[Door, list[str]]:
    """Return a door that asks for tokens, and a token for each right."""
    made = [new_token(f"of-{index}", right) for index, right in enumerate(rights)]
    path.write_text("# whose\n\n" + "".join(line + "\n" for _, line in made))
    return Door(tokens=Tokens.read(path), open_paths=frozenset({"/health"})), [token for token, _ in made]


@pytest.mark.parametrize(
    ("right", "allowed"),
    [
        ("read", {"GET", "HEAD", "OPTIONS"}),
        ("write", {"POST"}),
        ("admin", {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
    ],
)
def test_a_token_gives_its_right_and_no_other(tmp_path: Path, right: str, allowed: set[str]) -> None:
    door, (token,) = door_of(tmp_path / "tokens", right)
    for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
        found = status(("Host", "localhost"), ("Authorization", f"Bearer {token}"), method=method, door=door)
        assert found == (200 if method in allowed else 403), method


@pytest.mark.parametrize(
    "form", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer x{}", "Bearer {} {}"]
)
def test_what_is_no_known_token_is_401(tmp_path: Path, form: str) -> None:
    door, (token,) = door_of(tmp_path / "tokens", "admin")
    assert status(("Host", "localhost"), ("Authorization", form.format(token, token)), door=door) == 401
    assert status(("Host", "localhost"), door=door) == 401
    twice = ("Authorization", f"Bearer {token}")
    assert status(("Host", "localhost"), twice, twice, door=door) == 401
    assert status(("Host", "localhost"), ("authorization", f"bearer  {token}"), door=door) == 200


def test_every_token_of_the_file_is_known_and_some_paths_need_none(tmp_path: Path) -> None:
    door, tokens = door_of(tmp_path / "tokens", "read", "write", "read")
    for token, expected in zip(tokens, (200, 403, 200), strict=True):
        assert status(("Host", "localhost"), ("Authorization", f"Bearer {token}"), door=door) == expected
    for path, expected in (("/health", 200), ("/", 401), ("/docs", 401), ("/healthy", 401)):
        asked = Asked("GET", "http", LOCAL, [(b"host", b"localhost")], path)
        refusal = door.refusal(asked)
        assert (200 if refusal is None else refusal.status) == expected
        assert refusal is None or (refusal.challenge or "").startswith("Bearer ")


def test_one_token_alone_may_do_everything() -> None:
    door = Door(tokens=Tokens.one("let-me-in"))
    for method in ("GET", "POST", "DELETE"):
        assert status(("Host", "localhost"), ("Authorization", "Bearer let-me-in"), method=method, door=door) == 200
    for token in ("", "a b", "\u00fc", "a\r\nb"):
        with pytest.raises(OptionError, match="token"):
            Tokens.one(token)


def test_a_foreign_page_is_refused_whatever_its_token(tmp_path: Path) -> None:
    door, (token,) = door_of(tmp_path / "tokens", "admin")
    bearer = ("Authorization", f"Bearer {token}")
    assert status(("Host", "rebound.example"), bearer, door=door) == 421
    assert status(("Host", "localhost"), ("Origin", "http://rebound.example"), bearer, door=door) == 403
    assert status(("Host", "localhost"), bearer, ("Content-Length", "5"), method="POST", door=door) == 415


DIGEST = "0" * 64


@pytest.mark.parametrize(
    "text",
    ["", "# none\n", f"x read {DIGEST[1:]}\n", f"x read {DIGEST}0\n", f"x delete {DIGEST}\n", f"read {DIGEST}\n",
     f"x {DIGEST}\n", f"x read {DIGEST}\nx write {'1' * 64}\n", f"x read {DIGEST}\ny read {DIGEST}\n",
     "".join(f"n{index} read {index:064x}\n" for index in range(1_001))],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_file_of_tokens_that_is_not_right_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"token_file: .*tokens"):
        Tokens.read(path)
    with pytest.raises(OptionError, match="cannot be read"):
        Tokens.read(tmp_path / "other")


def test_lines_may_be_set_apart_by_commas(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ward-7, read, {DIGEST}\n")
    assert len(Tokens.read(tmp_path / "tokens")) == 1


@pytest.mark.parametrize(
    ("name", "right"), [("", "read"), ("a b", "read"), ("a,b", "read"), ("#a", "read"), ("a", "x")]
)
def test_a_token_that_could_not_stand_in_the_file_is_not_made(name: str, right: str) -> None:
    with pytest.raises(OptionError):
        new_token(name, right)
