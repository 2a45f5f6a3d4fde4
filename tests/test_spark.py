"""Apache Spark, in local mode: the service's numbers on all customers, and on malformed ones."""

from __future__ import annotations

import csv
import itertools
import os
import random
import subprocess
import sys

import pytest
from conftest import ROOT
from sqlmodels import SPELLINGS
from test_sql import is_exotic, of_python

from churn import sql

pytest.importorskip("pyspark", reason="pip install -r tests/requirements-spark.txt")
TABLE = ROOT / "data" / "telco-customer-churn.csv"
SCRIPT = ROOT / "deploy" / "spark" / "score_spark.py"


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ.update(SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable)
    building = SparkSession.builder.master("local[2]").config("spark.ui.enabled", False)
    session = building.config("spark.sql.shuffle.partitions", 2).getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def customers():
    with TABLE.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def scored(spark, model, header, rows):
    """Return what Spark makes of rows of text: the probability and the refused fields of each."""
    frame = spark.createDataFrame(
        [(at, *row) for at, row in enumerate(rows)],
        f"at INT, {', '.join(f'`{name}` STRING' for name in header)}",
    )
    frame.createOrReplaceTempView("customers")
    columns = {"at": "number", **dict.fromkeys(header, "text")}
    statement = sql.select(model, columns, "customers", "spark", refused=True)
    found = spark.sql(statement).orderBy("at").collect()
    return [(row["churn_probability"], row["refused"]) for row in found]


def test_all_customers_get_the_services_number(spark, customers, model):
    header, rows = customers
    found = scored(spark, model, header, rows)
    worst = max(
        abs(probability - of_python(model, header, row))
        for (probability, _), row in zip(found, rows, strict=True)
    )
    assert worst < 1e-9


def malformed(header, rows):
    """Return customers with every spelling in every column, and with several at once."""
    chosen = itertools.cycle(rows[:50])
    for column in range(len(header)):
        for spelling in [None, *SPELLINGS]:
            row = list(next(chosen))
            row[column] = spelling
            yield row
    mixing = random.Random(1)
    for row in rows[:500]:
        yield [mixing.choice(SPELLINGS) if mixing.random() < 0.1 else cell for cell in row]


def test_malformed_customers_are_scored_as_the_service_does_or_refused(spark, customers, model):
    header, rows = customers
    broken = list(malformed(header, rows))
    for row, (probability, refused) in zip(
        broken, scored(spark, model, header, broken), strict=True
    ):
        want = of_python(model, header, row)
        if probability is None:
            assert refused
            assert want is None or any(map(is_exotic, row)), row
        else:
            assert abs(probability - want) < 1e-9, row


def test_the_script_scores_a_csv_into_parquet(tmp_path, customers, model):
    duckdb = pytest.importorskip("duckdb")
    command = [sys.executable, SCRIPT, "--format", "csv", "--explain", "--model",
               ROOT / "churn-model.bin", TABLE, tmp_path / "scored"]  # fmt: skip
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": path}
    run = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert run.returncode == 0, run.stderr
    files = f"{tmp_path}/scored/*.parquet"
    found = duckdb.execute(
        f"SELECT count(*), count(churn_probability), avg(churn_probability) FROM '{files}'"
    )
    rows, probable, mean = found.fetchone()
    header, table = customers
    wanted = [of_python(model, header, row) for row in table]
    assert (rows, probable) == (len(table), len(table))
    assert mean == pytest.approx(sum(wanted) / len(wanted), abs=1e-9)
