"""Anomaly rules: bounds are exact, a file is read or refused with its name, the event type and the fault."""

from decimal import Decimal
from pathlib import Path

import pytest

from mockexport import AnomalyRule, read_rules
from mockexport.errors import OptionError
from mockexport.reducers.rules import MAX_RULES_BYTES


def write(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text)
    return path


def test_a_file_holds_bounds_by_event_type(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        heart_rate = { low = 50, high = 120 }  # adults
        [temperature]
        high = 38.5
        ["glucose, fasting"]
        low = 3.9
        [220045]
        low = -1_000
        """,
    )
    assert read_rules(path) == {
        "heart_rate": AnomalyRule(50, 120),
        "temperature": AnomalyRule(high=Decimal("38.5")),
        "glucose, fasting": AnomalyRule(low="3.9"),
        "220045": AnomalyRule(-1000),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no rule"),
        ("# nothing", "holds no rule"),
        ("heart_rate = 5", "'heart_rate': an event type needs low, high or both"),
        ("[heart_rate]", "'heart_rate': there is neither low nor high"),
        ("[heart_rate]\nlow = 1\nhihg = 2", "'heart_rate': there is no 'hihg', only low and high"),
        ("[heart_rate]\nlow = '1'", "'heart_rate': low is no number"),
        ("[heart_rate]\nlow = true", "'heart_rate': low is no number"),
        ("[heart_rate]\nlow = nan", "'heart_rate': low is no decimal number"),
        ("[heart_rate]\nhigh = inf", "'heart_rate': high is no decimal number"),
        ("[heart_rate]\nlow = 1e50", "'heart_rate': low is no decimal number"),
        ("[heart_rate]\nlow = 1e-999999999999999999", "'heart_rate': low is no decimal number"),
        ("[heart_rate]\nlow = 0.0000000000000000001", "'heart_rate': low is no decimal number"),
        ("[heart_rate]\nlow = 9\nhigh = 8.9", r"'heart_rate': low, 9, is above high, 8\.9"),
        ("[heart_rate]\nlow = 1\n[heart_rate]\nlow = 2", "is no TOML: .*line 3"),
        (f"[{'x' * 257}]\nlow = 1", "no event type is called so: id too long"),
        ('[""]\nlow = 1', "no event type is called so: empty id"),
        ('{"heart_rate": {"low": 1}}', "is no TOML"),
        ("a = " + "[" * 100_000, "is no TOML"),
        ("a = " + "9" * 5_000, "is no TOML"),
        ("#" * (MAX_RULES_BYTES + 1), "is larger than 1,048,576 bytes"),
    ],
    ids=lambda text: text[:40],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(OptionError, match=problem) as raised:
        read_rules(path)
    assert str(raised.value).startswith(f"rules: {path}")
    assert len(str(raised.value)) < 400


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="is not UTF-8"):
        read_rules(tmp_path / "binary")
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OptionError, match="cannot be read"):
            read_rules(path)


def test_a_bound_means_what_it_shows() -> None:
    for bound in (36.6, "36.6", Decimal("36.60")):
        rule = AnomalyRule(bound)
        assert rule == AnomalyRule("36.6")
        assert rule.normal[0] == 36_600_000_000 * 10**9
        assert str(rule) == "36.6.."
    assert AnomalyRule("4e1", 180.0) == AnomalyRule(40, 180)
    assert str(AnomalyRule("4e1", 180.0)) == "40..180"


@pytest.mark.parametrize(("low", "high"), [(None, None), ("x", 1), (1, True), (float("nan"), 1), (1, "1/2"), (2, 1)])
def test_a_rule_that_cannot_be_meant_is_refused(low: object, high: object) -> None:
    with pytest.raises(OptionError, match="rule: "):
        AnomalyRule(low, high)  # type: ignore[arg-type]
