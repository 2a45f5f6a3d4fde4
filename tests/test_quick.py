"""The short road: what it answers is what the long one answers, to the byte."""

from __future__ import annotations

import json
import random

import pytest
from conftest import CUSTOMER, ROOT
from fuzz import TYPES, body_of
from hypothesis import given
from hypothesis import strategies as st

from churn.errors import CustomerError, RequestError
from churn.model import load
from churn.quick import Quick
from churn.service import parsed
from churn.settings import Settings
from churn.web.flask_app import create_app

MODEL = load(ROOT / "churn-model.bin")
QUICK = Quick(MODEL.schema, MODEL.scorecard)

TEXT = json.dumps(CUSTOMER)
LEFT_TO_THE_LONG_ROAD = {
    "a key twice": TEXT[:-1] + ', "tenure": 2}',
    "a key twice, spaced": TEXT[:-1] + ', "tenure" : 2}',
    "a strange key": TEXT[:-1] + ', "customerid": "7590"}',
    "a colon in a text": TEXT.replace('"dsl"', '"dsl:"'),
    "another spelling": TEXT.replace("month-to-month", "Month-to-month"),
    "another case in a key": TEXT.replace('"tenure"', '"Tenure"'),
    "a number as text": TEXT.replace('"tenure": 1,', '"tenure": "1",'),
    "a number never seen": TEXT.replace('"tenure": 1,', '"tenure": 73,'),
    "a gap": TEXT.replace('"totalcharges": 29.85', '"totalcharges": null'),
    "a missing field": TEXT.replace('"tenure": 1, ', ""),
    "no JSON": TEXT[:-1],
    "deep nesting": '{"a": ' + "[" * 100_000,
    "NaN": TEXT.replace("29.85", "NaN"),
}


def test_a_customer_as_the_model_spells_it_takes_the_short_road():
    assert QUICK.one(TEXT.encode()) == MODEL.scorer.probability(CUSTOMER)
    assert QUICK.many(f"[{TEXT}, {TEXT}]".encode()) == [MODEL.scorer.probability(CUSTOMER)] * 2


@pytest.mark.parametrize("text", LEFT_TO_THE_LONG_ROAD.values(), ids=LEFT_TO_THE_LONG_ROAD)
def test_anything_else_is_left_to_the_long_one(text):
    assert QUICK.one(text.encode()) is None
    assert QUICK.many(f"[{text}]".encode()) is None


@pytest.fixture(scope="module")
def roads(service):
    return [
        create_app(service, Settings(), short_road=short).test_client() for short in (True, False)
    ]


def answered(client, content, media, path):
    headers = {"X-Request-ID": "the-same", "Content-Type": media.encode()}
    answer = client.post(path, data=content, headers=headers)
    return answer.status_code, dict(answer.headers), answer.data


@pytest.mark.parametrize("seed", range(300))
def test_both_roads_answer_alike(roads, seed):
    chance = random.Random(seed)
    content, media = body_of(chance), chance.choice([*TYPES, *["application/json"] * 5])
    path = chance.choice(["/predict", "/predict?explain=true", "/predict?explain=x&explain=true"])
    short, long = (answered(client, content, media, path) for client in roads)
    assert short == long


SPELLINGS = st.sampled_from(
    [*CUSTOMER.values(), "Two year", "two_year", True, 0, 1.0, 72, -1, None]
)


@given(st.dictionaries(st.sampled_from([*CUSTOMER]), SPELLINGS, max_size=4))
def test_what_the_short_road_takes_the_long_one_takes_to_the_bit(changed):
    content = json.dumps({**CUSTOMER, **changed}).encode()
    try:
        careful = MODEL.scorer.probability(MODEL.schema.check(parsed(content)))
    except (CustomerError, RequestError):
        careful = None
    assert QUICK.one(content) in (None, careful)
