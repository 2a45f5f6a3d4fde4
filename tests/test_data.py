"""Tables as people have them: read whole or refused, and cleaned into customers."""

import datetime
import decimal
import hashlib

import pandas as pd
import pytest

from churn import data
from churn.errors import DataError

OUTCOMES = ["yes", "no", "no"] * 10
MONTHS = [str(n % 7) for n in range(30)]


def table(**columns):
    return pd.DataFrame({"months": MONTHS, "churn": OUTCOMES, **columns}, dtype=str)


def read(tmp_path, content, name="customers.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return data.read(path)


@pytest.mark.parametrize(
    "content",
    [
        "a,b c,d\n1,2 x,3\n4,,5\n",
        "\ufeffa,b c,d\r\n1,2 x,3\r\n4,,5\r\n",
        "a;b c;d\n1;2 x;3\n4;;5\n",
        "a\tb c\td\n1\t2 x\t3\n4\t\t5\n",
        "a|b c|d\n1|2 x|3\n4||5",
        '"a","b c","d"\n"1","2 x","3"\n"4","","5"\n',
        "a, b c, d\n1, 2 x, 3\n\n4, , 5\n",
        "a,b c,d\r1,2 x,3\r4,,5\r",
    ],
)
def test_a_csv_is_read_however_it_was_written(tmp_path, content):
    found = read(tmp_path, content)
    assert found.columns.tolist() == ["a", "b c", "d"]
    assert found.to_numpy().tolist() == [["1", "2 x", "3"], ["4", "", "5"]]


def test_quotes_hold_delimiters_line_ends_and_quotes(tmp_path):
    found = read(tmp_path, 'a,"b,c"\n1,"two\nlines, ""quoted"""\n')
    assert found["b,c"].tolist() == ['two\nlines, "quoted"']


def test_words_that_pandas_takes_for_gaps_stay_words(tmp_path):
    found = read(tmp_path, "a,b\nNone,NA\nnull,#N/A\n")
    assert found.to_numpy().tolist() == [["None", "NA"], ["null", "#N/A"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\na,b\n1,2\n", "first line must name"),
        ("a,b\n", "has no rows"),
        ("a,b\n1,2\n1\n", "line 3: 1 values under 2 columns"),
        ("a,b\n1,2,3\n1,2\n", "line 2: 3 values under 2 columns"),
        ("a;b\n1;2\n1;2;3\n", "line 3: 3 values under 2 columns, divided by ';'"),
        ('a,b\n1,"2\n3,4\n', "check its quotes"),
        ("a,b\n1,2\n1,café\n".encode("latin-1"), r"not UTF-8 text .line 3."),
        ("a,b\n1,2\n".encode("utf-16"), r"not UTF-8 text .line 1."),
        (b"PK\x03\x04\xff", "not UTF-8 text"),
    ],
)
def test_a_csv_is_refused_with_the_line(tmp_path, content, said):
    with pytest.raises(DataError, match=said) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.csv", "No such file"),
        ("nowhere.parquet", "No such file"),
        (".", "directory"),
        ("folder.parquet", "directory"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, name, said):
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(DataError, match=said):
        data.read(tmp_path / name)


def test_what_is_no_parquet_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a parquet file"):
        read(tmp_path, "a,b\n1,2\n", "customers.parquet")


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([True, None, False], ["True", "", "False"]),
        (pd.array([1, None, 3], dtype="Int64"), ["1", "", "3"]),
        ([1.0, None, 3.0], ["1", "", "3"]),
        ([1.5, None, 3.0], ["1.5", "", "3.0"]),
        ([1e300, 1.0, 2.0], ["1e+300", "1.0", "2.0"]),
        (pd.Categorical(["x", None, "y"]), ["x", "", "y"]),
        (pd.to_datetime(["2024-01-31", None, "2024-02-01"]), ["2024-01-31", "", "2024-02-01"]),
        ([datetime.date(2024, 1, 31), None, None], ["2024-01-31", "", ""]),
        ([decimal.Decimal("1.50"), None, decimal.Decimal("2.25")], ["1.50", "", "2.25"]),
        (["a", None, "None"], ["a", "", "None"]),
    ],
)
def test_parquet_is_read_as_its_csv_would_be(tmp_path, column, texts):
    path = tmp_path / "customers.parquet"
    pd.DataFrame({"a": column}).to_parquet(path)
    assert data.read(path)["a"].tolist() == texts


def test_a_named_index_is_a_column(tmp_path):
    path = tmp_path / "customers.parquet"
    pd.DataFrame({"a": [1, 2]}, index=pd.Index([3, 4], name="tenure")).to_parquet(path)
    assert data.read(path).columns.tolist() == ["tenure", "a"]


def test_csv_and_parquet_of_one_table_give_one_dataset(tmp_path):
    typed = table().assign(
        months=[None, *range(29)], spent=[None, 0.5, *range(28)], new=[True, False, None] * 10
    )
    typed.to_csv(tmp_path / "a.csv", index=False)
    typed.to_parquet(tmp_path / "a.parquet")
    csv, parquet = (data.prepare(data.read(tmp_path / f"a.{end}")) for end in ("csv", "parquet"))
    assert csv == parquet


@pytest.mark.parametrize(
    ("name", "values"), [("plan=b", ["1", "2", "3"]), ("plan=b", ["x", "b=x", "y"])]
)
def test_columns_that_the_vectorizer_would_mix_up_are_refused(name, values):
    plans = ["a", "b", "b=x"] * 10
    with pytest.raises(DataError, match="two columns both make 'plan=b"):
        data.prepare(table(plan=plans, **{name: values * 10}))


def test_customers_are_clean_and_in_order():
    found = data.prepare(table(Plan=["Big One", "small", ""] * 10))
    assert next(found.customers()) == {"months": 0, "plan": "big_one"}
    assert found.columns["plan"] == ["big_one", "small", "missing"] * 10
    assert found.churned == [1, 0, 0] * 10
    assert (len(found), found.target, found.positive) == (30, "churn", "yes")
    assert found.gaps == {"plan": 10}


@pytest.mark.parametrize(
    ("outcomes", "positive", "found"),
    [
        (["Yes", "No"], None, "yes"),
        (["TRUE", "False"], None, "true"),
        (["1", "0"], None, "1"),
        (["1.0", "0.0"], None, "1"),
        (["1.0", "0.0"], "1", "1"),
        (["Left us", "loyal"], "left us", "left_us"),
        (["no", "yes"], "no", "no"),
    ],
)
def test_the_outcome_that_means_leaving_is_found_or_named(outcomes, positive, found):
    dataset = data.prepare(table(churn=outcomes * 15), positive=positive)
    assert dataset.positive == found
    assert dataset.churned == [1, 0] * 15


@pytest.mark.parametrize(
    ("outcomes", "positive", "said"),
    [
        (["no"], None, "two outcomes, leaving and staying, but holds 'no'"),
        (["no", ""], None, "two outcomes, leaving and staying, but holds 'no'"),
        ([""], None, "but holds nothing"),
        (["no", "yes", "maybe"], None, "'maybe', 'no' and 'yes': name another column"),
        (["left", "stayed"], None, "Say --positive left or --positive stayed"),
        (["left", "stayed"], "yes", "--positive is 'yes', but churn holds 'left' and 'stayed'"),
    ],
)
def test_an_outcome_that_is_not_one_of_two_is_refused(outcomes, positive, said):
    with pytest.raises(DataError, match=said) as caught:
        data.prepare(table(churn=(outcomes * 30)[:30]), positive=positive)
    assert caught.value.column == "churn"


def test_customers_of_unknown_outcome_are_left_out():
    found = data.prepare(table(churn=["yes", "no", ""] * 10))
    assert len(found) == 20
    assert found.notes == ["10 rows are left out: their churn is empty"]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["x"] * 30, "always 'x'"),
        ([""] * 30, "empty"),
        ([f"2024-01-{n:02}" for n in range(1, 31)], "dates"),
        ([str(n) for n in range(30)], "differs in every row"),
        ([f"customer {n}" for n in range(30)], "differs in every row"),
    ],
)
def test_a_column_that_tells_nothing_is_left_out_by_name(column, said):
    found = data.prepare(table(Odd=column))
    assert list(found.columns) == ["months"]
    (note,) = found.notes
    assert note.startswith("Odd is left out: it ")
    assert said in note


def test_free_text_is_left_out():
    texts = [f"he said {n}" for n in range(101)] * 2
    odd = pd.DataFrame({"note": texts, "a": ["x", "y"] * 101, "churn": ["yes", "no"] * 101})
    assert data.prepare(odd).notes == [
        "note is left out: it is text with 101 different values, more than 100 to learn from; "
        "group them first"
    ]


def test_an_identifier_is_kept_where_asked():
    numbers = [str(n) for n in range(30)]
    assert "odd" in data.prepare(table(odd=numbers), keep=["Odd"]).columns


def test_amounts_may_differ_in_every_row():
    assert "spent" in data.prepare(table(spent=[f"{n}.5" for n in range(30)])).columns


def test_a_column_is_left_out_where_asked():
    assert list(data.prepare(table(odd=["a", "b"] * 15), drop=["ODD"]).columns) == ["months"]


def test_columns_without_a_name_are_left_out(tmp_path):
    table().to_csv(tmp_path / "a.csv")  # pandas writes its row numbers under no name
    found = data.prepare(data.read(tmp_path / "a.csv"))
    assert found.notes == ["column 1 is left out: it has no name"]


def test_a_gap_stands_for_what_the_user_says():
    found = data.prepare(table(odd=["", "1", "99"] * 10), fill={"Odd": "50"})
    assert found.columns["odd"] == [50, 1, 99] * 10


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target": "chrun"}, "no column 'chrun' for --target; did you mean 'churn'"),
        ({"target": "xyz"}, "for --target; there are months and churn"),
        ({"drop": ["month"]}, "no column 'month' for --drop; did you mean 'months'"),
        ({"keep": ["month"]}, "no column 'month' for --keep; did you mean 'months'"),
        ({"fill": {"month": "1"}}, "no column 'month' for --fill; did you mean 'months'"),
        ({"fill": {"months": "lots"}}, "months can't be filled with 'lots': it is text"),
        ({"drop": ["months"]}, "no column is left to learn from"),
    ],
)
def test_options_that_do_not_fit_the_table_are_refused(asked, said):
    with pytest.raises(DataError, match=said):
        data.prepare(table(), **asked)


@pytest.mark.parametrize("second", ["Tenure", " tenure ", "TENURE"])
def test_a_column_may_not_stand_twice(tmp_path, second):
    found = read(tmp_path, f"tenure,{second},churn\n1,2,yes\n3,4,no\n")
    with pytest.raises(DataError, match="'tenure' stands twice"):
        data.prepare(found)


def test_slips_in_a_column_of_numbers_are_told_with_the_column():
    with pytest.raises(DataError, match="spent holds numbers, but also 'lots'") as caught:
        data.prepare(table(spent=["lots", *map(str, range(29))]))
    assert caught.value.column == "spent"


def test_the_digest_is_of_the_file(tmp_path):
    read(tmp_path, "a,b\n1,2\n")
    assert data.digest(tmp_path / "customers.csv") == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
