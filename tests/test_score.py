"""Whole files: every row is scored as the service scores it, or kept with the reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import shutil
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


@pytest.mark.parametrize("name", ["a[1].csv", "month=11/a.csv", "it's.csv", "exports/*/a.csv"])
def test_a_name_with_signs_of_a_pattern_in_it_is_that_file(name, few, tmp_path, customers):
    if sys.platform == "win32" and "*" in name:
        pytest.skip("no such names on Windows")
    source = tmp_path / name
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(few, source)
    (tmp_path / "a1.csv").write_bytes(TABLE.read_bytes())
    assert score.main([str(source), str(tmp_path / "out.csv")]) == 1
    header, *rows = read(tmp_path / "out.csv")
    assert (header[:-2], len(rows)) == (customers[0], 3)


def test_lines_may_end_in_different_ways(few, tmp_path):
    lines = few.read_text().splitlines()
    text = "".join(line + end for line, end in zip(lines, ["\r\n", "\n", "\n\n"] * 2, strict=True))
    (tmp_path / "mixed.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in (few, tmp_path / "mixed.csv.gz"):
        score.main([str(name), str(tmp_path / f"{name.name}.out.csv")])
    first, second = sorted(tmp_path.glob("*.out.csv"))
    assert read(first) == read(second)
    assert len(list(tmp_path.glob("*.out.rejects.csv"))) == 2


@pytest.mark.parametrize("row", ['"Female,0', '"Fe"male,0', '"Female" x,0'])
def test_a_quote_without_its_match_is_an_error_with_the_line(row, few, tmp_path):
    lines = few.read_text().splitlines()
    lines[1] = lines[1].replace("No phone service", '"No phone\n\nservice"')
    lines[2] = lines[2].replace("Male,0", row, 1)
    few.write_text("\n".join(lines) + "\n")
    done = run(few, tmp_path / "out.csv")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "few.csv: it can't be read at line 5: " in done.stderr
    assert list(tmp_path.iterdir()) == [few]


def test_what_cant_be_scored_is_kept_beside_the_output(few, tmp_path):
    done = run(few, tmp_path / "out.csv.gz")
    kept = tmp_path / "out.rejects.csv.gz"
    assert done.stderr.endswith(f"they are in {kept}\n")
    rows = list(csv.reader(io.StringIO(gzip.decompress(kept.read_bytes()).decode())))
    assert [row[-1][:12] for row in rows[1:]] == ["contract 'We", "row has 3 ce"]
    assert run(TABLE, tmp_path / "out.csv.gz").returncode == 0
    assert len(gzip.decompress(kept.read_bytes()).splitlines()) == 1


def test_a_file_may_be_scored_into_itself(few, tmp_path):
    assert run(few, few).returncode == 1
    assert len(read(few)) == 4
    assert run(few, few, "--rejects", few).returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.csv", "few.rejects.csv"]


def test_a_name_of_many_lines_is_one_column(few, tmp_path, customers):
    text = few.read_text().splitlines()
    few.write_text("\n".join(['"my\nnote",' + text[0], *("x," + line for line in text[1:5])]))
    score.main([str(few), str(tmp_path / "out.csv")])
    assert read(tmp_path / "out.csv")[0][:2] == ["my\nnote", customers[0][0]]


def test_files_with_other_columns_arent_taken_for_one_table(tmp_path):
    for name, added in (("a", ""), ("b", ", 1 AS more")):
        duckdb.execute(f"COPY (SELECT *{added} FROM '{TABLE}') TO '{tmp_path}/{name}.parquet'")
    done = run("*.parquet", tmp_path / "out.csv", cwd=tmp_path)
    assert done.stderr == "score.py: b.parquet: its column more is another than in a.parquet\n"


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


def test_standard_input_may_be_compressed(few):
    given = gzip.compress(few.read_bytes())
    done = subprocess.run(
        [sys.executable, ROOT / "score.py", "-", "-"], input=given, capture_output=True
    )
    assert done.stdout.count(b"\n") == 4


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
        (
            "id,ID," + ",".join(CUSTOMER) + "\n",
            "the columns id and ID differ in their capitals alone",
        ),
        ("model__x," + ",".join(CUSTOMER) + "\n1", "model__x has a name that the SELECT needs"),
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


@pytest.mark.parametrize(
    ("package", "arguments"), [("duckdb", [str(TABLE), "x.csv"]), ("sqlglot", ["--sql", "spark"])]
)
def test_packages_that_are_not_there_are_named_with_the_line_that_installs_them(package, arguments):
    code = (
        f"import sys; sys.modules[{package!r}] = None; import score; "
        f"sys.exit(score.main({arguments!r}))"
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
        f"COPY (SELECT t.* FROM range(60), read_csv('{TABLE}', all_varchar = true) t) "
        f"TO '{path}' (HEADER)"
    )
    return path


def test_rows_stay_in_their_order_when_several_threads_score_them(large, tmp_path):
    assert score.main([str(large), str(tmp_path / "out.csv"), "--explain"]) == 0
    before, after = large.read_text(), (tmp_path / "out.csv").read_text()
    rows = zip(before.splitlines(), after.splitlines(), strict=True)
    assert all(scored.startswith(row + ",") for row, scored in rows)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("size", [0, 1, 10_000_000, 40_000_000])
def test_killed_at_any_moment_it_leaves_all_or_nothing(size, large, tmp_path):
    output = tmp_path / "out.csv"
    process = subprocess.Popen([sys.executable, ROOT / "score.py", large, output],
                               stderr=subprocess.DEVNULL)  # fmt: skip
    until = monotonic() + 60
    while process.poll() is None and monotonic() < until:
        if any(part.stat().st_size >= size for part in tmp_path.glob(".out.csv.*.part")):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    if output.exists():
        assert output.read_bytes().count(b"\n") == large.read_bytes().count(b"\n")
    assert score.main([str(TABLE), str(output)]) == 0
    assert len(read(output)) == 7044
    assert list(tmp_path.iterdir()) == [output]
