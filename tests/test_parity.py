"""Both editions on all servers: one table of requests, the same answer to each, byte for byte."""

from __future__ import annotations

import http.client
import json
import re
import signal
from contextlib import closing

import pytest
from conftest import CUSTOMER, SERVERS, Server

KEY = "correct-horse-battery"

#: Small, so that the table can go beyond.
LIMITS = {"CHURN_API_KEYS": KEY, "CHURN_MAX_BODY": "20000", "CHURN_MAX_CUSTOMERS": "20"}

#: What has to be the same besides status and body; the servers' own headers need not be.
COMPARED = [
    "Content-Type", "Content-Length", "WWW-Authenticate", "ETag", "Vary", "Cache-Control",
    "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options",
    "X-Request-ID", "X-Unseen-Range", "Accept", "Accept-Encoding", "Location",
]  # fmt: skip

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]
PATHS = [
    "/", "/ping", "/predict", "/health", "/ready", "/model", "/metrics", "/openapi.json", "/docs",
    "/docs/swagger-ui.css", "/docs/start.js", "/docs/nothing.js", "/docs/", "/docs/a/b",
    "/static/", "/static/nothing", "/static/x/y/z", "/nowhere", "/predict/", "//predict",
    "/predict%0A", "/ping%0a", "/docs/x%0A", "/%70redict", "/PREDICT", "/predict;x", "/ping%2F",
    "/docs/..%2Fpredict.py", "/static/%2e%2e/%2e%2e/predict.py", "/ping%00", "/p%C3%AFng",
    "/docs/%FF", "/ping?x=%FF&y", "/predict%20", "/docs/%F0%9F%92%A5",
]  # fmt: skip

TYPES = [
    None, "application/json", "application/json; charset=utf-8", "application/json;charset=latin-1",
    "application/problem+json", "text/csv", "text/csv; charset=utf-16", "text/html", "é", ";",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "APPLICATION/JSON",
]  # fmt: skip

#: A value, and the field it is put into.
VALUES = [
    ("tenure", value)
    for value in [None, True, -5, 1e400, 10**400, "24", " 24 ", "", "NaN", [1], {}, "x" * 5000, 1e6]
] + [
    ("contract", value)
    for value in ["Two year", "monthly", None, 1, ["two_year"], "\ud800", "\0", "💥", "=1+1"]
] + [("seniorcitizen", value) for value in ["yes", True, 1.0, 2]] + [
    ("Contract", "two_year"), ("extra", 1), ("customerid", "7590"), ("", 0),
]  # fmt: skip

ONE = json.dumps(CUSTOMER)
ROW = ",".join(map(str, CUSTOMER.values()))
CSV = f"{','.join(CUSTOMER)}\n{ROW}\n"
BODIES = [
    ONE, f"[{ONE},{ONE}]", "[]", f"[{','.join([ONE] * 20)}]", f"[{','.join([ONE] * 21)}]",
    "", " ", "{", "{}", "null", "1", '"x"', "[1]", "[[]]", f"[{ONE},{{}}]", "[" * 5000,
    '{"a":' * 3000, "\ufeff" + ONE, ONE + ONE, ONE[:-1], ONE.replace("29.85", "NaN", 1),
    ONE.replace("29.85", "1e400", 1), ONE.replace("29.85", "-Infinity", 1),
    ONE[:-1] + ', "tenure": 2}', "\xff\xfe".encode("latin-1"), ONE.encode("utf-16"),
    ONE.encode() + b"\0", "a=1&b=2", "<x/>", CSV, CSV * 2, CSV.replace("\n", "\r\n"), ROW,
    CSV + ROW + ",1\n", CSV.replace(",1,", ",-1,"), CSV + '"\n', CSV.encode("utf-16"), "\n\n",
    f"{','.join(CUSTOMER)}\n", CSV + (ROW + "\n") * 20, " " * 19_999, " " * 20_000, " " * 20_001,
    *(json.dumps({**CUSTOMER, field: value}) for field, value in VALUES),
]  # fmt: skip

EXPLAINED = [
    "explain", "explain=true", "explain=TRUE", "explain=0", "explain=perhaps", "explain=%00",
    "explain=%FF", "explain=true&explain=x", "explain=x&explain=true", "Explain=x", "explain=+",
    "explain=%74rue", "explain[]=x", "explain;x", "&&explain=1&", "x=explain=x",
]  # fmt: skip

HEADERS = [
    {}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"},
    {"Authorization": f"Basic {KEY}"}, {"X-API-Key": KEY}, {"Authorization": f"bearer  {KEY} "},
    {"X-API-Key": "ключ".encode()}, {"X-API-Key": KEY, "Authorization": "Bearer wrong"},
]  # fmt: skip
ENCODINGS = ["gzip", "identity", " Identity ", "", "x" * 100, "gzip, identity", "é".encode()]
HOSTS = [
    "localhost",
    "churn.example.com:8080",
    "[::1]:80",
    "x" * 60,
    "a'b",
    "$(x)",
    "localhost:abc",
    "",
]
IDS = ["", "a b", "<script>", "x" * 128, "x" * 129, "é".encode(), "2f/9a:7=+_."]
ACCEPTED = ["text/html", "application/json", "text/html;q=0", "*/*", "", "text/html;q=x", "q"]
HELD = ["*", "{etag}", "W/{etag}", '"x", {etag}', '"x"', 'W/"x", "y"', "x"]
OURS = {"X-API-Key": KEY}
JSON = {**OURS, "Content-Type": "application/json"}


def table():
    """Return each request: method, path, headers, body, and whether it is sent in chunks."""
    for path in PATHS:
        for method in METHODS:
            yield method, path, OURS, None, False
            if method not in ("GET", "HEAD", "PROPFIND"):
                yield method, path, JSON, ONE, False
    for body in BODIES:
        for media in ("application/json", "text/csv"):
            for chunked in (False, True):
                yield "POST", "/predict", {**OURS, "Content-Type": media}, body, chunked
    for media in TYPES:
        for body in (ONE, CSV):
            headers = OURS if media is None else {**OURS, "Content-Type": media.encode()}
            yield "POST", "/predict", headers, body, False
    for query in EXPLAINED:
        for body in (ONE, f"[{ONE}]", "{}"):
            yield "POST", f"/predict?{query}", JSON, body, False
        yield "POST", f"/predict?{query}", {**OURS, "Content-Type": "text/csv"}, CSV, False
    for headers in HEADERS:
        for path in ("/predict", "//predict", "/predict%0A", "/x/../predict", "/metrics"):
            yield "POST", path, headers, ONE, False
        for path in ("/predict", "/ping"):
            yield "GET", path, headers, None, False
        yield "GET", "/metrics", headers, None, False
        yield "POST", "/predict", headers, "x" * 30_000, False
    for name, values in [
        ("Content-Encoding", ENCODINGS), ("Host", HOSTS), ("X-Request-ID", IDS),
        ("X-Forwarded-Host", HOSTS),
    ]:  # fmt: skip
        for value in values:
            yield "POST", "/predict", {**JSON, name: value}, "{}", False
    for accept in ACCEPTED:
        yield "GET", "/model", {**OURS, "Accept": accept}, None, False
    for held in HELD:
        yield "GET", "/static/{release}/page.css", {**OURS, "If-None-Match": held}, None, False


TABLE = list(table())


@pytest.fixture(scope="module")
def servers():
    started = {
        name: Server(command, **LIMITS) for name, command in SERVERS.items() if name != "flask run"
    }
    yield started
    for server in started.values():
        code, log = server.stop()
        # uvicorn ends itself by the signal that it was sent
        assert code in (0, -signal.SIGTERM), log
        assert "Traceback" not in log


@pytest.fixture(scope="module")
def names(servers):
    """Return what the table's blanks stand for: the pages' release, the style sheet's ETag."""
    port = servers["gunicorn"].port
    page = exchange(port, "GET", "/", {}, None, False)[1].decode()
    release = re.search(r"static/(\w+)/", page).group(1)
    headers = exchange(port, "GET", f"/static/{release}/page.css", {}, None, False)[2]
    return {"{release}": release, "{etag}": headers["ETag"][0]}


def filled(text, names):
    """Return ``text`` with its blanks filled in."""
    for blank, name in names.items() if isinstance(text, str) else ():
        text = text.replace(blank, name)
    return text


def exchange(port, method, path, headers, body, chunked):
    """Return status, body and the headers that matter."""
    body = body.encode() if isinstance(body, str) else body
    parts = (body[i : i + 999] for i in range(0, len(body), 999)) if chunked else body
    sent = {"Host": "churn.example.com", "X-Request-ID": "parity-1", **headers}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, parts, sent, encode_chunked=chunked)
        answer = connection.getresponse()
        told = {name: answer.headers.get_all(name) for name in COMPARED}
        allowed = set((answer.headers["Allow"] or "").split(", "))
        return answer.status, answer.read(), told, allowed


def masked(path, answer):
    """Return an answer without what has to differ: counts, and an id that a server made up."""
    status, body, told, allowed = answer
    if told["X-Request-ID"] not in (["parity-1"], None):
        (identity,) = told["X-Request-ID"]
        if re.fullmatch("[0-9a-f]{16}", identity):
            body, told = body.replace(identity.encode(), b"ID"), {**told, "X-Request-ID": "ID"}
    if path == "/metrics" and status == 200:
        body, told = b"", {**told, "Content-Length": None}
    return status, body, told, allowed


def test_the_table_is_long():
    assert len(TABLE) > 900


@pytest.mark.parametrize("number", range(len(TABLE)))
def test_every_server_gives_the_same_answer(servers, names, number):
    method, path, headers, body, chunked = TABLE[number]
    path = filled(path, names)
    headers = {name: filled(value, names) for name, value in headers.items()}
    answers = {
        name: masked(path, exchange(server.port, method, path, headers, body, chunked))
        for name, server in servers.items()
    }
    wanted = answers["gunicorn"]
    assert wanted[0] < 500
    assert {name: answer for name, answer in answers.items() if answer != wanted} == {}, wanted
