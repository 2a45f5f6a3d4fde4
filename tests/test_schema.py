"""What a column is, what a value means, and what is refused: the same in training and serving."""

import json

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from churn.errors import CustomerError, DataError, UnusableColumn
from churn.schema import GAPS, Field, Schema, closest, label, normalise

TENURE = Field("tenure", "integer", low=0, high=72, label="Tenure")
CHARGES = Field("totalcharges", "number", low=18.8, high=8684.8, missing=0)
BALANCE = Field("balance", "number", low=-50.0, high=900.0)
SENIOR = Field("seniorcitizen", "yes/no", (0, 1), low=0, high=1)
PARTNER = Field("partner", "yes/no", ("no", "yes"))
CONTRACT = Field("contract", "category", ("month-to-month", "one_year", "two_year"))
PLAN = Field("plan", "category", ("a", "b"), missing="missing")
FIELDS = (TENURE, CHARGES, BALANCE, SENIOR, PARTNER, CONTRACT, PLAN)
BY_NAME = {each.name: each for each in FIELDS}
SCHEMA = Schema((TENURE, PARTNER, CONTRACT))
CUSTOMER = {"tenure": 3, "partner": "no", "contract": "one_year"}


def inferred(*texts, fill=None):
    return Field.infer("Column", {text: texts.count(text) for text in texts}, fill)


def problems(record, schema=SCHEMA, **how):
    with pytest.raises(CustomerError) as caught:
        schema.check(record, **how)
    return caught.value.problems


def refused(known, value):
    with pytest.raises(CustomerError) as caught:
        known.clean(value)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["No", "Yes"], "yes/no", ("no", "yes")),
        (["TRUE", "false"], "yes/no", ("false", "true")),
        (["1", "0"], "yes/no", (0, 1)),
        (["1.0", "0.0"], "yes/no", (0, 1)),
        (["1", "2"], "integer", ()),
        (["-7", "24.0"], "integer", ()),
        (["1", "2.5"], "number", ()),
        (["1e3", ".5"], "number", ()),
        (["no", "yes", "maybe"], "category", ("maybe", "no", "yes")),
        (["None", "some"], "category", ("none", "some")),
        (["1", "2", "3 or more"], "category", ("1", "2", "3_or_more")),
        (["Two Year", " two year ", "one"], "category", ("one", "two_year")),
    ],
)
def test_a_kind_is_what_all_rows_say(texts, kind, values):
    found = inferred(*texts)
    assert (found.kind, found.values, found.missing) == (kind, values, None)


def test_one_late_value_decides_the_kind():
    assert inferred(*map(str, range(1000)), "0.5").kind == "number"


@pytest.mark.parametrize(
    ("texts", "stand_in"),
    [
        (["", "0", "10"], 0),
        (["", "18.8", "8684.8"], 0),  # near nothing: a customer not yet billed
        (["", "30", "40", "80"], 40),
        (["", "30.5", "40.5", "80"], 40.5),
        (["", "-5", "0", "10"], 0),
        (["", "-5", "3", "3", "10"], 3),
        (["", "red", "blue"], "missing"),
    ],
)
def test_a_gap_stands_for_what_is_likely(texts, stand_in):
    assert inferred(*texts).missing == stand_in


@pytest.mark.parametrize("gap", sorted(GAPS))
def test_every_spelling_of_a_gap_is_one(gap):
    assert inferred(gap.upper(), "red", "blue").missing == "missing"


@pytest.mark.parametrize(
    ("texts", "values"), [(["", "no", "yes"], ("no", "yes")), (["", "0", "1"], ("0", "1"))]
)
def test_a_gap_in_a_flag_is_a_third_possibility(texts, values):
    found = inferred(*texts)
    assert (found.kind, found.values, found.missing) == ("category", values, "missing")
    assert [found.clean(value) for value in (False, True, None)] == [*values, "missing"]


@pytest.mark.parametrize(
    ("texts", "fill", "kind", "stand_in"),
    [
        (["", "no", "yes"], "No", "yes/no", "no"),
        (["", "0", "1"], "0", "yes/no", 0),
        (["", "no", "yes"], "unknown", "category", "unknown"),
        (["", "red", "blue"], "Red", "category", "red"),
        (["", "1", "100"], "50", "integer", 50),
        (["", "1.5", "100"], "2.5", "number", 2.5),
        (["1", "100"], "50", "integer", 50),
    ],
)
def test_a_gap_stands_for_what_the_user_says(texts, fill, kind, stand_in):
    found = inferred(*texts, fill=fill)
    assert (found.kind, found.missing) == (kind, stand_in)
    assert found.clean(None) == stand_in


@pytest.mark.parametrize(
    ("fill", "said"),
    [("much", "text, not a number"), ("2.5", "whole number"), ("-1", "negative"), ("", "a gap")],
)
def test_a_gap_cannot_stand_for_what_the_field_refuses(fill, said):
    with pytest.raises(DataError, match=said):
        inferred("", "1", "100", fill=fill)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a", " A "], "always 'a'"),
        (["1", "1.0", "01"], "always 1"),
        (["x", ""], "always 'x'"),
        (["", "NA"], "empty"),
        ([], "empty"),
        (["2024-01-31", "2024-02-01"], "dates"),
        (["2024-01-31 10:00", "2024-02-01T11:00"], "dates"),
        (["31.1.2024", "1/2/2024"], "dates"),
        (["1", "2", "1" + "0" * 17], "too long to tell apart"),
        ([f"name {n}" for n in range(101)], "differs in every row"),
        ([f"name {n // 2}" for n in range(202)], "101 different values"),
    ],
)
def test_a_column_that_tells_nothing_is_unusable(texts, said):
    with pytest.raises(UnusableColumn, match=said):
        inferred(*texts)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([*map(str, range(100)), "ten"], "'ten' .1 of 101 rows."),
        ([*map(str, range(100)), "inf"], "'inf'"),
        ([f"{n},5" for n in range(101)], "commas, such as '0,5'"),
        (["1", "2.5", "1e400"], "too large"),
        (["1", "2.5", "1e150"], "too large"),
    ],
)
def test_a_slip_among_numbers_is_for_the_user_to_put_right(texts, said):
    with pytest.raises(DataError, match=said) as caught:
        inferred(*texts)
    assert not isinstance(caught.value, UnusableColumn)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("MonthlyCharges", "Monthly charges"), ("monthly_charges", "Monthly charges"),
        ("StreamingTV", "Streaming TV"), ("tenure", "Tenure"), (" x ", "X"), ("_", ""),
    ],
)  # fmt: skip
def test_a_label_is_the_column_in_words(column, words):
    assert label(column) == words


@pytest.mark.parametrize(
    ("name", "value", "clean"),
    [
        ("tenure", "24", 24), ("tenure", " 24.0 ", 24), ("tenure", 24.0, 24),
        ("tenure", 1e6, 10**6),
        ("totalcharges", "1e2", 100.0), ("totalcharges", "", 0), ("totalcharges", None, 0),
        ("totalcharges", " N/A ", 0), ("balance", -3, -3.0), ("seniorcitizen", True, 1),
        ("seniorcitizen", "0", 0), ("seniorcitizen", 1.0, 1), ("partner", False, "no"),
        ("partner", "YES ", "yes"), ("contract", "Month-to-month", "month-to-month"),
        ("contract", " Two year", "two_year"), ("plan", None, "missing"), ("plan", "", "missing"),
    ],
)  # fmt: skip
def test_a_value_is_read_as_it_was_meant(name, value, clean):
    assert BY_NAME[name].clean(value) == clean


@pytest.mark.parametrize(
    ("name", "value", "said", "meant"),
    [
        ("tenure", "lots", "text, not a number", None),
        ("tenure", "1,000", "thousands separators", None),
        ("tenure", 1.5, "not a whole number", 2),
        ("tenure", -5, "negative", None),
        ("tenure", "-7", "negative", None),
        ("tenure", True, "not a yes/no", None),
        ("tenure", None, "empty", None),
        ("tenure", "", "empty", None),
        ("tenure", float("nan"), "finite", None),
        ("tenure", float("inf"), "finite", None),
        ("tenure", "1e400", "finite", None),
        pytest.param("tenure", 10**400, "too large", None, id="401 digits"),
        ("tenure", "9" * 400, "finite", None),
        ("tenure", "٣", "not a number", None),
        ("tenure", "0x10", "not a number", None),
        ("tenure", {"a": 1}, "an object", None),
        ("tenure", [24], "a list", None),
        ("seniorcitizen", "yes", "not a number", 1),
        ("seniorcitizen", "false", "not a number", 0),
        ("seniorcitizen", 2, "neither 0 nor 1", None),
        ("partner", 1, "not a value", None),
        ("contract", "monthly", "not a value", "month-to-month"),
        ("contract", "two yaer", "not a value", "two_year"),
        ("contract", None, "empty", None),
        ("contract", ["one_year"], "a list", None),
        pytest.param("contract", 10**5000, "not a value", None, id="5001 digits"),
        ("contract", float("nan"), "not a value", None),
        ("contract", True, "not a yes/no", None),
    ],
)
def test_a_value_is_refused_with_what_was_meant(name, value, said, meant):
    problem = refused(BY_NAME[name], value)
    assert said in problem.message
    assert (problem.field, problem.did_you_mean) == (name, meant)
    assert json.dumps(problem.to_json(), allow_nan=False)


def test_what_is_allowed_is_told():
    assert refused(CONTRACT, "x").allowed == ("month-to-month", "one_year", "two_year")
    assert TENURE.allowed == "a whole number of 0 or more (training saw 0 to 72)"
    assert BALANCE.allowed == "a number (training saw -50 to 900)"


@pytest.mark.parametrize(("value", "outside"), [(0, False), (72, False), (73, True)])
def test_a_number_outside_what_training_saw_is_noticed(value, outside):
    assert TENURE.outside(value) is outside
    assert SCHEMA.outside({**CUSTOMER, "tenure": value}) == ["tenure"] * outside


def test_a_stand_in_is_not_outside():
    assert not CHARGES.outside(0)


def test_a_record_is_cleaned_in_the_schemas_order():
    record = {"Contract": "One Year", "extra": 1, "TENURE": "3", " Partner ": False}
    assert list(SCHEMA.check(record).items()) == list(CUSTOMER.items())


def test_every_problem_comes_at_once():
    assert [each.field for each in problems({"tenure": "x", "partner": "x"})] == [
        "contract", "tenure", "partner",
    ]  # fmt: skip


def test_a_misspelt_key_is_a_missing_field_that_came_instead():
    record = {"tenure": 3, "partner": "no", "contrct": "one_year"}
    (problem,) = problems(record)
    assert problem.message == "is missing; 'contrct' came instead"


def test_a_field_may_not_come_in_two_spellings():
    (problem,) = problems({**CUSTOMER, "Tenure": 4})
    assert (problem.field, problem.message) == ("tenure", "came twice, in two spellings")


def test_a_stranger_is_refused_only_where_strict():
    record = {**CUSTOMER, "customerid": "x"}
    assert SCHEMA.check(record) == CUSTOMER
    (problem,) = problems(record, strict=True)
    assert problem.field == "customerid"


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        (["tenure", "partner", "contract", "x"], []),
        (["tenure", "partner"], ["contract"]),
        (["tenure", "partner", "contract", "tenure"], ["tenure"]),
        (["tenure", "partner", "contract", "Tenure"], ["tenure"]),
    ],
)
def test_a_header_is_checked_before_any_row(header, fields):
    if not fields:
        SCHEMA.check_columns(header)
        return
    with pytest.raises(CustomerError) as caught:
        SCHEMA.check_columns(header)
    assert [each.field for each in caught.value.problems] == fields


def test_a_schema_survives_json():
    schema = Schema(FIELDS)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_a_schema_is_recovered_from_feature_names():
    features = ["Contract=One Year", "Contract=two", "partner=No", "partner=yes", "tenure"]
    schema = Schema.recovered(features, "=")
    told = [(each.name, each.kind, each.values) for each in schema.fields]
    assert told == [
        ("Contract", "category", ("One Year", "two")),
        ("partner", "yes/no", ("No", "yes")),
        ("tenure", "number", ()),
    ]
    record = {"contract": "one year", "Partner": True, "tenure": "-3"}
    assert schema.check(record) == {"Contract": "One Year", "partner": "yes", "tenure": -3.0}


@pytest.mark.parametrize("text", ["na", "NA", " Na "])
def test_a_recovered_value_that_looks_like_a_gap_is_a_value_in_any_spelling(text):
    assert Schema.recovered(["pool=na", "pool=yes"], "=").check({"pool": text}) == {"pool": "na"}


@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    assert normalise(normalise(text)) == normalise(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)
#: What a field may know, beside anything at all.
LIKELY = st.sampled_from(["Yes", "0", "1.0", " two year", "24", "1e3", "", None, True, 1, 0.0])


@given(st.sampled_from(FIELDS), JSON | LIKELY)
def test_cleaning_gives_a_clean_value_or_one_problem(known, value):
    try:
        clean = known.clean(value)
    except CustomerError as error:
        (problem,) = error.problems
        event(problem.message[:20])
    else:
        assert known.clean(clean) == clean


@given(st.lists(st.text() | st.sampled_from(["1", "0", "2.5", "", "yes"])))
def test_a_column_is_a_field_that_knows_its_own_values_or_is_refused(texts):
    try:
        found = inferred(*texts)
    except DataError:
        return
    assert all(found.clean(text) is not None for text in texts)


@given(st.text(), st.lists(st.text()))
def test_the_closest_word_is_a_known_one_or_none(text, known):
    assert closest(text, known) in [*known, None]
