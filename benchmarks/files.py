"""Score whole files, beside the usual way and a plain copy: see --help.

The customers are those of data/, over and over. Each way runs in a process of its own, all in
turn, and everything counts: reading, scoring, writing, and the start of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from services import RIVALS, ROOT, Skipped, python_of

TABLE = ROOT / "data" / "telco-customer-churn.csv"

#: The limit: DuckDB reading and writing the same columns, and nothing between.
COPY = """
import duckdb, sys
source, target = sys.argv[1:3]
read = f"read_csv('{source}', all_varchar = true)" if source.endswith("csv") else f"'{source}'"
duckdb.execute(f"COPY (FROM {read}) TO '{target}'")
"""

#: Each way with the environment of its packages; score.py and the copy are of this one.
WAYS = {
    "the usual way": ("", [str(RIVALS / "usual.py")]),
    "Polars, by hand": ("polars", [str(RIVALS / "by_polars.py")]),
    "onnxruntime": ("onnx", [str(RIVALS / "by_onnx.py")]),
    "score.py": ("", [str(ROOT / "score.py")]),
    "DuckDB's copy": ("", ["-c", COPY]),
}


def main() -> int:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(
        description="Score whole files, beside the usual way and a plain copy.",
        epilog="example: python benchmarks/files.py --rows 100000 1000000",
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument(
        "--usual", type=int, default=1_000_000, help="most rows for the usual way, which is slow"
    )
    parser.add_argument("--json", type=Path, help="save the figures here")
    parser.add_argument("--chart", type=Path, help="draw the figures of 1,000,000 rows here")
    asked = parser.parse_args()
    ways = [*WAYS]
    try:  # done once and for all, so it doesn't count
        subprocess.run([python_of("onnx"), RIVALS / "to_onnx.py"], check=True)
    except (Skipped, subprocess.CalledProcessError) as why:
        print(f"onnxruntime is skipped: {why}", file=sys.stderr)
        ways.remove("onnxruntime")
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for rows in asked.rows:
            for ending in ("csv", "parquet"):
                source = made(Path(folder), rows, ending)
                figures[f"{rows} {ending}"] = measured(source, rows, ways, asked)
                source.unlink()
    print(f"{len(os.sched_getaffinity(0))} CPUs, medians\n")
    print("| rows, format | way | seconds | rows a second | memory | times the usual way |")
    print("|---|---|---|---|---|---|")
    for name, ways in figures.items():
        rows = int(name.split()[0])
        usual = ways.get("the usual way")
        for way, (seconds, memory) in ways.items():
            times = f"{usual[0] / seconds:.1f}x" if usual else ""
            print(f"| {name} | {way} | {seconds:.2f} | {rows / seconds:,.0f} "
                  f"| {memory:,.0f} MB | {times} |")  # fmt: skip
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    if asked.chart:
        from chart import bars

        rates = {
            f"{way}, {name.split()[1]}": 1_000_000 / seconds
            for name, ways in figures.items()
            for way, (seconds, _) in ways.items()
            if name.startswith("1000000 ")
        }
        bars(rates, "Customers a second, files of 1,000,000", asked.chart)
    return 0


def made(folder: Path, rows: int, ending: str) -> Path:
    """Return a file of so many customers."""
    path = folder / f"customers.{ending}"
    chosen = "t.*"
    if ending == "parquet":  # numbers as numbers, and the gaps in them as gaps
        chosen = (
            "t.* REPLACE (SeniorCitizen::INTEGER AS SeniorCitizen, tenure::INTEGER AS tenure, "
            "MonthlyCharges::DOUBLE AS MonthlyCharges, TRY_CAST(TotalCharges AS DOUBLE) AS "
            "TotalCharges)"
        )
    statement = (
        f"COPY (SELECT {chosen} FROM range({rows // 7043 + 1}), "
        f"read_csv('{TABLE}', all_varchar = true) t LIMIT {rows}) TO '{path}'"
    )
    # in another process: a child's peak of memory counts what its parent had
    making = [sys.executable, "-c", "import duckdb, sys; duckdb.execute(sys.argv[1])", statement]
    subprocess.run(making, check=True, stdout=subprocess.DEVNULL)
    return path


def measured(
    source: Path, rows: int, ways: list[str], asked: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """Return the seconds and the peak of memory, in MB, of each way; one that fails is left out."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    target = source.with_name(f"scored{source.suffix}")
    for turn in range(asked.rounds):
        for way in list(ways):
            packages, arguments = WAYS[way]
            if way == "the usual way" and (rows > asked.usual or (turn and rows > 100_000)):
                continue  # once will do for what takes minutes
            print(f"{rows:,} rows of {source.suffix}, round {turn + 1}: {way}", file=sys.stderr)
            try:
                python = python_of(packages) if packages else sys.executable
                found[way].append(timed([python, *arguments, str(source), str(target)]))
            except Skipped as why:
                print(f"  skipped from here on: {why}", file=sys.stderr)
                ways.remove(way)
            target.unlink(missing_ok=True)
    return {
        way: (median(seconds for seconds, _ in runs), median(memory for _, memory in runs))
        for way, runs in found.items()
    }


def timed(command: list[str]) -> tuple[float, float]:
    """Return the seconds and the peak of memory, in MB, of a command.

    :raises Skipped: it fails.
    """
    kept = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # modules are compiled once, as usual
    started = time.monotonic()
    process = subprocess.Popen(
        command, env=kept, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Skipped(f"{Path(command[1]).name} failed, for want of memory perhaps")
    return time.monotonic() - started, used.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
