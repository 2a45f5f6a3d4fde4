"""The log's lines."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from churn.service import Said
from churn.web import logs
from churn.web.front import Exchange, new_id

WORDS = 'G"T', '/"\\\n'

ASKED = {"method": "POST", "route": "/predict", "status": 200, "ms": 12.346}
CASES = [
    ("POST", "/predict", Said(), ASKED),
    ("POST", "/predict", Said([0.7, 0.1], 1), {**ASKED, "customers": 2, "churn": 1}),
    ("POST", "/predict", Said(refused={"tenure": 2, "contract": 1}), {**ASKED, "refused": 3}),
    (*WORDS, Said(), {**ASKED, "method": "other", "route": "other"}),
]


def exchange(method="GET", path="/ping", said=None):
    return Exchange(new_id(), method, path, "http", lambda _: None, 0.0, 200, said or Said())


@pytest.mark.parametrize(("method", "path", "said", "wanted"), CASES)
def test_a_request_is_one_line_of_json(method, path, said, wanted):
    ended = exchange(method, path, said)
    line = logs.in_json(ended, 0.0123456, 0.25)
    time = "1970-01-01T00:00:00.250+00:00"
    assert json.loads(line) == {"time": time, "id": ended.id, **wanted}
    assert line.endswith("}\n")
    assert line.count("\n") == 1


def test_on_a_terminal_a_request_is_told_in_words():
    ended = exchange("POST", "/predict", Said([0.7, 0.1], 1, {"tenure": 2}))
    told = re.sub(r"^\d\d:\d\d:\d\d", "at", logs.in_words(ended, 0.0123456, 0.25))
    figures = "ms 12.346, customers 2, churn 1, refused 2"
    assert told == f"at POST /predict 200  {figures}  {ended.id}\n"


def test_a_line_is_on_disk_when_it_is_told(tmp_path):
    with (tmp_path / "log").open("w") as file:
        logs.configure(file)
        logs.requests.tell(exchange(), 0.001)
        told = (tmp_path / "log").read_text()
    logs.configure(io.StringIO())
    assert json.loads(told)["route"] == "/ping"


def test_a_log_that_nobody_reads_any_more_stops_no_answer(client):
    with Path("/dev/full").open("w") as file:
        logs.configure(file)
        status = client.get("/ping").status_code
    logs.configure(io.StringIO())
    assert status == 200
