"""The mutants can be played: what each of them breaks is in its file, once, and there are tests to notice."""

from pathlib import Path

from tests.mutants import MUTANTS, TESTS

ROOT = Path(__file__).parents[1]


def test_what_a_mutant_breaks_is_in_its_file_once() -> None:
    for mutant in MUTANTS:
        text = (ROOT / "mockexport" / mutant.file).read_text("utf-8")
        assert text.count(mutant.old) == 1, mutant
        assert mutant.old != mutant.new, mutant


def test_each_file_that_is_broken_has_tests() -> None:
    assert {mutant.file for mutant in MUTANTS} <= TESTS.keys()
    assert all((ROOT / test.partition("::")[0]).exists() for tests in TESTS.values() for test in tests)


def test_rules_have_names_of_their_own() -> None:
    rules = [mutant.rule for mutant in MUTANTS]
    assert len(rules) == len(set(rules))
