"""Score a whole customer base: files, a table in PostgreSQL, or any engine that runs SQL."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from churn.errors import ChurnError, CustomerError, DataError, in_words
from churn.model import Model, load

if TYPE_CHECKING:
    from churn.batch import Progress, Tally

HERE = Path(__file__).resolve().parent

#: What compressed files begin with.
MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}

EXAMPLES = """\
examples:
  python score.py customers.csv scored.csv
  python score.py "exports/*.csv.gz" scored.parquet --rejects rejects.csv
  python score.py customers.parquet leavers.csv --top 1000 --explain
  python score.py - - < customers.csv.gz > scored.csv
  python score.py --database postgresql://localhost/crm --table customers --into churn_scores
  python score.py --sql snowflake --table crm.customers --key customer_id

Formats go by the name's ending: .csv, .parquet, .ndjson; .gz and .zst are compressed. The columns
stay as they came; churn_probability and churn are added. Rows that can't be scored are counted and
kept, with the reason, in the file of --rejects, or else beside the output (scored.rejects.csv); the
exit code is then 1. In JSON a key that a line lacks counts as null, if another line has it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Score as the command line says; return the exit code."""
    asking = parser()
    asked = asking.parse_args(arguments)
    if not (asked.sql or asked.database or asked.output):
        asking.error("say which file to score and where to write it; see --help")
    try:
        model = load(asked.model)
        if asked.sql:
            print(statement(model, asked))
            return 0
        return keep_scored(model, asked) if asked.database else score(model, asked)
    except KeyboardInterrupt:
        print("\nscore.py: stopped by Ctrl+C", file=sys.stderr)
        return 130
    except CustomerError as error:
        print(
            f"score.py: {asked.input}: {'; '.join(map(in_words, error.problems))}", file=sys.stderr
        )
    except ChurnError as error:
        print(f"score.py: {error}", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"score.py: {error.filename or ''}: {error.strerror}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(
            f"score.py: scoring needs {error.name}, which this environment lacks: "
            'run pipenv sync --categories "packages score"',
            file=sys.stderr,
        )
    return 1


def statement(model: Model, asked: argparse.Namespace) -> str:
    """Return the SELECT that scores a table where it is."""
    from churn import sql

    columns = sql.plain_columns(model, asked.key)
    return sql.select(
        model, columns, asked.table, asked.sql,
        threshold=asked.threshold, explain=asked.explain, refused=True,
    )  # fmt: skip


def keep_scored(model: Model, asked: argparse.Namespace) -> int:
    """Score a table of a database into another; return 0 if every row was scored, else 1."""
    from churn import database

    found = database.keep_scored(
        model, asked.database, asked.table, asked.into, keys=asked.key, threshold=asked.threshold
    )
    told = f"{found.scored:,} customers scored into {asked.into}"
    if found.refused:
        told += f"; {found.refused:,} could not be, its column refused says why"
    print(told, file=sys.stderr)
    return 1 if found.refused else 0


def score(model: Model, asked: argparse.Namespace) -> int:
    """Score a file into another; return 0 if every row was scored, else 1."""
    from churn.batch import STANDARD, Scoring, Target, format_of

    scoring = Scoring(model, threshold=asked.threshold, explain=asked.explain, top=asked.top)
    with tempfile.TemporaryDirectory(prefix="churn-score-") as folder:
        try:
            source = asked.input
            if source == STANDARD:
                source = received(Path(folder), asked.format or "csv")
            table = scoring.table(source, asked.format)
            told = asked.output_format or (table.format if asked.output == STANDARD else None)
            target = Path(folder) / "output" if asked.output == STANDARD else Path(asked.output)
            form, compression = format_of(asked.output, told)
            rejects = asked.rejects or rejects_of(asked.output)
            kept = None
            if rejects:
                kept = Target(Path(rejects), *format_of(rejects), always=bool(asked.rejects))
            if kept and kept.path == target:
                raise DataError(f"{rejects}: scores and rejects need a file each")
            with bar(table.rows) as progress:
                scoring.write(table, Target(target, form, compression), kept, progress)
            if asked.output == STANDARD:
                with target.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
        finally:
            scoring.close()
    print(summary(scoring.tally, asked.output, rejects), file=sys.stderr)
    return 1 if scoring.tally.refused else 0


def received(folder: Path, form: str) -> str:
    """Return the file that keeps what standard input had, named after how it is compressed."""
    first = sys.stdin.buffer.read(4)
    ending = next((end for magic, end in MAGIC.items() if first.startswith(magic)), "")
    file = folder / f"standard input.{form}{ending}"
    with file.open("wb") as target:
        target.write(first)
        shutil.copyfileobj(sys.stdin.buffer, target)
    return str(file)


def rejects_of(output: str) -> str | None:
    """Return the file beside the output that keeps what can't be scored."""
    from churn.batch import COMPRESSIONS, STANDARD

    if output == STANDARD:
        return None
    path = Path(output)
    count = 2 if path.suffix.lower() in COMPRESSIONS else 1
    endings = "".join(path.suffixes[-count:])
    return str(path.with_name(f"{path.name.removesuffix(endings)}.rejects{endings}"))


@contextmanager
def bar(rows: int | None) -> Iterator[Progress]:
    """Yield what shows, on a terminal, how far the work on about so many rows has come."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    total = rows or 1
    told = "{n_fmt} of about {total_fmt} rows, " if rows else ""
    shape = f"{{percentage:3.0f}}%|{{bar}}| {told}{{elapsed}} gone, {{remaining}} left"
    with tqdm(total=total, leave=False, bar_format=shape, unit_scale=True) as shown:

        def progress(done: float) -> None:
            shown.update(max(0.0, done * total - shown.n))

        yield progress


def summary(tally: Tally, output: str, rejects: str | None) -> str:
    """Return in words what became of the rows."""
    told = f"{tally.scored:,} customers written to {output}"
    if not tally.refused:
        return told
    lines = [f"{told}; {tally.refused:,} could not be scored:"]
    lines += [f"  {times:,} times: {reason}" for reason, times in tally.reasons.most_common(5)]
    kept = f"they are in {rejects}" if rejects else "--rejects FILE keeps them"
    return "\n".join([*lines, f"  {kept}"])


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    reader = argparse.ArgumentParser(
        prog="score.py",
        description="Score a whole customer base with the churn model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reader.add_argument("input", nargs="?", help="file, wildcards in quotes, or -")
    reader.add_argument("output", nargs="?", help="file to write, or - for standard output")
    reader.add_argument("--format", choices=["csv", "parquet", "json"], help="the input's format")
    reader.add_argument(
        "--output-format", choices=["csv", "parquet", "json"], help="the output's format"
    )
    reader.add_argument("--rejects", metavar="FILE", help="keep there what can't be scored")
    reader.add_argument("--explain", action="store_true", help="add the three strongest reasons")
    reader.add_argument("--top", type=positive, metavar="N", help="only the N most likely leavers")
    reader.add_argument("--threshold", type=share, help="probability from which churn is true")
    reader.add_argument(
        "--model", type=Path, default=HERE / "churn-model.bin", help="the model's .bin"
    )
    reader.add_argument("--sql", metavar="DIALECT", help="print the SELECT for a database instead")
    reader.add_argument("--table", default="customers", help="the table in the database")
    reader.add_argument(
        "--key", action="append", default=[], help="a column that tells customers apart; repeatable"
    )
    reader.add_argument("--database", metavar="URL", help="score a table in PostgreSQL instead")
    reader.add_argument("--into", default="churn_scores", help="the table that keeps its scores")
    return reader


def positive(text: str) -> int:
    """Return a number of rows."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def share(text: str) -> float:
    """Return a probability."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability between 0 and 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
