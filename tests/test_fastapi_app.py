"""The FastAPI edition's own side: parts of bodies, root paths, proxies, threads, Pydantic."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import urllib.request
from dataclasses import replace
from itertools import repeat

import pytest
from conftest import CUSTOMER, SERVERS, Server

from churn.errors import CustomerError
from churn.service import Service
from churn.settings import Settings
from churn.web import logs
from churn.web.asgi import LONG
from churn.web.fastapi_app import create_app, customer_type, described
from churn.web.openapi import document

KEY = "correct-horse-battery"
BODY = json.dumps(CUSTOMER).encode()


def app_of(model, short_road=True, **asked):
    settings = Settings(**asked)
    return create_app(Service(model, settings), settings, short_road=short_road)


def call(app, path, parts=(), *, method=None, headers=(), root_path=""):
    """Return status, headers and body of one request; parts run out as a caller who hangs up."""
    scope = {
        "type": "http", "http_version": "1.1", "scheme": "http", "root_path": root_path,
        "method": method or ("POST" if parts else "GET"), "path": path, "query_string": b"",
        "headers": [(b"host", b"localhost"), *headers],
    }  # fmt: skip
    coming, sent = iter(parts or [(b"", False)]), []

    async def receive():
        part = next(coming, None)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part[0], "more_body": part[1]}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], told, b"".join(each.get("body", b"") for each in rest)


@pytest.fixture(params=[True, False], ids=["short road", "long road"])
def app(model, request):
    return app_of(model, short_road=request.param)


@pytest.fixture
def log():
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    logs.configure(io.StringIO())


def test_a_body_comes_in_parts(app):
    parts = [(bytes([byte]), True) for byte in BODY]
    status, _, body = call(app, "/predict", [*parts, (b"", False)])
    assert (status, json.loads(body)["churn"]) == (200, True)


def test_no_more_of_a_body_is_read_than_it_may_have(model):
    parts = repeat((b" " * 400, True))  # it never ends
    status, headers, _ = call(app_of(model, max_body=1_000), "/predict", parts)
    assert (status, headers["content-type"]) == (413, "application/problem+json")


def test_a_caller_who_hangs_up_is_no_bug(app, log):
    status, _, body = call(app, "/predict", [(BODY[:10], True)])
    assert (status, b"broke off" in body) == (400, True)
    assert "traceback" not in log.getvalue()


@pytest.mark.parametrize("path", ["/api/predict", "/predict", "//predict", "/api//predict"])
@pytest.mark.parametrize("root_path", ["", "/api", "/api/"])
def test_a_root_path_does_not_lead_around_the_key(model, path, root_path):
    app = app_of(model, api_keys=(KEY,))
    assert call(app, path, [(BODY, False)], root_path=root_path)[0] in (401, 404)


def test_below_a_root_path_the_routes_are_the_same(app):
    assert call(app, "/api/ping", root_path="/api")[2] == b"PONG"


@pytest.mark.parametrize(
    ("hops", "base"),
    [(0, "http://localhost"), (1, "https://b.example.com"), (2, "http://a.example.com"),
     (3, "http://localhost")],
)  # fmt: skip
def test_a_proxys_headers_are_believed_as_far_as_the_operator_says(model, hops, base):
    headers = [
        (b"x-forwarded-proto", b"http, https"),
        (b"x-forwarded-host", b"a.example.com"), (b"x-forwarded-host", b"b.example.com"),
    ]  # fmt: skip
    app = app_of(model, trusted_proxies=hops)
    _, _, body = call(app, "/predict", [(b"{", False)], headers=headers)
    assert f"{base}/predict" in json.loads(body)["example"]


def test_a_bug_is_told_by_its_id_alone_and_logged_whole(app, log, monkeypatch):
    monkeypatch.setattr(Service, "health", lambda self: 1 / 0)
    status, headers, body = call(app, "/health")
    assert (status, headers["content-type"]) == (500, "application/problem+json")
    assert b"division" not in body
    assert "ZeroDivisionError" in log.getvalue()
    assert json.loads(body)["request_id"] in log.getvalue()


def test_the_log_has_one_line_a_request_and_nothing_of_a_customer(app, log):
    call(app, "/predict", [(json.dumps({**CUSTOMER, "note": "Jane Doe"}).encode(), False)])
    (line,) = log.getvalue().splitlines()
    told = json.loads(line)
    assert (told["route"], told["status"], told["customers"]) == ("/predict", 200, 1)
    assert "Jane" not in line


def test_requests_and_predictions_are_counted(app):
    call(app, "/predict", [(BODY, False)])
    counts = call(app, "/metrics")[2].decode()
    assert 'churn_requests_total{method="POST",route="/predict",status="200"} 1.0' in counts
    assert 'churn_predictions_total{verdict="leave"} 1.0' in counts


@pytest.mark.parametrize(("customers", "elsewhere"), [(1, False), (50, True)])
def test_what_takes_long_keeps_nobody_waiting(app, monkeypatch, customers, elsewhere):
    threads, predict = [], Service.predict

    def noted(*arguments, **named):
        threads.append(threading.current_thread())
        return predict(*arguments, **named)

    monkeypatch.setattr(Service, "predict", noted)
    body = json.dumps([CUSTOMER] * customers).encode()
    assert (len(body) >= LONG) is elsewhere
    assert call(app, "/predict", [(body, False)])[0] == 200
    assert (threads != [threading.main_thread()]) is elsewhere


@pytest.mark.parametrize("strict", [False, True])
def test_pydantic_describes_the_customer_as_the_document_does(model, strict):
    settings = Settings(strict=strict)
    service = Service(model, settings)
    assert described(service, settings) == document(service, settings)
    assert create_app(service, settings).openapi() == document(service, settings)


def test_pydantics_customer_is_checked_by_the_model(model):
    found = customer_type(model).model_validate({**CUSTOMER, "contract": "Two year", "x": 1})
    assert found.model_dump(by_alias=True) == {**CUSTOMER, "contract": "two_year"}
    with pytest.raises(CustomerError):
        customer_type(model).model_validate({**CUSTOMER, "tenure": -5})


@pytest.mark.parametrize("name", ["schema", "copy", "_id", "model_config", "class", "länge"])
def test_a_field_may_be_called_as_pydantics_own(model, name):
    schema = model.schema
    renamed = replace(schema, fields=(replace(schema.fields[0], name=name),))
    told = customer_type(replace(model, schema=renamed)).model_json_schema()
    assert list(told["properties"]) == [name]


def test_uvicorn_logs_as_the_others_do():
    server = Server(SERVERS["uvicorn"])
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/ping", timeout=10) as answer:
        assert answer.read() == b"PONG"
    _, log = server.stop()
    assert '"route": "/ping"' in log
    assert "GET /ping HTTP" not in log
