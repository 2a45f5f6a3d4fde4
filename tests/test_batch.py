"""What DuckDB is told and asked: types of columns, files that appear whole."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import duckdb
import pytest
from conftest import CUSTOMER, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodels import SPELLINGS, models

from churn.batch import Scoring, Target, format_of, whole
from churn.errors import CustomerError, DataError
from churn.scorecard import in_short


@pytest.mark.parametrize(
    ("name", "told", "found"),
    [
        ("a.csv", None, ("csv", None)),
        ("A.CSV.GZ", None, ("csv", "gzip")),
        ("a.b.ndjson.zst", None, ("json", "zstd")),
        ("folder.csv/a.pq", None, ("parquet", None)),
        ("a", "json", ("json", None)),
    ],
)
def test_a_name_tells_the_format(name, told, found):
    assert format_of(name, told) == found


@pytest.mark.parametrize("name", ["a", "a.gz", "a.xlsx", ""])
def test_a_name_that_tells_none_is_refused(name):
    with pytest.raises(DataError, match="doesn't tell its format"):
        format_of(name)


def scored(model, path, **options):
    """Return the rows that a file's scores and its refusals have."""
    scoring = Scoring(model, **options)
    try:
        targets = [Target(path.with_name(name), "csv") for name in ("out.csv", "no.csv")]
        scoring.write(scoring.table(str(path)), *targets, lambda _: None)
        texts = [target.path.read_bytes().decode() for target in targets]
        return [list(csv.DictReader(io.StringIO(text, newline=""))) for text in texts]
    finally:
        scoring.close()


@pytest.mark.parametrize(
    ("column", "expression"),
    [
        ("tenure", "tenure::TINYINT"),
        ("tenure", "tenure::HUGEINT"),
        ("tenure", "tenure::DECIMAL(4, 1)"),
        ("tenure", "tenure::FLOAT"),
        ("tenure", "' ' || tenure || '.0'"),
        ("monthlycharges", "monthlycharges::DECIMAL(18, 6)"),
        ("monthlycharges", "monthlycharges::VARCHAR"),
        ("seniorcitizen", "seniorcitizen::INT::BOOLEAN"),
        ("partner", "partner = 'yes'"),
        ("contract", "contract::ENUM('month-to-month', 'INT', 'two_year')"),
        ("contract", "upper(replace(contract, '_', ' '))"),
        ("note", "INTERVAL 3 DAY"),
        ("note", "[1, 2]"),
        ("note", "{'a': DATE '2026-01-01'}"),
        ("note", "'\\xAA'::BLOB"),
    ],
)
def test_a_column_of_any_type_means_what_it_says(column, expression, model, tmp_path):
    given = ", ".join(f"{value!r} AS {name}" for name, value in CUSTOMER.items())
    table = f"(SELECT {given}, '' AS note)"
    replaced = f"SELECT * REPLACE ({expression} AS {column}) FROM {table}"
    duckdb.execute(f"COPY ({replaced}) TO '{tmp_path}/in.parquet'")
    (row,), refused = scored(model, tmp_path / "in.parquet")
    want = model.scorer.probability(model.schema.check(CUSTOMER))
    assert float(row["churn_probability"]) == pytest.approx(want, abs=1e-12)
    assert not refused


@pytest.mark.parametrize(
    ("column", "expression"),
    [
        ("tenure", "'nan'::DOUBLE"),
        ("tenure", "1e300"),
        ("tenure", "1.5"),
        ("tenure", "-1"),
        ("tenure", "NULL::INT"),
        ("tenure", "true"),
        ("tenure", "DATE '2026-01-01'"),
        ("tenure", "[1]"),
        ("seniorcitizen", "2"),
        ("contract", "1"),
        ("contract", "NULL::VARCHAR"),
        ("contract", "INTERVAL 1 DAY"),
    ],
)
def test_a_value_that_means_nothing_is_refused_whatever_its_type(
    column, expression, model, tmp_path
):
    given = ", ".join(f"{value!r} AS {name}" for name, value in CUSTOMER.items())
    replaced = f"SELECT * REPLACE ({expression} AS {column}) FROM (SELECT {given})"
    duckdb.execute(f"COPY ({replaced}) TO '{tmp_path}/in.parquet'")
    rows, (refused,) = scored(model, tmp_path / "in.parquet", explain=True)
    assert not rows
    assert refused["error"].startswith(column)


def as_the_service(model, row):
    """Return the reasons in short that the service gives a row, None where it refuses."""
    try:
        return in_short(model.scorecard.reasons(model.schema.check(row))[1])
    except CustomerError:
        return None


def test_all_customers_get_the_services_reasons(model, tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes((ROOT / "data" / "telco-customer-churn.csv").read_bytes())
    rows, _ = scored(model, path, explain=True)
    assert len(rows) == 7043
    for row in rows:
        assert row["reasons"] == as_the_service(model, row)


@settings(max_examples=25)
@given(
    model=models(),
    cells=st.lists(
        st.lists(st.sampled_from([each for each in SPELLINGS if "\x00" not in each]),
                 min_size=4, max_size=4), min_size=1, max_size=20,
    ),
)  # fmt: skip
def test_any_model_gives_the_services_reasons_or_none(model, cells, tmp_path_factory):
    names = [each.name for each in model.schema.fields]
    given = [dict(zip(["at", *names], map(str, [at, *row]), strict=False))
             for at, row in enumerate(cells)]  # fmt: skip
    path = tmp_path_factory.mktemp("any") / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["at", *names])
        writer.writeheader()
        writer.writerows(given)
    rows, refused = scored(model, path, explain=True)
    told = {row["at"]: row["reasons"] for row in rows} | {row["at"]: None for row in refused}
    assert told == {row["at"]: as_the_service(model, row) for row in given}


def test_missing_columns_are_told_before_anything_is_written(model, tmp_path):
    duckdb.execute(f"COPY (SELECT 1 AS tenure) TO '{tmp_path}/in.parquet'")
    with pytest.raises(CustomerError, match="gender"):
        scored(model, tmp_path / "in.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "out.csv"
    with whole(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("out.csv", "new")]


def test_what_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole(path) as part:
        part.write_text(str(1 / 0))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("out.csv", "old")]


@pytest.mark.skipif(sys.platform == "win32", reason="there, files that are open can't be deleted")
def test_a_part_that_somebody_writes_is_left_alone_and_one_of_the_dead_is_removed(tmp_path):
    path, left = tmp_path / "out.csv", tmp_path / ".out.csv.1.part"
    left.write_text("dead")
    code = (
        "import sys; from pathlib import Path; from churn.batch import whole\n"
        "with whole(Path(sys.argv[1])) as part: print(part, flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, path], cwd=ROOT, stdin=-1, stdout=-1, text=True
    )
    theirs = other.stdout.readline().strip()
    with whole(path):
        assert theirs in map(str, tmp_path.glob(".out.csv.*.part"))
        assert not left.exists()
    other.communicate("\n")
    assert other.returncode == 0
