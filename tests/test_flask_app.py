"""What surrounds every request: keys, ids, headers, limits, problems, the log and the counts."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import pytest
from conftest import CUSTOMER, SERVERS, Server

from churn.service import Service
from churn.settings import Settings
from churn.web import logs
from churn.web.flask_app import create_app

KEY = "correct-horse-battery"
OPEN = ["/ping", "/health", "/ready", "/", "/model", "/openapi.json", "/docs"]


def client_of(model, **asked):
    settings = Settings(**asked)
    return create_app(Service(model, settings), settings).test_client()


@pytest.fixture
def guarded(model):
    return client_of(model, api_keys=("another-key-of-ours", KEY))


@pytest.fixture
def log():
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    logs.configure(io.StringIO())


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/docs/../predict.py", None, 404),
        ("GET", "/docs/nothing.js", None, 404),
        ("GET", "/static/nothing.js", None, 404),
        ("GET", "/predict", None, 405),
        ("PUT", "/predict", "{}", 405),
        ("DELETE", "/", None, 405),
        ("POST", "/predict", "{", 400),
        ("POST", "/predict?explain=perhaps", "{}", 400),
        ("POST", "/predict", "{}", 422),
    ],
)
def test_every_error_is_a_problem_document_with_its_id(client, method, path, body, status):
    answer = client.open(path, method=method, data=body, headers={"X-Request-ID": "abc-1"})
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert {"type", "title", "detail"} <= set(answer.json)
    assert (answer.json["status"], answer.json["request_id"]) == (status, "abc-1")


def test_a_wrong_method_is_told_the_right_ones(client):
    assert set(client.get("/predict").headers["Allow"].split(", ")) == {"POST", "OPTIONS"}
    assert client.options("/predict").status_code == 200
    head = client.head("/predict")
    assert (head.status_code, head.data) == (405, b"")


@pytest.mark.parametrize("body", ["", "{", "{}", "null"])
def test_a_mistaken_caller_is_shown_a_request_that_works(client, body):
    example = client.post("/predict", data=body).json["example"]
    shown = re.fullmatch(r"curl -X POST http://localhost/predict -H '(.*)' -d '(.*)'", example)
    assert client.post("/predict", data=shown.group(2)).status_code == 200


@pytest.mark.parametrize("given", ["abc-1", "2f/9a:7=+_.", "x" * 128])
def test_a_sane_request_id_is_kept(client, given):
    assert client.get("/ping", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "<script>", "x" * 129, "é", "{}"])
def test_another_request_id_is_replaced(client, given):
    got = client.get("/ping", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{16}", got)


@pytest.mark.parametrize("path", [*OPEN, "/predict", "/nowhere", "/metrics"])
def test_every_answer_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/docs", "/model"])
def test_a_page_lies_in_no_frame_and_tells_nobody_where_a_link_stood(client, path):
    headers = client.get(path, headers={"Accept": "text/html"}).headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", ["/predict", "/metrics"])
@pytest.mark.parametrize(
    "headers",
    [
        {}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-API-Key": KEY[:-1]},
        {"Authorization": f"Basic {KEY}"}, {"Authorization": "Bearer"}, {"X-API-Key": "ключ"},
    ],
    ids=str,
)  # fmt: skip
def test_without_a_key_the_door_stays_shut(guarded, path, headers):
    answer = guarded.open(path, method="POST" if path == "/predict" else "GET", headers=headers)
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["//predict", "///predict", "predict", "//metrics", "metrics"])
def test_no_other_spelling_of_a_path_gets_past_the_door(guarded, path):
    method = "POST" if path.endswith("predict") else "GET"
    answer = guarded.open(method=method, environ_overrides={"PATH_INFO": path})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}],
)
def test_any_of_the_keys_opens_it(guarded, headers):
    assert guarded.post("/predict", json=CUSTOMER, headers=headers).status_code == 200


@pytest.mark.parametrize("path", OPEN)
def test_health_and_pages_stay_open(guarded, path):
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("size", [1_001, 10_000_000])
def test_a_body_too_large_is_refused(model, size):
    answer = client_of(model, max_body=1_000).post("/predict", data=b" " * size)
    assert (answer.status_code, answer.content_type) == (413, "application/problem+json")


def test_no_more_of_a_body_is_read_than_it_may_be(model):
    body = io.BytesIO(b" " * 10_000)
    sent = {"CONTENT_LENGTH": "0" * 30 + "10000", "wsgi.input": body}
    client = client_of(model, max_body=1_000)
    assert client.post("/predict", environ_overrides=sent).status_code == 413
    assert body.tell() == 1_001


def test_a_model_that_no_longer_proves_itself_is_not_ready(model):
    from dataclasses import replace

    golden = replace(model.manifest.golden[0], probability=0.5)
    broken = replace(model, manifest=replace(model.manifest, golden=(golden,)))
    answer = client_of(broken).get("/ready")
    assert answer.status_code == 503
    assert "golden customer" in answer.json["detail"]


@pytest.mark.parametrize(
    ("trusted", "base"), [(0, "http://localhost/"), (1, "https://churn.example.com/")]
)
def test_a_proxys_headers_are_believed_as_far_as_the_operator_says(model, trusted, base):
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "churn.example.com"}
    answer = client_of(model, trusted_proxies=trusted).post("/predict", data="{", headers=headers)
    assert f"{base}predict" in answer.json["example"]


def test_a_bug_is_told_by_its_id_alone_and_logged_whole(model, log, monkeypatch):
    client = client_of(model)
    monkeypatch.setattr(Service, "health", lambda self: 1 / 0)
    answer = client.get("/health")
    assert answer.status_code == 500
    assert "division" not in answer.text
    assert answer.json["request_id"] in log.getvalue()
    assert "ZeroDivisionError" in log.getvalue()


def test_the_log_tells_of_a_request_and_nothing_of_a_customer(client, log):
    client.post("/predict", json={**CUSTOMER, "note": "Jane Doe"}, headers={"X-Request-ID": "abc"})
    (line,) = log.getvalue().splitlines()
    told = json.loads(line)
    assert told.pop("time")
    assert told.pop("ms") > 0
    asked = {"id": "abc", "method": "POST", "route": "/predict", "status": 200}
    assert told == {**asked, "customers": 1, "churn": 1}


def test_on_a_terminal_the_log_is_words(client):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    logs.configure(terminal)
    client.get("/ping")
    logs.configure(io.StringIO())
    assert re.match(r"\d\d:\d\d:\d\d GET /ping 200  ms \d", terminal.getvalue())


def counts(text):
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics_count_requests_verdicts_refusals_and_ranges(model):
    client = client_of(model)
    client.post("/predict", json=[CUSTOMER, {**CUSTOMER, "contract": "two_year"}])
    client.post("/predict", json={**CUSTOMER, "tenure": 1000})
    client.post("/predict", json={**CUSTOMER, "contract": "monthly", "Jane Doe": 1})
    found = counts(client.get("/metrics").text)
    assert found['churn_requests_total{method="POST",route="/predict",status="200"}'] == 2
    assert found['churn_requests_total{method="POST",route="/predict",status="422"}'] == 1
    assert (
        found['churn_predictions_total{verdict="leave"}']
        + found['churn_predictions_total{verdict="stay"}']
        == 3
    )
    assert found['churn_refused_fields_total{field="contract"}'] == 1
    assert found['churn_unseen_ranges_total{field="tenure"}'] == 1
    assert found["churn_probability_count"] == 3
    assert "Jane" not in str(found)


def test_words_that_callers_make_up_are_counted_as_other(model):
    client = client_of(model)
    for made_up in range(3):
        client.open(f"/{made_up}", method=f"MAKE{made_up}")
    found = counts(client.get("/metrics").text)
    assert found['churn_requests_total{method="other",route="other",status="404"}'] == 3


def get(server, path, body=None):
    with urllib.request.urlopen(
        f"http://127.0.0.1:{server.port}{path}", body, timeout=10
    ) as answer:
        return answer.read().decode()


@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc here to find a worker in")
def test_metrics_are_summed_over_workers_and_survive_the_death_of_one():
    server = Server(SERVERS["gunicorn"])
    workers = [int(server.wait_for(r"Booting worker with pid: (\d+)").group(1)) for _ in range(2)]
    name = 'churn_predictions_total{verdict="leave"}'
    body = json.dumps(CUSTOMER).encode()
    for _ in range(20):
        get(server, "/predict", body)
    before = counts(get(server, "/metrics"))[name]
    os.kill(workers[0], signal.SIGKILL)
    server.wait_for("Booting worker")
    get(server, "/predict", body)
    after = counts(get(server, "/metrics"))[name]
    server.stop()
    assert (before, after) == (20, 21)
