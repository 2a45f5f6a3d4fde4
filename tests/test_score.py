"""Whole files: every row is scored as the service scores it, or kept with the reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import signal
import subprocess
import sys
from time import monotonic

import duckdb
import pytest
from conftest import CUSTOMER, ROOT
from sqlmodels import SPELLINGS
from test_sql import of_python

import score

TABLE = ROOT / "data" / "telco-customer-churn.csv"


def run(*arguments, stdin=None, cwd=None):
    return subprocess.run(
        [sys.executable, ROOT / "score.py", *arguments],
        input=stdin, capture_output=True, text=True, cwd=cwd, encoding="utf-8",
    )  # fmt: skip


def read(path, delimiter=","):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter))


@pytest.fixture(scope="module")
def customers():
    return read(TABLE)


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """A file of the first 300 customers."""
    path = tmp_path_factory.mktemp("some") / "some.csv"
    path.write_text("".join(TABLE.read_text(encoding="utf-8").splitlines(True)[:301]))
    return path


@pytest.fixture
def few(tmp_path, customers):
    """A file of five customers, the last two of whom can't be scored."""
    path = tmp_path / "few.csv"
    rows = [list(row) for row in customers[:6]]
    rows[4][rows[0].index("Contract")] = "Weekly"
    rows[5] = rows[5][:3]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def test_every_row_is_scored_in_its_place_and_no_cell_of_it_changes(tmp_path, customers, model):
    assert score.main([str(TABLE), str(tmp_path / "scored.csv")]) == 0
    header, *rows = read(tmp_path / "scored.csv")
    assert header == [*customers[0], "churn_probability", "churn_predicted"]
    assert [row[:-2] for row in rows] == customers[1:]
    wanted = [of_python(model, customers[0], row) for row in customers[1:]]
    assert max(abs(float(row[-2]) - want) for row, want in zip(rows, wanted, strict=True)) < 1e-12


def test_a_row_lands_in_one_of_two_files_as_the_service_would_have_it(tmp_path, customers, service):
    header, *rows = customers
    mixing = random.Random(7)
    broken = [[mixing.choice(SPELLINGS) if mixing.random() < 0.04 else cell for cell in row]
              for row in rows[:1500]]  # fmt: skip
    broken = [[cell.replace("\x00", "?") for cell in row] for row in broken]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", *header], *([at, *row] for at, row in enumerate(broken))])
    (tmp_path / "in.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    names = [str(tmp_path / name) for name in ("in.csv", "out.csv", "rejects.csv")]
    assert score.main([*names[:2], "--rejects", names[2]]) == 1
    said = service.predict(text.getvalue().encode(), "text/csv").body.decode()
    wanted = {row["id"]: row for row in csv.DictReader(io.StringIO(said))}
    scored = {row[0]: float(row[-2]) for row in read(tmp_path / "out.csv")[1:]}
    refused = {row[0]: row[-1] for row in read(tmp_path / "rejects.csv")[1:]}
    good = {at: row for at, row in wanted.items() if not row["error"]}
    assert scored == pytest.approx({at: float(good[at]["churn_probability"]) for at in good})
    assert refused == {at: row["error"] for at, row in wanted.items() if row["error"]}


def test_what_was_refused_is_counted_with_the_reasons(few, tmp_path):
    done = run(few, tmp_path / "out.csv", "--rejects", tmp_path / "rejects.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"3 customers written to {tmp_path / 'out.csv'}; 2 could not be scored:",
        "  1 times: contract is not a value the model knows",
        "  1 times: row has 3 cells, where the header has 20",
        f"  they are in {tmp_path / 'rejects.csv'}",
    ]
    header, weekly, short = read(tmp_path / "rejects.csv")
    assert header[-2:] == ["row_text", "error"]
    assert "did you mean" in weekly[-1] or weekly[-1].startswith("contract 'Weekly' is not")
    assert short[-2].count(",") == 2


@pytest.mark.parametrize("form", ["csv", "csv.gz", "csv.zst", "parquet", "ndjson", "ndjson.gz"])
@pytest.mark.parametrize("back", ["csv", "parquet", "ndjson.zst"])
def test_formats_lead_into_each_other(form, back, tmp_path, some):
    middle, end = tmp_path / f"middle.{form}", tmp_path / f"end.{back}"
    assert score.main([str(some), str(middle)]) == 0
    assert score.main([str(middle), str(end)]) == 0
    first, second = (
        duckdb.execute(
            "SELECT avg(churn_probability::DOUBLE), avg(churn_probability_predicted::DOUBLE), "
            f"count(*) FROM '{end}'"
        ).fetchone()[at]
        for at in (0, 1)
    )
    assert first == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(("end", "mark"), [("\n", ""), ("\r\n", "\ufeff")])
def test_a_csv_may_be_written_in_many_ways(delimiter, end, mark, tmp_path):
    header = delimiter.join([*CUSTOMER, "note"])
    cells = [*map(str, CUSTOMER.values()), '"two\nlines, ; ""quoted"" \t|"']
    text = f"{mark}{header}{end}{delimiter.join(cells)}{end}"
    (tmp_path / "in.csv").write_text(text, encoding="utf-8", newline="")
    assert score.main([str(tmp_path / "in.csv"), str(tmp_path / "out.csv")]) == 0
    (row,) = read(tmp_path / "out.csv", delimiter)[1:]
    assert row[-3:] == ['two\nlines, ; "quoted" \t|', "0.7161721770226143", "true"]


@pytest.mark.parametrize("end", [",", ",,", ",x", ',""'])
def test_a_row_with_a_cell_too_many_is_no_customer_even_if_it_is_empty(end, some, tmp_path):
    lines = some.read_text(encoding="utf-8").splitlines()
    lines[2] += end
    (tmp_path / "in.csv").write_text("\n".join(lines))
    done = run(tmp_path / "in.csv", tmp_path / "out.csv")
    assert f"row has {20 + end.count(',')} cells, where the header has 20" in done.stderr
    assert len(read(tmp_path / "out.csv")) == 300


def test_empty_cells_stay_empty(tmp_path):
    header = ",".join([*CUSTOMER, "note"])
    cells = ",".join([*map(str, CUSTOMER.values()), ""]).replace(",29.85,29.85,", ",29.85,,")
    (tmp_path / "in.csv").write_text(f"{header}\n{cells}\n")
    assert score.main([str(tmp_path / "in.csv"), str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith(f"{cells},0.")


def test_a_column_called_error_is_nobody_elses(few, tmp_path):
    few.write_text(few.read_text().replace("gender,", "error,gender,", 1).replace("\n", "\nmine,"))
    run(few, tmp_path / "out.csv", "--rejects", tmp_path / "rejects.csv")
    header, weekly, *_ = read(tmp_path / "rejects.csv")
    assert header[-1] == "error_predicted"
    assert weekly[0] == "mine"
    assert weekly[-1].startswith("contract 'Weekly' is not")


def test_the_most_likely_leavers_come_first_with_reasons(tmp_path, customers, service):
    assert score.main([str(TABLE), str(tmp_path / "top.csv"), "--top", "7", "--explain"]) == 0
    rows = read(tmp_path / "top.csv")[1:]
    numbers = [float(row[-3]) for row in rows]
    assert len(rows) == 7
    assert numbers == sorted(numbers, reverse=True)
    text = "\n".join([",".join(customers[0]), ",".join(rows[0][:-3])])
    said = service.predict(text.encode(), "text/csv", explain="true").body.decode()
    assert next(csv.DictReader(io.StringIO(said)))["reasons"] == rows[0][-1]


def test_standard_input_and_output_are_files_too(few):
    done = run("-", "-", stdin=few.read_text())
    assert len(done.stdout.splitlines()) == 4
    assert done.returncode == 1


def test_wildcards_name_many_files(few, tmp_path):
    with gzip.open(tmp_path / "more.csv.gz", "wt") as file:
        file.write(few.read_text())
    done = run("*.csv*", tmp_path / "out.parquet", cwd=tmp_path)
    assert done.stderr.startswith(f"6 customers written to {tmp_path / 'out.parquet'}; 4 could")


def test_json_rows_are_read_as_the_service_reads_json(tmp_path):
    rows = [CUSTOMER, {**CUSTOMER, "partner": True, "tenure": "1"}, {**CUSTOMER, "tenure": [1]}]
    (tmp_path / "in.ndjson").write_text("\n".join(map(json.dumps, rows)))
    names = [str(tmp_path / name) for name in ("in.ndjson", "out.ndjson", "no.ndjson")]
    assert score.main([*names[:2], "--rejects", names[2]]) == 1
    scored = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    assert [row["partner"] for row in scored] == ["yes", True]
    assert {round(row["churn_probability"], 12) for row in scored} == {0.716172177023}
    assert json.loads((tmp_path / "no.ndjson").read_text())["error"].startswith("tenure")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty: its first line must name the columns"),
        ("gender,tenure\nmale,1\n", "seniorcitizen is missing"),
        ("tenure,Tenure\n1,1\n", "tenure came twice, in two spellings"),
        ("tenure,tenure\n1,1\n", "tenure stands twice in the header"),
    ],
)
def test_a_file_that_is_no_table_of_customers_is_said_in_a_line(text, words, tmp_path):
    (tmp_path / "in.csv").write_text(text)
    done = run(tmp_path / "in.csv", tmp_path / "out.csv")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert words in done.stderr
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["broken.parquet", "broken.ndjson"])
def test_a_file_that_is_broken_is_said_in_a_line(name, tmp_path):
    (tmp_path / name).write_text("{broken\n")
    done = run(name, "out.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert name in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.csv", "x.csv"], 1, "nowhere.csv: there is no such file"),
        ([TABLE, "x.xlsx"], 1, "x.xlsx: its name doesn't tell its format"),
        ([TABLE, "no/folder/x.csv"], 1, "there is no folder no"),
        ([TABLE], 2, "say which file to score and where to write it"),
        ([TABLE, "x.csv", "--top", "0"], 2, "'0' is not a whole number of 1 or more"),
        ([TABLE, "x.csv", "--threshold", "2"], 2, "'2' is not a probability"),
        (["--sql", "oracle"], 1, "there is no SQL dialect 'oracle'"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, code, words, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", ["duckdb", "sqlglot"])
def test_packages_that_are_not_there_are_named_with_the_line_that_installs_them(package, tmp_path):
    code = (
        f"import sys; sys.modules[{package!r}] = None; import score; "
        f"sys.exit(score.main([{str(TABLE)!r}, 'x.csv']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        f"score.py: scoring needs {package}, which this environment lacks: "
        'run pipenv sync --categories "packages score"\n'
    )


def test_the_select_is_printed_for_a_database():
    done = run("--sql", "bigquery", "--table", "crm.customers", "--key", "customer_id")
    assert done.stdout.startswith("SELECT\n  `customer_id`,")
    assert "crm.customers" in done.stdout


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large.csv"
    duckdb.execute(
        f"COPY (SELECT t.* FROM read_csv('{TABLE}', all_varchar = true) t, range(60)) "
        f"TO '{path}' (HEADER)"
    )
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("size", [0, 1, 10_000_000, 40_000_000])
def test_killed_at_any_moment_it_leaves_all_or_nothing(size, large, tmp_path):
    output, part = tmp_path / "out.csv", tmp_path / ".out.csv.part"
    process = subprocess.Popen([sys.executable, ROOT / "score.py", large, output],
                               stderr=subprocess.DEVNULL)  # fmt: skip
    until = monotonic() + 60
    while process.poll() is None and monotonic() < until:
        if part.exists() and part.stat().st_size >= size:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    if output.exists():
        assert sum(1 for _ in output.open()) == sum(1 for _ in large.open())
    assert score.main([str(TABLE), str(output)]) == 0
    assert len(read(output)) == 7044
    assert not part.exists()
