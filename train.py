"""Train a churn model on a table of customers: a CSV or Parquet file in, churn-model.bin out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from churn.errors import ChurnError, DataError
from churn.schema import Schema, closest

HERE = Path(__file__).parent
SHIPPED = HERE / "data" / "telco-customer-churn.csv"

#: What the telephone company of the shipped table can offer a customer.
SHIPPED_ACTIONABLE = [
    "contract", "paymentmethod", "paperlessbilling", "monthlycharges", "internetservice",
    "onlinesecurity", "onlinebackup", "deviceprotection", "techsupport",
]  # fmt: skip

EXAMPLES = """\
examples:
  python train.py
  python train.py --data customers.csv --target left --positive yes --drop phone_number
  python train.py --data customers.parquet --threshold 0.35 --actionable contract discount
  python train.py --model logistic --output models/plain.bin

A gap in a column of categories becomes a category of its own. A gap in a number stands for 0
where the numbers start near 0, else for their median; --fill income=0 says otherwise.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit code."""
    asked = parser().parse_args(arguments)
    try:
        train(asked)
    except KeyboardInterrupt:
        print("\ntrain.py: stopped by Ctrl+C", file=sys.stderr)
        return 130
    except ChurnError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"train.py: training needs {error.name}, which this environment lacks: "
            'run pipenv sync --categories "packages train"',
            file=sys.stderr,
        )
        return 1
    return 0


def train(asked: argparse.Namespace) -> None:
    """Read, clean, cross-validate, fit, save and report."""
    from tqdm import tqdm

    from churn import artifact, data, report, training

    for path in filter(None, (asked.output, asked.report)):
        check_writable(path)  # before the work, not after it
    dataset = data.prepare(
        data.read(asked.data),
        asked.target,
        asked.positive,
        asked.drop,
        asked.keep,
        dict(asked.fill),
    )
    actionable = actionable_fields(asked, dataset.schema)
    print(report.of_data(dataset), flush=True)

    total = training.fits(asked.model, asked.folds)
    with tqdm(total=total, unit=" fits", leave=False, disable=None) as bar:
        trained = training.train(
            dataset, asked.model, asked.folds, asked.test_size, asked.seed, bar.update
        )
    print(f"\n{report.of_training(trained)}", flush=True)

    manifest = training.manifest(
        dataset, trained, asked.threshold, actionable, data.digest(asked.data), asked.seed
    )
    artifact.save(asked.output, trained.content(), manifest)
    print(f"\nModel: {asked.output}\nManifest: {artifact.manifest_path(asked.output)}")
    if asked.report:
        report.draw(trained, dataset, asked.report, asked.threshold)
        print(f"Drawing: {asked.report}")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    new = argparse.ArgumentParser(
        prog="train.py", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = new.add_argument
    add(
        "--data",
        type=Path,
        default=SHIPPED,
        metavar="FILE",
        help="CSV or Parquet (default: the telephone customers shipped with the project)",
    )
    add(
        "--target",
        default="churn",
        metavar="COLUMN",
        help="the column that says who left (default: churn)",
    )
    add(
        "--positive",
        metavar="VALUE",
        help="its value that means the customer left (default: yes, true or 1)",
    )
    add(
        "--drop",
        action="extend",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="leave these columns out; one that differs in every row, as an identifier does, is "
        "left out anyway",
    )
    add(
        "--keep",
        action="extend",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="keep these columns of numbers although they differ in every row",
    )
    add(
        "--fill",
        action="extend",
        nargs="+",
        type=filling,
        default=[],
        metavar="COLUMN=VALUE",
        help="what a gap in a column stands for; the end of this help says what it does otherwise",
    )
    add(
        "--actionable",
        action="extend",
        nargs="+",
        metavar="COLUMN",
        help="the columns that the company can change, for the advice that the service gives",
    )
    add(
        "--model",
        choices=["scorecard", "logistic"],
        default="scorecard",
        help="a scorecard with a curve for each number (the default), or plain logistic regression",
    )
    add(
        "--folds",
        type=whole(2, 50),
        default=5,
        metavar="N",
        help="folds of the cross-validation, 2 to 50 (default: 5)",
    )
    add(
        "--test-size",
        type=share,
        default=0.2,
        metavar="SHARE",
        help="share of customers held out for the final test (default: 0.2)",
    )
    add(
        "--seed",
        type=whole(0, 2**32 - 1),
        default=1,
        metavar="N",
        help="the same seed gives the same figures (default: 1)",
    )
    add(
        "--threshold",
        type=share,
        default=0.5,
        metavar="P",
        help="the probability from which a customer counts as leaving (default: 0.5)",
    )
    add(
        "--output",
        type=named(".bin"),
        default=HERE / "churn-model.bin",
        metavar="FILE.bin",
        help="where the model goes, and beside it its manifest, FILE.json (default: the "
        "churn-model.bin that predict.py serves)",
    )
    add(
        "--report",
        type=named(".png", ".svg", ".pdf"),
        metavar="FILE.png",
        help="draw how good the model is, and save that there (.svg and .pdf do, too)",
    )
    return new


def whole(least: int, most: int):
    """Return a parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return parse


def share(text: str) -> float:
    """Return a number between 0 and 1, neither of them."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return number


def named(*suffixes: str):
    """Return a parser of paths that end in one of these."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(suffixes)}")
        return path

    return parse


def filling(text: str) -> tuple[str, str]:
    """Return a column, and what a gap in it stands for."""
    column, _, value = text.rpartition("=")
    if not column.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE")
    return column, value


def actionable_fields(asked: argparse.Namespace, schema: Schema) -> list[str]:
    """Return the fields a company can act on, named as the model names them."""
    if asked.actionable is None:
        shipped = asked.data.resolve() == SHIPPED
        return [name for name in SHIPPED_ACTIONABLE if shipped and schema.named(name)]
    for column in asked.actionable:
        if schema.named(column) is None:
            near = closest(column, [each.name for each in schema.fields])
            hint = f"; did you mean {near!r}?" if near else ""
            raise DataError(f"--actionable names {column!r}, which the model doesn't use{hint}")
    return [schema.named(column).name for column in asked.actionable]


def check_writable(path: Path) -> None:
    """Check that a file can be written at ``path``, and make its folder.

    :raises DataError: it can't.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror}") from error
    if path.is_dir():
        raise DataError(f"can't write {path}: it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise DataError(f"can't write {path}: its folder is read-only")


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a Windows pipe may have no arrows
    sys.exit(main())
