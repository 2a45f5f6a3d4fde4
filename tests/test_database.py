"""A table kept scored in a real PostgreSQL server."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from postgres import serving
from sqlmodels import SPELLINGS, models
from test_sql import is_exotic, of_python, rows_of_text

from churn import sql
from churn.artifact import Manifest
from churn.database import keep_scored
from churn.errors import CustomerError, DataError
from churn.model import Model
from churn.schema import Field, Schema
from churn.scorecard import Curve, Scorecard

TABLE = ROOT / "data" / "telco-customer-churn.csv"


@pytest.fixture(scope="module")
def url():
    with tempfile.TemporaryDirectory(prefix="churn-pg-") as folder, serving(Path(folder)) as found:
        yield found


@pytest.fixture
def customers(url):
    """A fresh table of all customers, numbers as numbers; yields its name and rows."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    kinds = {"SeniorCitizen": "integer", "tenure": "smallint", "MonthlyCharges": "numeric(8,2)"}
    typed = ", ".join(f'"{name}" {kinds.get(name, "text")}' for name in header)
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS customers, scores")
        connection.execute(f"CREATE TABLE customers (id integer PRIMARY KEY, {typed})")
        with connection.cursor().copy("COPY customers FROM STDIN") as copy:
            for at, row in enumerate(rows):
                copy.write_row([at, *row])
    return header, rows


def ask(url, query):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_every_customer_gets_the_services_number(url, customers, model):
    header, rows = customers
    found = keep_scored(model, url, "customers", "scores")
    assert (found.scored, found.refused) == (len(rows), 0)
    kept = ask(url, "SELECT id, churn_probability, churn, model FROM scores ORDER BY id")
    for (at, probability, churn, version), row in zip(kept, rows, strict=True):
        want = of_python(model, header, row)
        assert abs(probability - want) < 1e-9, at
        assert (churn, version) == (want >= 0.5, model.version)


def test_run_again_it_follows_the_table(url, customers, model):
    keep_scored(model, url, "customers", "scores")
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM customers WHERE id = 1")
        connection.execute("UPDATE customers SET \"Contract\" = 'Weekly', tenure = -1 WHERE id = 2")
        connection.execute("UPDATE customers SET tenure = 72 WHERE id = 3")
    before = ask(url, "SELECT churn_probability FROM scores WHERE id = 3")
    found = keep_scored(model, url, "customers", "scores")
    assert (found.scored, found.refused) == (7041, 1)
    kept = ask(
        url, "SELECT id, churn_probability, churn, refused FROM scores WHERE id < 3 ORDER BY id"
    )
    assert [row[0] for row in kept] == [0, 2]
    assert kept[1] == (2, None, None, "tenure, contract")
    assert ask(url, "SELECT churn_probability FROM scores WHERE id = 3") != before


def test_a_run_that_fails_changes_nothing(url, customers, model):
    keep_scored(model, url, "customers", "scores")
    before = ask(url, "SELECT * FROM scores ORDER BY id")
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE scores ADD CHECK (churn_probability < 0.9) NOT VALID")
        connection.execute("UPDATE customers SET tenure = 0")
    with pytest.raises(DataError, match="the database says: new row"):
        keep_scored(model, url, "customers", "scores")
    assert ask(url, "SELECT * FROM scores ORDER BY id") == before


@pytest.mark.parametrize(
    ("table", "keys", "words"),
    [
        ("nowhere", [], 'the database says: relation "nowhere" does not exist'),
        ("customers", ["nobody"], "customers has no column 'nobody' to be a key"),
        ("keyless", [], "keyless has no primary key: say --key"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(url, customers, model, table, keys, words):
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS keyless AS SELECT * FROM customers LIMIT 1")
    with pytest.raises(DataError, match=words):
        keep_scored(model, url, table, "scores", keys=keys)


def test_a_table_without_the_models_columns_is_refused_by_their_names(url, model):
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE few (id integer PRIMARY KEY, gender text)")
    with pytest.raises(CustomerError) as caught:
        keep_scored(model, url, "few", "scores")
    assert "tenure" in [each.field for each in caught.value.problems]


def test_the_command_says_how_many_were_scored(url, customers):
    command = [
        sys.executable,
        "score.py",
        "--database",
        url,
        "--table",
        "customers",
        "--into",
        "scores",
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "7,043 customers scored into scores\n")


def test_a_server_that_is_not_there_is_said_in_a_line(model):
    with pytest.raises(DataError, match="the database says: "):
        keep_scored(model, "postgresql://127.0.0.1:1/none", "customers", "scores")


@pytest.mark.parametrize(("tenure", "probability"), [("1e90", 0), ("-1e90", 1), ("0", 0.5)])
def test_log_odds_beyond_all_bounds_are_no_error(url, tenure, probability):
    field = Field("tenure", "number")
    schema = Schema((field,))
    card = Scorecard(0.0, {"tenure": Curve.line(-1.0)}, {"tenure": 0.0})
    model = Model(Path("x"), "0" * 64, card, schema, Manifest(schema, "0" * 64), (0, 1))
    statement = sql.select(model, {"tenure": "text"}, "far", "postgres")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TEMP TABLE far (tenure text)")
        connection.execute("INSERT INTO far VALUES (%s)", [tenure])
        assert connection.execute(statement).fetchone()[1] == pytest.approx(probability)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=models(), rows=rows_of_text)
def test_any_model_agrees_with_its_scorecard_on_any_spelling(url, model, rows):
    columns = {each.name: "text" for each in model.schema.fields}
    rows = [
        [None if cell and "\x00" in cell else cell for cell in row[: len(columns)]] for row in rows
    ]
    statement = sql.select(
        model, columns, "spelt", "postgres", seen=dict.fromkeys(columns, SPELLINGS[:9])
    )
    with psycopg.connect(url) as connection:
        connection.execute(
            f"CREATE TEMP TABLE spelt ({', '.join(f'{name} text' for name in columns)})"
        )
        connection.cursor().executemany(
            f"INSERT INTO spelt VALUES ({', '.join(['%s'] * len(columns))})", rows
        )
        found = connection.execute(statement).fetchall()
    for row, got in zip(rows, found, strict=True):
        want = of_python(model, columns, row)
        if got[-2] is None:
            assert want is None or any(map(is_exotic, row)), row
        else:
            assert abs(got[-2] - want) < 1e-9, (row, want)
