"""The servers for real: processes, sockets, and what they say when they can't start."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import CUSTOMER, ROOT, SERVERS, Server


def fetch(server, path, body=None):
    """Return the status and the body of an answer."""
    url = f"http://127.0.0.1:{server.port}{path}"
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def run(command, **environ):
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def test_the_known_customer_is_answered_with_exactly_two_keys(server):
    status, body = fetch(server, "/predict", json.dumps(CUSTOMER).encode())
    answer = json.loads(body)
    assert (status, list(answer)) == (200, ["churn_probability", "churn"])
    assert 0.71 <= answer["churn_probability"] <= 0.74
    assert answer["churn"] is True


@pytest.mark.parametrize(
    ("path", "body"),
    [("/ping", b"PONG"), ("/health", b'{"status": "ok"}'), ("/ready", b'{"status": "ready"')],
)
def test_the_server_says_that_it_is_well(server, path, body):
    status, found = fetch(server, path)
    assert status == 200
    assert found.startswith(body)


def test_bad_input_gets_a_problem_and_no_number(server):
    status, body = fetch(server, "/predict", json.dumps({**CUSTOMER, "tenure": -5}).encode())
    assert status == 422
    assert json.loads(body)["errors"][0]["field"] == "tenure"


@pytest.mark.parametrize(("size", "status"), [(0, 200), (2_100_000, 413)])
def test_a_body_in_chunks_is_read_whole_and_measured(server, size, status):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    parts = [json.dumps(CUSTOMER).encode(), b" " * size]
    connection.request("POST", "/predict", iter(parts), encode_chunked=True)
    answer = connection.getresponse()
    connection.close()
    assert answer.status == status


def test_a_proxy_nobody_trusts_is_not_believed(server):
    url = f"http://127.0.0.1:{server.port}/predict"
    asked = urllib.request.Request(url, headers={"X-Forwarded-Proto": "https"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=10)
    with caught.value as answer:
        assert f"-X POST {url}" in json.load(answer)["example"]


@pytest.mark.parametrize("name", ["gunicorn", "waitress", "predict_fastapi.py"])
def test_silent_and_half_sent_connections_keep_nobody_from_an_answer(name):
    server = Server(SERVERS[name])
    with ExitStack() as held:
        for said in (b"", b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Le"):
            for _ in range(64):
                connection = socket.create_connection(("127.0.0.1", server.port))
                held.enter_context(connection).sendall(said)
        answers = [fetch(server, "/predict", json.dumps(CUSTOMER).encode())[0] for _ in range(50)]
    server.stop()
    assert answers == [200] * 50


@pytest.mark.parametrize("name", ["gunicorn", "waitress"])
@pytest.mark.parametrize("chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}{}\r\n0\r\n\r\n"])
def test_chunks_that_are_none_are_the_callers_mistake(name, chunks):
    server = Server(SERVERS[name])
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as caller:
        caller.sendall(head + chunks)
        answer = caller.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in server.stop()[1]


@pytest.mark.parametrize("name", ["gunicorn", "waitress", "predict_fastapi.py", "gunicorn, asgi"])
def test_a_server_told_to_stop_stops_cleanly(name):
    server = Server(SERVERS[name])
    fetch(server, "/ready")
    code, log = server.stop()
    assert code == 0
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CHURN_MODEL": "nowhere.bin"}, "no model at nowhere.bin"),
        ({"CHURN_MODEL": "train.py"}, "not a whole pickle"),
        ({"CHURN_THRESHOLD": "50 %"}, "CHURN_THRESHOLD is '50 %'"),
        ({"PORT": "http"}, "PORT is 'http'"),
        ({"CHURN_API_KEYS": " , "}, "CHURN_API_KEYS is ','"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["predict.py"], ["-m", "gunicorn", "predict:app"], ["predict_fastapi.py"],
        ["-m", "uvicorn", "predict_fastapi:app", "--port", "0"],
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_served_is_said_in_one_line(command, environ, words):
    ended = run(command, **environ)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("program", ["predict.py", "predict_fastapi.py"])
def test_a_port_in_use_is_said_in_one_line_with_another_to_try(program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run([program, "--host", "127.0.0.1", "--port", str(port)])
    assert ended.returncode == 1
    assert f"'{port}', but another program listens there already" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
@pytest.mark.parametrize("program", ["predict.py", "predict_fastapi.py"])
def test_an_address_that_is_not_this_machines_is_said_in_one_line(program, host):
    ended = run([program, "--host", host], PORT="0")
    assert ended.returncode == 1
    assert f"--host is '{host}', but this machine has no such address" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_name_with_two_addresses_is_served_at_both():
    twice = "import socket; one = socket.getaddrinfo; socket.getaddrinfo = lambda *a: one(*a) * 2"
    program = f"{twice}; import runpy; runpy.run_path('predict.py', run_name='__main__')"
    server = Server(["-c", program, "--host", "127.0.0.1"])
    assert fetch(server, "/ping") == (200, b"PONG")
    assert server.stop()[0] == 0


def test_the_threshold_is_the_operators_to_choose():
    server = Server(SERVERS["waitress"], CHURN_THRESHOLD="0.9")
    _, body = fetch(server, "/predict", json.dumps(CUSTOMER).encode())
    server.stop()
    assert json.loads(body)["churn"] is False


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc here to look into")
def test_two_gunicorn_workers_hold_nothing_of_the_training_side():
    server = Server(SERVERS["gunicorn"])
    for _ in range(2):
        server.wait_for("Booting worker")
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    maps = [Path(f"/proc/{each}/maps").read_text() for each in [pid, *children]]
    server.stop()
    assert len(maps) == 3
    assert not [name for name in ("sklearn", "scipy", "pandas", "numpy") if name in "".join(maps)]


@pytest.mark.parametrize("program", ["predict.py", "predict_fastapi.py", "client.py"])
def test_help_shows_examples(program):
    ended = run([program, "--help"])
    assert ended.returncode == 0
    assert "examples:" in ended.stdout
