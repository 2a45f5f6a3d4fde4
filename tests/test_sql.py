"""The model as SQL: the service's numbers wherever it is run, and NULL where there are none."""

from __future__ import annotations

import csv
import pickle
import re
import sqlite3
from contextlib import closing

import duckdb
import pytest
import sqlglot
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodels import SPELLINGS, models

from churn import sql
from churn.errors import CustomerError, DataError

TABLE = ROOT / "data" / "telco-customer-churn.csv"


def run(dialect, statement, columns, rows):
    """Return what an engine makes of rows of text."""
    connection = duckdb.connect() if dialect == "duckdb" else sqlite3.connect(":memory:")
    names = ", ".join(f'"{name}" VARCHAR' for name in columns)
    with closing(connection):
        connection.execute(f"CREATE TABLE customers ({names})")
        if dialect == "duckdb":  # row by row it is slow
            marks = ", ".join(["unnest(?)"] * len(columns))
            connection.execute(
                f"INSERT INTO customers SELECT {marks}", list(zip(*rows, strict=True))
            )
        else:
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO customers VALUES ({marks})", rows)
        return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def customers():
    with TABLE.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


@pytest.fixture(scope="module")
def wanted(customers, model):
    """What scikit-learn says of all customers."""
    header, rows = customers
    vectorizer, estimator = pickle.loads((ROOT / "churn-model.bin").read_bytes())
    clean = [model.schema.check(dict(zip(header, row, strict=True))) for row in rows]
    return estimator.predict_proba(vectorizer.transform(clean))[:, 1]


@pytest.mark.parametrize("dialect", ["duckdb", "sqlite"])
def test_all_customers_get_scikit_learns_probability(dialect, customers, wanted, model):
    header, rows = customers
    statement = sql.select(model, dict.fromkeys(header, "text"), "customers", dialect)
    got = run(dialect, statement, header, rows)
    assert [list(row[:-2]) for row in got] == rows
    assert max(abs(row[-2] - want) for row, want in zip(got, wanted, strict=True)) < 1e-9
    assert [bool(row[-1]) for row in got] == [bool(want >= 0.5) for want in wanted]


@pytest.mark.parametrize("dialect", ["duckdb", "sqlite"])
def test_a_letter_that_engines_put_in_lower_case_in_other_ways_makes_no_other_value(
    dialect, customers, model
):
    header, (row, *_) = customers
    row = ["F\u0130ber optic" if name == "InternetService" else cell
           for name, cell in zip(header, row, strict=True)]  # fmt: skip
    statement = sql.select(model, dict.fromkeys(header, "text"), "customers", dialect, refused=True)
    assert run(dialect, statement, header, [row])[0][-3:] == (None, None, "internetservice")


def of_python(model, columns, row):
    """Return the probability that the service gives a row of a CSV, None where it refuses."""
    try:
        record = dict(zip(columns, ["" if cell is None else cell for cell in row], strict=True))
        return model.scorer.probability(model.schema.check(record))
    except CustomerError:
        return None


def is_exotic(text):
    """Whether text is spelt as no table spells it, so that SQL may refuse it."""
    return text is not None and bool(re.search(r"[^\x01-\x7f]|e[+-]?\d{3}|.{100}", text.lower()))


cells = st.one_of(st.sampled_from([None, *SPELLINGS]), st.text("019+-._eE \t", max_size=6))
rows_of_text = st.lists(st.lists(cells, min_size=4, max_size=4), min_size=5, max_size=30)


@pytest.mark.parametrize("dialect", ["duckdb", "sqlite"])
@settings(max_examples=50)
@given(model=models(), rows=rows_of_text, seen=st.booleans(), pretty=st.booleans())
def test_any_model_agrees_with_its_scorecard_on_any_spelling(dialect, model, rows, seen, pretty):
    columns = {each.name: "text" for each in model.schema.fields}
    rows = [row[: len(columns)] for row in rows]
    texts = {name: [t for t in SPELLINGS if "\x00" not in t] for name in columns if seen}
    statement = sql.select(model, columns, "customers", dialect, seen=texts, pretty=pretty)
    for row, got in zip(rows, run(dialect, statement, columns, rows), strict=True):
        want = of_python(model, columns, row)
        if got[-2] is None:
            assert want is None or any(map(is_exotic, row)), row
        else:
            assert got[-2] == pytest.approx(want, abs=1e-9), row


TYPED = st.one_of(st.none(), st.integers(-10, 10**16), st.floats(), st.booleans())


@given(model=models(), kind=st.sampled_from(["number", "boolean"]), data=st.data())
def test_numbers_and_flags_are_read_as_json_gives_them(model, kind, data):
    columns = {each.name: kind for each in model.schema.fields}
    values = (
        st.booleans()
        if kind == "boolean"
        else st.sampled_from([0, 1, 24, 1.5, -3, 2.25, 1e16, float("nan")])
    )
    row = data.draw(st.tuples(*[st.one_of(st.none(), values) for _ in columns]))
    typed = ", ".join(
        f"CAST(? AS {'BOOLEAN' if kind == 'boolean' else 'DOUBLE'}) AS {name}" for name in columns
    )
    statement = sql.select(model, columns, "customers", "duckdb")
    got = duckdb.execute(f"WITH customers AS (SELECT {typed}) {statement}", list(row)).fetchone()
    try:
        want = model.scorer.probability(model.schema.check(dict(zip(columns, row, strict=True))))
    except CustomerError:
        want = None
    assert (got[-2] is None) == (want is None)
    assert want is None or abs(got[-2] - want) < 1e-9


@settings(max_examples=50)
@given(model=models(), rows=rows_of_text)
def test_reasons_and_refused_fields_are_told_on_request(model, rows):
    columns = {each.name: "text" for each in model.schema.fields}
    rows = [row[: len(columns)] for row in rows]
    statement = sql.select(model, columns, "customers", "duckdb", explain=True, refused=True)
    for row, got in zip(rows, run("duckdb", statement, columns, rows), strict=True):
        *_, refused = got
        if refused is None:
            clean = model.schema.check(
                {n: "" if c is None else c for n, c in zip(columns, row, strict=True)}
            )
            reasons = {each.field: each.points for each in model.scorer.reasons(clean)[1]}
            points = got[len(columns) + 3 : -1 : 2]
            assert points == pytest.approx([reasons[name] for name in columns])
        else:
            assert set(refused.split(", ")) <= set(columns)
            assert got[len(columns)] is None


@pytest.mark.parametrize("dialect", sql.DIALECTS)
@pytest.mark.parametrize("explain", [False, True])
def test_every_dialect_can_read_what_is_written_for_it(dialect, explain, model):
    columns = sql.plain_columns(model, ["customer_id"])
    statement = sql.select(model, columns, "crm.customers", dialect, explain=explain, refused=True)
    (parsed,) = sqlglot.parse(statement, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    names = [each.lower() for each in parsed.named_selects]  # Snowflake's are in capitals
    assert names[0] == "customer_id"
    assert {"churn_probability", "churn", "refused"} <= set(names)


def test_snowflake_finds_columns_that_were_created_without_quotes(model):
    columns = {"Odd Name": "text", **sql.plain_columns(model)}
    statement = sql.select(model, columns, 'crm."customers"', "snowflake")
    names = sqlglot.parse_one(statement, dialect="snowflake").named_selects
    assert names[:2] == ["Odd Name", "GENDER"]
    assert 'crm."customers"' in statement


@pytest.mark.parametrize("dialect", sql.DIALECTS)
def test_no_letter_or_blank_depends_on_how_a_dialect_writes_texts(dialect, model):
    statement = sql.select(model, dict.fromkeys(sql.plain_columns(model), "text"), "t", dialect)
    assert "\\" not in statement
    assert statement.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["a"], ("churn_probability", "churn")),
        (["Churn"], ("churn_probability", "churn_predicted")),
        (["churn", "CHURN_PREDICTED", "churn_probability"],
         ("churn_probability_predicted", "churn_predicted_predicted")),
    ],
)  # fmt: skip
def test_added_columns_take_nobodys_name(columns, names):
    assert tuple(sql.free(columns, sql.PROBABILITY, sql.CHURN)) == names


def test_a_missing_column_is_told_before_anything_runs(model):
    with pytest.raises(CustomerError) as caught:
        sql.select(model, {"gender": "text"}, "customers", "duckdb")
    assert len(caught.value.problems) == 18


def test_an_unknown_dialect_is_told_the_known_ones(model):
    with pytest.raises(DataError, match="choose one of athena, bigquery"):
        sql.select(model, {}, "customers", "oracle")
