"""Tables in the shape of those that clinical research uses, invented from a seed: no person's data, nobody's values.

`chartevents` has the columns of MIMIC-IV's (eleven, dates shifted to the years from 2110 on, texts among the values,
some of them quoted); `measurement` those of OMOP CDM 5.4's (twenty-three, separated by tabs, most of them empty).
"""

import random
from datetime import datetime, timedelta

from mockexport.formats.schema import Schema

__all__ = ["CHARTEVENTS", "MEASUREMENT", "chartevents", "measurement"]

CHARTEVENTS = Schema("subject_id", "charttime", "itemid", "valuenum")
MEASUREMENT = Schema(
    "person_id", "measurement_datetime", "measurement_concept_id", "value_as_number", "\t", frozenset({"NULL"})
)

# Item, unit, lowest and highest value.
_NUMBERS = [
    ("220045", "bpm", 40, 170),
    ("220179", "mmHg", 80, 190),
    ("220180", "mmHg", 40, 110),
    ("220210", "insp/min", 8, 40),
    ("220277", "%", 85, 100),
    ("223761", "°F", 950, 1040),
]
_TEXTS = [
    ("220048", ["SR (Sinus Rhythm)", "AF (Atrial Fibrillation)", "ST (Sinus Tachycardia)"]),
    ("224650", ["None", "PVCs", "PACs"]),
    ("224054", ["No Impairment", "Slight Impairment"]),
    ("223986", ["Clear"]),
]
_QUOTED = ("224089", ['"Awake, alert"', '"Turned, side to side"'])


def chartevents(rows: int, *, seed: int = 0, quoted: float = 0.03) -> bytes:
    """About half of the rows have a number; a share `quoted` has a text with a comma in it."""
    draw = random.Random(seed)
    lines = ["subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,valueuom,warning"]
    while len(lines) <= rows:
        subject, stay = draw.randrange(10**7, 2 * 10**7), draw.randrange(3 * 10**7, 4 * 10**7)
        admission, nurse = draw.randrange(2 * 10**7, 3 * 10**7), draw.randrange(10**5)
        time = datetime(draw.randrange(2110, 2205), draw.randrange(1, 13), draw.randrange(1, 29), draw.randrange(24))
        for _ in range(draw.randrange(10, 60)):
            time += timedelta(minutes=draw.choice([30, 60, 60, 60]))
            stored = time + timedelta(minutes=draw.randrange(1, 50))
            head = f"{subject},{admission},{stay},{nurse},{time},{stored}"
            for item, unit, low, high in draw.sample(_NUMBERS, draw.randrange(2, 6)):
                number = draw.randrange(low, high + 1)
                shown = f"{number / 10}" if high > 1000 else f"{number}"
                lines.append(f"{head},{item},{shown},{shown},{unit},{draw.choice('0001')}")
            for item, texts in draw.sample(_TEXTS, draw.randrange(4)):
                lines.append(f"{head},{item},{draw.choice(texts)},,,0")
            if draw.random() < 5 * quoted:
                lines.append(f"{head},{_QUOTED[0]},{draw.choice(_QUOTED[1])},,,0")
    return "".join(f"{line}\n" for line in lines[: rows + 1]).encode()


def measurement(rows: int, *, seed: int = 0) -> bytes:
    """One row in twenty has no number, or the text NULL."""
    draw = random.Random(seed)
    names = (
        "measurement_id person_id measurement_concept_id measurement_date measurement_datetime measurement_time"
        " measurement_type_concept_id operator_concept_id value_as_number value_as_concept_id unit_concept_id range_low"
        " range_high provider_id visit_occurrence_id visit_detail_id measurement_source_value"
        " measurement_source_concept_id unit_source_value unit_source_concept_id value_source_value"
        " measurement_event_id meas_event_field_concept_id"
    )
    lines = [names.replace(" ", "\t")]
    while len(lines) <= rows:
        person, visit = draw.randrange(1, 10**6), draw.randrange(10**7)
        time = datetime(draw.randrange(1995, 2025), draw.randrange(1, 13), draw.randrange(1, 29), draw.randrange(24))
        for _ in range(draw.randrange(3, 30)):
            time += timedelta(minutes=draw.randrange(1, 3000))
            concept, unit = draw.choice([("3027018", "8541"), ("3004249", "8876"), ("3020891", "586323")])
            number = f"{draw.uniform(30, 190):.2f}" if draw.random() < 0.95 else draw.choice(["", "NULL"])
            fields = [
                str(len(lines)),
                str(person),
                concept,
                f"{time.date()}",
                f"{time}",
                "",
                "32817",
                "",
                number,
                "",
                unit,
            ]
            fields += ["", "", "", str(visit), "", draw.choice(["", "8867-4"]), "0", "", "", "", "", ""]
            lines.append("\t".join(fields))
    return "".join(f"{line}\n" for line in lines[: rows + 1]).encode()
