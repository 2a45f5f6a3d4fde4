"""The core of every edition: what /predict answers, and what it refuses, with which words."""

from __future__ import annotations

import csv
import io
import json
import math
import pickle

import pytest
from conftest import CUSTOMER, ROOT
from hypothesis import given
from hypothesis import strategies as st

from churn.errors import CustomerError, RequestError
from churn.model import load
from churn.scorecard import sigmoid
from churn.service import Service, problem
from churn.settings import Settings

KNOWN = 0.7161721770226143


@pytest.fixture(scope="module")
def pair():
    return pickle.loads((ROOT / "churn-model.bin").read_bytes())


def body(**changed):
    return json.dumps({**CUSTOMER, **changed}).encode()


def refused(service, content, content_type="application/json", **asked):
    with pytest.raises(RequestError) as caught:
        service.predict(content, content_type, **asked)
    return caught.value


def test_a_customer_gets_a_probability_and_a_verdict(service):
    answer = service.predict(body(), "application/json")
    assert (answer.status, answer.media) == (200, "application/json")
    assert json.loads(answer.body) == {
        "churn_probability": pytest.approx(KNOWN, abs=1e-12), "churn": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "media",
    [
        "",
        "application/json; charset=UTF-8",
        "application/x-www-form-urlencoded",
        "application/a+json",
    ],
)
def test_json_is_read_whatever_a_client_calls_it(service, media):
    assert service.predict(body(), media).status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"tenure": "1"}, {"tenure": 1.0}, {"tenure": " 1 "}, {"contract": "Month-to-month"},
        {"contract": " MONTH-TO-MONTH "}, {"paymentmethod": "Electronic check"},
        {"seniorcitizen": False}, {"seniorcitizen": "0"}, {"partner": True}, {"partner": "Yes"},
        {"customerid": "7590-VHVEG"}, {"internetservice": "DSL"},
    ],
    ids=str,
)  # fmt: skip
def test_spellings_that_mean_the_same_get_the_same_number(service, changed):
    assert json.loads(service.predict(body(**changed)).body)["churn_probability"] == KNOWN


def test_keys_may_be_spelt_as_the_table_spelt_them(service):
    record = {"TotalCharges" if k == "totalcharges" else k.upper(): v for k, v in CUSTOMER.items()}
    assert json.loads(service.predict(json.dumps(record).encode()).body)["churn"] is True


@pytest.mark.parametrize("gap", [None, "", " ", "NA"])
def test_a_gap_where_training_had_gaps_stands_for_what_it_stood_for_then(service, gap):
    with_gap, with_zero = body(totalcharges=gap), body(totalcharges=0)
    assert service.predict(with_gap).body == service.predict(with_zero).body


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ('"tenure": -5', "tenure", "negative"),
        ('"tenure": 1.5', "tenure", "whole number"),
        ('"tenure": "two"', "tenure", "text"),
        ('"tenure": null', "tenure", "empty"),
        ('"tenure": true', "tenure", "not a yes/no"),
        ('"tenure": NaN', "tenure", "not a finite number"),
        ('"tenure": -Infinity', "tenure", "not a finite number"),
        ('"tenure": 1e400', "tenure", "not a finite number"),
        (f'"tenure": {"9" * 400}', "tenure", "too large"),
        ('"tenure": {"a": 1}', "tenure", "an object"),
        ('"tenure": [24]', "tenure", "a list"),
        ('"monthlycharges": "1,889.50"', "monthlycharges", "thousands separators"),
        ('"contract": null', "contract", "empty"),
        ('"contract": ["month-to-month"]', "contract", "a list"),
        ('"contract": "monthly"', "contract", "not a value the model knows"),
        ('"contract": 1', "contract", "not a value the model knows"),
        ('"contract": "\\ud800"', "contract", "not a value the model knows"),
        ('"seniorcitizen": "yes"', "seniorcitizen", "text"),
        ('"seniorcitizen": 2', "seniorcitizen", "neither 0 nor 1"),
        ('"Tenure": 24', "tenure", "came twice"),
    ],
)
def test_what_the_model_does_not_know_gets_no_number(service, changed, field, words):
    name = json.loads(f'"{changed.split(chr(34))[1]}"')
    rest = {key: value for key, value in CUSTOMER.items() if key != name}
    error = refused(service, f"{json.dumps(rest)[:-1]}, {changed}}}".encode())
    assert error.status == 422
    assert [found.field for found in error.problems] == [field]
    assert words in error.problems[0].message


def test_every_problem_is_told_at_once_in_the_order_of_the_fields(service):
    error = refused(service, body(tenure=-1, contract="monthly", partner=3))
    assert [found.field for found in error.problems] == ["partner", "tenure", "contract"]


def test_an_empty_customer_is_told_every_field_it_lacks(service):
    lacking = [found.field for found in refused(service, b"{}").problems]
    assert lacking == [each.name for each in service.model.schema.fields]


@pytest.mark.parametrize(
    ("value", "meant"), [("monthly", "month-to-month"), ("two yaers", "two_year"), ("xyz", None)]
)
def test_a_slip_is_met_with_what_was_probably_meant(service, value, meant):
    assert refused(service, body(contract=value)).problems[0].did_you_mean == meant


def test_a_misspelt_key_is_named_beside_the_field_it_was_meant_for(service):
    record = {"tenur" if key == "tenure" else key: value for key, value in CUSTOMER.items()}
    (found,) = refused(service, json.dumps(record).encode()).problems
    assert (found.field, found.message) == ("tenure", "is missing; 'tenur' came instead")


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"  \n", 400, "empty"),
        (b"{", 400, "not JSON"),
        (b"{'tenure': 1}", 400, "line 1, column 2"),
        (b"null", 400, "must be a customer"),
        (b'"text"', 400, "must be a customer"),
        (b"24", 400, "must be a customer"),
        (b'{"tenure": 24, "tenure": 1}', 400, "'tenure' twice"),
        (b'{"a": {"tenure": 24, "tenure": 1}}', 400, "'tenure' twice"),
        (b'{"name": "Ren\xe9"}', 400, "byte 13 is 0xe9"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'{"tenure": ' + b"9" * 5_000 + b"}", 400, "too many digits"),
        (b"[1]", 422, "customer"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_that_is_no_customer_is_refused(service, content, status, words):
    error = refused(service, content)
    assert error.status == status
    assert words in error.detail


def test_a_name_that_comes_twice_is_found_among_many_at_once(service):
    names = [f"k{at}" for at in range(100_000)] + ["k0"]  # comparing each with each takes minutes
    twice = "{" + ",".join(f'"{name}":1' for name in names) + "}"
    assert "'k0' twice" in refused(service, twice.encode()).detail


def test_a_byte_order_mark_is_no_reason_to_refuse(service):
    assert service.predict(b"\xef\xbb\xbf" + body()).status == 200


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"content_type": "application/xml"}, 415, "application/xml"),
        ({"content_type": "application/json; charset=latin-1"}, 415, "latin-1"),
        ({"encoding": "gzip"}, 415, "compressed (gzip)"),
        ({"explain": "perhaps"}, 400, "explain is 'perhaps'"),
    ],
)
def test_a_request_of_another_kind_is_refused(service, asked, status, words):
    error = refused(service, body(), **asked)
    assert error.status == status
    assert words in error.detail


def test_a_number_that_training_never_saw_is_scored_and_named(service):
    assert service.predict(body(tenure=10**6)).headers == {"X-Unseen-Range": "tenure"}
    assert service.predict(body()).headers == {}


def test_an_array_is_answered_in_its_order(service):
    customers = [{**CUSTOMER, "tenure": tenure} for tenure in (70, 1, 30)]
    answers = json.loads(service.predict(json.dumps(customers).encode()).body)
    alone = [json.loads(service.predict(json.dumps(each).encode()).body) for each in customers]
    assert answers == alone


def test_one_bad_customer_has_the_array_refused_with_its_index(service):
    customers = [CUSTOMER, {**CUSTOMER, "contract": "monthly"}, 3]
    error = refused(service, json.dumps(customers).encode())
    assert [(found.index, found.field) for found in error.problems] == [
        (1, "contract"),
        (2, "customer"),
    ]


@pytest.mark.parametrize("media", ["application/json", "text/csv"])
def test_more_customers_than_the_operator_allows_are_refused(model, media):
    service = Service(model, Settings(max_customers=2))
    content = json.dumps([CUSTOMER] * 3) if media == "application/json" else table([CUSTOMER] * 3)
    error = refused(service, content.encode(), media)
    assert (error.status, "at most 2" in error.detail) == (413, True)


def test_what_is_allowed_is_told_once_a_field_however_many_are_wrong(service):
    content = json.dumps([{}] * 1_000).encode()
    problems = refused(service, content).problems
    assert len(problems) == 1_000 * len(CUSTOMER)
    assert sum(found.allowed is not None for found in problems) == len(CUSTOMER)


def test_a_misspelt_key_is_looked_for_among_the_first_keys_alone(service):
    record = {**{f"key{at}": 0 for at in range(60)}, "tenur": 1}
    tenure = next(
        found
        for found in refused(service, json.dumps(record).encode()).problems
        if found.field == "tenure"
    )
    assert tenure.message == "is missing"


def test_strict_refuses_keys_that_are_no_field(model):
    error = refused(Service(model, Settings(strict=True)), body(customerid="7590"))
    assert [found.field for found in error.problems] == ["customerid"]


def test_the_threshold_decides_the_verdict(model):
    answers = [
        json.loads(Service(model, Settings(threshold=at)).predict(body()).body)["churn"]
        for at in (KNOWN, math.nextafter(KNOWN, 1))
    ]
    assert answers == [True, False]


def test_an_explanation_adds_up_to_the_probability(service):
    answer = json.loads(service.predict(body(), explain="true").body)
    logit = answer["base"] + math.fsum(reason["points"] for reason in answer["reasons"])
    assert 1 / (1 + math.exp(-logit)) == pytest.approx(answer["churn_probability"], abs=1e-12)
    sizes = [abs(reason["points"]) for reason in answer["reasons"]]
    assert sizes == sorted(sizes, reverse=True)


def test_a_change_has_the_probability_that_the_changed_customer_gets(service):
    for change in json.loads(service.predict(body(), explain="true").body)["changes"]:
        changed = service.predict(body(**{change["field"]: change["value"]}))
        assert json.loads(changed.body)["churn_probability"] == change["churn_probability"] < KNOWN


def table(customers, delimiter=",", line_end="\n"):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(customers[0])
    writer.writerows(each.values() for each in customers)
    return out.getvalue()


def scored(service, text, **asked):
    return service.predict(text.encode(), "text/csv", **asked).body.decode()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_csv_comes_back_as_it_was_with_two_columns_more(service, delimiter, line_end):
    sent = table([{"note": 'said "no", twice', **CUSTOMER}] * 2, delimiter, line_end)
    lines = scored(service, "\ufeff" + sent).removeprefix("\ufeff").split(line_end)
    endings = ["churn_probability" + delimiter + "churn", *[f"{KNOWN!r}{delimiter}true"] * 2]
    assert lines == [
        f"{line}{delimiter}{ending}"
        for line, ending in zip(sent.split(line_end), endings, strict=False)
    ] + [""]


def test_a_bad_row_gets_an_error_and_the_good_ones_their_number(service):
    sent = table([CUSTOMER, {**CUSTOMER, "contract": "monthly"}, CUSTOMER])
    rows = list(csv.DictReader(io.StringIO(scored(service, sent))))
    assert [row["churn"] for row in rows] == ["true", "", "true"]
    assert rows[1]["error"] == (
        "contract 'monthly' is not a value the model knows; did you mean month-to-month?"
    )


@pytest.mark.parametrize("cells", [["a", "b"], [*map(str, CUSTOMER.values()), "x", "y"]])
def test_a_row_too_short_or_too_long_keeps_its_cells_and_the_columns_their_places(service, cells):
    sent = table([CUSTOMER]) + ",".join(cells) + "\n"
    (_, row) = csv.DictReader(io.StringIO(scored(service, sent)))
    assert f"row has {len(cells)} cells" in row["error"]
    assert set(cells) <= {cell for value in row.values() for cell in (value, *value.split(","))}


def test_a_column_that_is_missing_is_told_once(service):
    sent = table([{key: value for key, value in CUSTOMER.items() if key != "tenure"}] * 3)
    error = refused(service, sent.encode(), "text/csv")
    assert [found.field for found in error.problems] == ["tenure"]


@pytest.mark.parametrize("text", ["", "\n", 'a,"b\n'])
def test_a_csv_that_is_no_table_is_refused(service, text):
    assert refused(service, text.encode(), "text/csv").status == 400


def test_a_column_that_stands_twice_is_refused_once(service):
    sent = table([{**CUSTOMER, "note": 1, "Note": 2}]).replace("Note", "note")
    (found,) = refused(service, sent.encode(), "text/csv").problems
    assert (found.field, found.message) == ("note", "stands twice in the header")


def test_a_table_too_wide_is_refused(service):
    wide = table([{**CUSTOMER, **{f"k{at}": "" for at in range(2_000)}}])
    assert refused(service, wide.encode(), "text/csv").status == 413


def test_a_table_that_has_an_outcome_already_keeps_it(service):
    lines = scored(service, table([{**CUSTOMER, "churn": "no"}])).splitlines()
    assert lines[0].endswith("totalcharges,churn,churn_probability,churn_predicted")


def test_a_csv_with_reasons_tells_the_strongest(service):
    (row,) = csv.DictReader(io.StringIO(scored(service, table([CUSTOMER]), explain="true")))
    assert row["reasons"].startswith("tenure 1 (+1.14), totalcharges 29.85 (+0.72), contract ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
SEEN = st.sampled_from([*CUSTOMER.values(), "Two year", "", "24", -1, 1e9, True])


@given(st.dictionaries(st.sampled_from([*CUSTOMER]), SEEN | JSON, max_size=6))
def test_any_json_gets_a_probability_or_a_problem(service, changed):
    try:
        answer = json.loads(service.predict(json.dumps({**CUSTOMER, **changed}).encode()).body)
        assert 0 <= answer["churn_probability"] <= 1
    except CustomerError as error:
        document = json.loads(problem(error, "id").body)
        assert {found["field"] for found in document["errors"]} <= set(changed)


@given(
    content=st.binary(max_size=200) | JSON.map(lambda found: json.dumps(found).encode()),
    media=st.sampled_from(["application/json", "text/csv"]),
)
def test_any_body_at_all_is_answered_or_refused_with_a_status(service, media, content):
    assert status_of(service, content, media) in (200, 400, 413, 415, 422)


def status_of(service, content, media):
    try:
        return service.predict(content, media).status
    except RequestError as error:
        return error.status


def values_of(known):
    if known.values:
        return st.sampled_from(known.values)
    numbers = st.integers(0, 10_000) if known.kind == "integer" else st.floats(0, 1e6)
    return numbers if known.missing is None else numbers | st.none()


CUSTOMERS = st.fixed_dictionaries(
    {each.name: values_of(each) for each in load(ROOT / "churn-model.bin").schema.fields}
)


@given(customer=CUSTOMERS)
def test_alone_in_an_array_and_in_a_csv_a_customer_gets_the_same_number(service, customer):
    content = json.dumps(customer)
    alone = json.loads(service.predict(content.encode()).body)["churn_probability"]
    (among,) = json.loads(service.predict(f"[{content}]".encode()).body)
    (row,) = csv.DictReader(io.StringIO(scored(service, table([customer]))))
    assert among["churn_probability"] == float(row["churn_probability"]) == alone


@given(customer=CUSTOMERS)
def test_what_is_accepted_gets_scikit_learns_own_number(service, pair, customer):
    vectorizer, model = pair
    clean = service.model.schema.check(customer)
    own = model.predict_proba(vectorizer.transform([clean]))[0, 1]
    got = json.loads(service.predict(json.dumps(customer).encode()).body)["churn_probability"]
    assert got == pytest.approx(own, abs=1e-12)


@given(customer=CUSTOMERS)
def test_reasons_add_up_for_any_customer(service, customer):
    answer = json.loads(service.predict(json.dumps(customer).encode(), explain="true").body)
    logit = answer["base"] + math.fsum(reason["points"] for reason in answer["reasons"])
    assert sigmoid(logit) == pytest.approx(answer["churn_probability"], abs=1e-12)
