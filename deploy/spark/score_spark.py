"""Score customers on Apache Spark: one SELECT, planned and spread by Spark itself.

    spark-submit --py-files churn.zip score_spark.py \
        --model churn-model.bin s3://bucket/customers/ s3://bucket/scored/

Only the driver needs churn/ and sqlglot; the executors run SQL. A row the model can't score keeps
NULL, and the column ``refused`` names the fields that were not understood.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from churn import sql
from churn.errors import ChurnError, CustomerError, in_words
from churn.model import Model, load

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: Spark's types whose values are numbers.
NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")


def main() -> int:
    """Score what the command line says; return the exit code."""
    asked = parser().parse_args()
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("churn").getOrCreate()
    try:
        customers = read(spark, asked.input, asked.format)
        scored = with_scores(customers, load(asked.model), explain=asked.explain)
        scored.write.mode(asked.mode).format(asked.output_format).option("header", True).save(
            asked.output
        )
    except CustomerError as error:
        print(f"score_spark.py: {'; '.join(map(in_words, error.problems))}", file=sys.stderr)
        return 1
    except ChurnError as error:
        print(f"score_spark.py: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


def read(spark: SparkSession, path: str, form: str) -> DataFrame:
    """Return a table of customers; a CSV's cells as the texts they are."""
    reader = spark.read.format(form)
    if form == "csv":  # RFC 4180, as everybody but Spark writes it
        reader = reader.option("header", True).option("escape", '"').option("multiLine", True)
    return reader.load(path)


def with_scores(customers: DataFrame, model: Model, *, explain: bool = False) -> DataFrame:
    """Return the customers with what the model says of each.

    :raises CustomerError: columns are missing, or stand twice.
    """
    customers.createOrReplaceTempView("customers")
    columns: dict[str, sql.Type] = {}
    for name, kind in customers.dtypes:
        columns[name] = "number" if kind.startswith(NUMBERS) else "text"
        if kind == "boolean":
            columns[name] = "boolean"
    statement = sql.select(model, columns, "customers", "spark", explain=explain, refused=True)
    return customers.sparkSession.sql(statement)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    reader = argparse.ArgumentParser(description="Score customers on Apache Spark.")
    reader.add_argument("input", help="where the customers lie: a folder, a file, an s3:// address")
    reader.add_argument("output", help="the folder to write")
    reader.add_argument("--model", type=Path, default=Path("churn-model.bin"), help="the .bin")
    reader.add_argument("--format", default="parquet", choices=["parquet", "csv", "json"])
    reader.add_argument("--output-format", default="parquet", choices=["parquet", "csv", "json"])
    reader.add_argument("--explain", action="store_true", help="add each field's value and points")
    reader.add_argument("--mode", default="error", choices=["error", "overwrite", "append"])
    return reader


if __name__ == "__main__":
    sys.exit(main())
