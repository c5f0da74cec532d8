"""Each line of the mapping: what becomes of an Observation, element by element, and in which account."""

from typing import Any

import pytest

from mockexport.formats.fhir import FhirObservations
from mockexport.formats.fhir.codes import Measure
from mockexport.formats.fhir.mapping import MAX_COMPONENTS
from mockexport.formats.noted import Noted
from mockexport.model import VALUE_SCALE
from tests.observations import LOINC, TIME_US, UCUM, component, concept, decoded, observation, quantity


def rows(*resources: Any, options: FhirObservations | None = None) -> list[tuple[str, int, str, float]]:
    """The rows of resources of which nothing else comes."""
    found = decoded(*resources, options=options)
    assert not found.bad
    assert not found.missing
    return [(row[0], row[1], row[2], row[3] / VALUE_SCALE) for row in found.batch.rows()]


def noted(*resources: Any, options: FhirObservations | None = None) -> dict[str, int]:
    """What is noted of resources that come to nothing."""
    found = decoded(*resources, options=options)
    assert not found.bad
    assert not found.missing
    assert not len(found.batch)
    return dict(found.noted)


def bad(*resources: Any, options: FhirObservations | None = None) -> list[str]:
    """Why nothing can be made of resources."""
    found = decoded(*resources, options=options)
    assert not found.missing
    assert not len(found.batch)
    return [row.reason.value for row in found.bad]


ROW = ("P1", TIME_US, "heart_rate", 72)


@pytest.mark.parametrize("status", ["final", "amended", "corrected"])
def test_these_statuses_count(status: str) -> None:
    assert rows(observation(status=status)) == [ROW]


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("registered", "status registered"),
        ("preliminary", "status preliminary"),
        ("cancelled", "status cancelled"),
        ("entered-in-error", "status entered-in-error"),
        ("unknown", "status unknown"),
        ("specimen-in-process", "status of another name"),
    ],
)
def test_every_other_status_has_an_account_of_its_own(status: str, name: str) -> None:
    assert noted(observation(status=status)) == {name: 1}


def test_a_preliminary_one_counts_if_that_is_said() -> None:
    assert rows(observation(status="preliminary"), options=FhirObservations(preliminary=True)) == [ROW]
    assert bad(observation(status=None)) == ["an element that FHIR does not allow"]


@pytest.mark.parametrize("element", [{"modifierExtension": [{"url": "x"}]}, {"implicitRules": "http://rules"}])
def test_what_changes_the_meaning_in_an_unknown_way_does_not_count(element: dict[str, Any]) -> None:
    assert noted(observation(**element)) == {Noted.MODIFIED: 1}


def test_of_a_component_that_component() -> None:
    pressures = [component("8480-6", 120, modifierExtension=[{"url": "x"}]), component("8462-4", 80)]
    found = decoded(observation(code=concept("85354-9"), valueQuantity=None, component=pressures))
    assert found.batch.event_types == ["bp_dia"]
    assert found.noted == {Noted.MODIFIED_COMPONENT: 1}


@pytest.mark.parametrize(
    ("code", "unit", "event_type"),
    [
        ("8867-4", "/min", "heart_rate"),
        ("59408-5", "%", "spo2"),
        ("2708-6", "%", "spo2"),
        ("8480-6", "mm[Hg]", "bp_sys"),
        ("8462-4", "mm[Hg]", "bp_dia"),
        ("9279-1", "/min", "resp_rate"),
        ("8310-5", "Cel", "body_temp [Cel]"),
        ("8310-5", "[degF]", "body_temp [degF]"),
        ("29463-7", "kg", "weight [kg]"),
        ("8302-2", "cm", "height [cm]"),
        ("39156-5", "kg/m2", "bmi"),
        ("2339-0", "mg/dL", "glucose [mg/dL]"),
        ("2345-7", "mg/dL", "glucose [mg/dL]"),
        ("15074-8", "mmol/L", "glucose [mmol/L]"),
    ],
)
def test_codes_are_types_and_two_units_are_two(code: str, unit: str, event_type: str) -> None:
    assert rows(observation(code=concept(code), valueQuantity=quantity(7.5, unit))) == [
        ("P1", TIME_US, event_type, 7.5)
    ]


def test_any_coding_may_say_it_in_any_order() -> None:
    for codes in (["8867-4", "99999-9"], ["99999-9", "8867-4"]):
        assert rows(observation(code=concept(*codes))) == [ROW]
    assert noted(observation(code={"coding": [{"system": "https://loinc.org", "code": "8867-4"}]})) == {
        "code not mapped: https://loinc.org|8867-4": 1
    }


def test_two_types_on_one_element_are_bad_and_one_twice_is_not() -> None:
    assert bad(observation(code=concept("8867-4", "9279-1"))) == ["two types on one element"]
    assert rows(observation(code=concept("8867-4", "8867-4"))) == [ROW]


def test_a_laboratory_s_oxygen_saturation_alone_is_of_a_blood_gas() -> None:
    in_laboratory: dict[str, Any] = {
        "category": [{"coding": [{"code": "laboratory"}]}],
        "valueQuantity": quantity(97, "%"),
    }
    assert noted(observation(code=concept("2708-6"), **in_laboratory)) == {"code not mapped: 2708-6": 1}
    beside = observation(code=concept("2708-6", "59408-5"), **in_laboratory)
    assert rows(beside) == [("P1", TIME_US, "spo2", 97)]


def test_codes_can_be_added_and_replaced() -> None:
    options = FhirObservations(codes={"1234-5": Measure("pain"), "8867-4": Measure("pulse", ("/min",))})
    assert rows(observation(code=concept("1234-5"), valueQuantity=None, valueInteger=7), options=options) == [
        ("P1", TIME_US, "pain", 7)
    ]
    assert rows(observation(), options=options) == [("P1", TIME_US, "pulse", 72)]


def test_what_is_not_mapped_is_counted_by_its_code() -> None:
    assert noted(observation(code=concept("1-8")), observation(code=None)) == {
        "code not mapped: 1-8": 1,
        "code not mapped: none": 1,
    }


def test_components_count_by_their_code_on_any_observation_and_its_own_value_too() -> None:
    found = decoded(observation(component=[component("8480-6", 120), component("8462-4", 80)]))
    assert found.batch.event_types == ["heart_rate", "bp_sys", "bp_dia"]
    assert found.resources == 1


def test_the_flow_of_oxygen_beside_a_saturation_is_none() -> None:
    flow = [component("3151-8", 6, "L/min"), component("3150-0", 40, "%")]
    found = decoded(observation(code=concept("59408-5", "2708-6"), valueQuantity=quantity(95, "%"), component=flow))
    assert [(row.event_type, row.value // VALUE_SCALE) for row in found.batch.rows()] == [("spo2", 95)]
    assert found.noted == {"code not mapped: 3151-8": 1, "code not mapped: 3150-0": 1}


def test_nothing_is_followed() -> None:
    others = [{"reference": "Observation/2"}]
    assert rows(observation(hasMember=others, derivedFrom=others)) == [ROW]


@pytest.mark.parametrize(
    ("subject", "patient_id"),
    [
        ({"reference": "Patient/x"}, "x"),
        ({"reference": "Patient/x/_history/3"}, "x"),
        ({"reference": "https://h.example/fhir/Patient/x"}, "x"),
        ({"reference": "https://h.example/fhir/Patient/x/_history/3"}, "x"),
        ({"reference": "https://other.example/Patient/x"}, "https://other.example/Patient/x"),
        ({"reference": "urn:uuid:c1a7"}, "c1a7"),
        ({"identifier": {"system": "urn:oid:1.2", "value": "77"}}, "urn:oid:1.2|77"),
        ({"identifier": {"value": "77"}}, "|77"),
        ({"reference": "#p"}, "s|9"),
    ],
)
def test_whose_it_is(subject: dict[str, Any], patient_id: str) -> None:
    contained = [{"resourceType": "Patient", "id": "p", "identifier": [{"system": "s", "value": "9"}]}]
    options = FhirObservations(base="https://h.example/fhir/")
    assert rows(observation(subject=subject, contained=contained), options=options) == [(patient_id, *ROW[1:])]


@pytest.mark.parametrize("kind", ["Group", "Device", "Location"])
def test_what_is_of_no_patient_has_an_account_of_its_own(kind: str) -> None:
    assert noted(observation(subject={"reference": f"{kind}/1"})) == {Noted.NO_PATIENT: 1}
    assert noted(observation(subject={"identifier": {"value": "1"}, "type": kind})) == {Noted.NO_PATIENT: 1}


@pytest.mark.parametrize(
    "subject",
    [None, {}, {"display": "Jane"}, {"reference": ""}, {"reference": "#q"}, {"reference": "x"}, {"identifier": {}}],
)
def test_without_a_patient_it_is_bad(subject: Any) -> None:
    assert bad(observation(subject=subject)) == ["no patient"]


def test_a_patient_s_id_is_an_id() -> None:
    assert bad(observation(subject={"identifier": {"value": "x" * 300}})) == ["id too long"]


@pytest.mark.parametrize(
    ("element", "time_us"),
    [
        ({"effectiveDateTime": "2025-08-26T08:00:00Z"}, TIME_US),
        ({"effectiveDateTime": "2025-08-26T08:00:00.123456789Z"}, TIME_US + 123_456),
        ({"effectiveInstant": "2025-08-26T08:00:00Z"}, TIME_US),
        ({"effectivePeriod": {"start": "2025-08-26T08:00:00Z", "end": "2025-08-26T09:00:00Z"}}, TIME_US),
    ],
)
def test_when_it_was(element: dict[str, Any], time_us: int) -> None:
    assert rows(observation(effectiveDateTime=None) | element) == [("P1", time_us, *ROW[2:])]


def test_a_day_is_its_beginning_and_noted() -> None:
    found = decoded(observation(effectiveDateTime="2025-08-26"))
    assert found.batch.event_times == [TIME_US - 8 * 3600 * 10**6]
    assert found.noted == {Noted.DATES_ONLY: 1}


def test_a_time_without_an_offset_takes_a_time_zone() -> None:
    local = observation(effectiveDateTime="2025-08-26T10:00:00")
    assert bad(local) == ["bad event_time"]
    assert rows(local, options=FhirObservations(timezone="Europe/Berlin")) == [ROW]


@pytest.mark.parametrize(
    "element",
    [
        {"effectiveDateTime": "2025"},
        {"effectiveDateTime": "2025-08"},
        {"effectiveDateTime": "2025-08-26T10:00Z"},
        {"effectiveDateTime": 2025},
        {"effectiveInstant": "2025-08-26"},
        {"effectiveTiming": {"event": ["2025-08-26T08:00:00Z"]}},
        {"effectivePeriod": {"end": "2025-08-26T08:00:00Z"}},
        {"effectivePeriod": {"start": "2025-08-26T08:00:00Z", "end": "2025-08-26T07:00:00Z"}},
        {"issued": "2025-08-26T08:00:00Z"},
        {"effectiveDateTime": "2025-08-26T08:00:00Z", "effectiveInstant": "2025-08-26T08:00:00Z"},
    ],
)
def test_what_is_no_moment_is_bad(element: dict[str, Any]) -> None:
    assert bad(observation(effectiveDateTime=None) | element) == ["bad event_time"]


@pytest.mark.parametrize("end", ["2025-08-26T09:00:01Z", "2025-08-26", None])
def test_a_value_of_more_than_an_hour_has_an_account_of_its_own(end: str | None) -> None:
    period = {"start": "2025-08-26T08:00:00Z"} | ({} if end is None else {"end": end})
    assert noted(observation(effectiveDateTime=None, effectivePeriod=period)) == {Noted.LONG_PERIODS: 1}


def test_the_time_of_issue_only_if_that_is_said() -> None:
    issued = observation(effectiveDateTime=None, issued="2025-08-26T08:00:00Z")
    assert rows(issued, options=FhirObservations(issued=True)) == [ROW]


def test_a_value_is_a_decimal_held_exactly() -> None:
    line = b'{"value":36.65,"system":"http://unitsofmeasure.org","code":"/min"}'
    text = observation(valueQuantity="@")
    import json

    found = decoded(json.dumps(text).encode().replace(b'"@"', line))
    assert found.batch.values == [3665 * VALUE_SCALE // 100]


@pytest.mark.parametrize(
    "element",
    [
        {"valueString": "72"},
        {"valueInteger": 72},
        {"valueCodeableConcept": {"text": "high"}},
        {"valueRange": {}},
        {"valueSampledData": {}},
    ],
)
def test_values_of_other_kinds_have_an_account_of_their_own(element: dict[str, Any]) -> None:
    assert noted(observation(valueQuantity=None, **element)) == {Noted.OTHER_VALUES: 1}


def test_a_number_is_a_number() -> None:
    assert bad(observation(valueQuantity=quantity(72) | {"value": "72"})) == ["bad value"]
    assert bad(observation(valueQuantity=quantity(72), valueString="72")) == ["an element that FHIR does not allow"]


def test_a_value_below_a_limit_is_left_out_or_taken_as_said() -> None:
    low = observation(valueQuantity=quantity(30, comparator="<"))
    assert noted(low) == {Noted.CENSORED: 1}
    found = decoded(low, options=FhirObservations(censored="bound"))
    assert found.batch.values == [30 * VALUE_SCALE]
    assert found.noted == {Noted.CENSORED_BOUND: 1}
    assert bad(low, options=FhirObservations(censored="bad")) == ["bad value"]
    for comparator in ("~", ["<"]):
        reasons = bad(observation(valueQuantity=quantity(30, comparator=comparator)))
        assert reasons == ["an element that FHIR does not allow"]


def test_a_reason_in_words_alone_is_a_reason() -> None:
    found = decoded(observation(valueQuantity=None, dataAbsentReason={"text": "cuff came off"}))
    assert not found.bad
    assert found.noted == {Noted.ABSENT_OTHER: 1}


@pytest.mark.parametrize("code", ["/min", "{beats}/min", "/min{resting}"])
def test_annotations_are_no_part_of_a_unit(code: str) -> None:
    assert rows(observation(valueQuantity=quantity(72, code))) == [ROW]


def test_a_fraction_of_one_is_a_hundred_per_cent() -> None:
    for value, expected in ((0.97, 97), (9.7e-1, 97), (1, 100)):
        saturation = observation(code=concept("59408-5"), valueQuantity=quantity(value, "1"))
        assert rows(saturation) == [("P1", TIME_US, "spo2", expected)]


@pytest.mark.parametrize(
    ("code", "unit"),
    [
        ("8867-4", {"unit": "bpm"}),
        ("8867-4", {"unit": "beats/min", "system": "urn:local", "code": "hr"}),
        ("8480-6", {"unit": "mmHg"}),
        ("8480-6", {"system": UCUM, "code": "mmHg"}),
        ("59408-5", {"unit": "%"}),
        ("8310-5", {"unit": "degC"}),
    ],
)
def test_units_by_their_text_are_accepted_and_counted(code: str, unit: dict[str, str]) -> None:
    found = decoded(observation(code=concept(code), valueQuantity={"value": 72, **unit}))
    assert found.batch.values == [72 * VALUE_SCALE]
    assert found.noted == {Noted.ACCEPTED_UNITS: 1}


def test_without_a_unit_it_is_bad_unless_the_usual_one_is_meant() -> None:
    bare = observation(valueQuantity={"value": 72})
    assert bad(bare) == ["no unit"]
    assert rows(bare, options=FhirObservations(unitless=True)) == [ROW]


@pytest.mark.parametrize(
    "unit",
    [{"system": UCUM, "code": "/s"}, {"system": UCUM, "code": "/s", "unit": "bpm"}, {"unit": "Hz"}, {"code": "x"}],
)
def test_other_units_are_bad_and_nothing_is_converted(unit: dict[str, str]) -> None:
    assert bad(observation(valueQuantity={"value": 72, **unit})) == ["unit not understood"]


def test_no_value_is_a_missing_one_by_its_reason() -> None:
    for reason, name in ((None, "no value"), ("masked", "no value: masked"), ("lost", "no value: for another reason")):
        element = {} if reason is None else {"dataAbsentReason": {"coding": [{"code": reason}]}}
        found = decoded(observation(valueQuantity=None, **element))
        assert [row.event_type for row in found.missing] == ["heart_rate"]
        assert found.noted == {name: 1}
    found = decoded(observation(valueQuantity={"unit": "/min"}))
    assert [row.event_type for row in found.missing] == ["heart_rate"]


def test_more_components_than_any_panel_has_are_a_bad_line() -> None:
    assert bad(observation(component=[component("8480-6", 120)] * (MAX_COMPONENTS + 1))) == ["row too long"]


def test_one_component_may_be_missing_and_one_there() -> None:
    absent: dict[str, Any] = {"dataAbsentReason": {"coding": [{"code": "error"}]}}
    pressures = [component("8480-6", None, **absent), component("8462-4", 80)]
    found = decoded(observation(code=concept("85354-9"), valueQuantity=None, component=pressures))
    assert [row.event_type for row in found.missing] == ["bp_sys"]
    assert found.batch.event_types == ["bp_dia"]


def test_a_value_and_a_reason_for_none_contradict_each_other() -> None:
    both = observation(dataAbsentReason={"coding": [{"code": "unknown"}]})
    assert bad(both) == ["a value and a reason for none"]


def test_a_patient_or_time_that_is_bad_is_so_for_each_element() -> None:
    pressures = [component("8480-6", 120), component("8462-4", 80)]
    panel = observation(code=concept("85354-9"), valueQuantity=None, component=pressures, subject=None)
    assert bad(panel) == ["no patient"] * 2


@pytest.mark.parametrize(
    "element",
    [
        {"component": {}},
        {"component": ["x"]},
        {"category": "vital-signs"},
        {"code": "8867-4"},
        {"code": {"coding": {"system": LOINC}}},
        {"subject": "Patient/P1"},
        {"valueQuantity": 72},
        {"id": 7},
        {"meta": "1"},
        {"meta": {"lastUpdated": "yesterday"}},
    ],
)
def test_elements_of_another_shape_are_bad(element: dict[str, Any]) -> None:
    found = decoded(observation(**element))
    assert [row.reason.value for row in found.bad] == ["an element that FHIR does not allow"]
