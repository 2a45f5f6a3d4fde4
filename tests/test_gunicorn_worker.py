"""gunicorn's worker: what has come whole is answered at once, whoever else is slow."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from conftest import CUSTOMER, SERVERS, Server

BODY = json.dumps(CUSTOMER).encode()
PREDICT = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
ONE_THREAD = [*SERVERS["gunicorn"][:-1], "--workers", "1", "--threads", "1", "predict:app"]


@pytest.fixture(scope="module")
def server():
    started = Server(ONE_THREAD)
    yield started
    assert "Traceback" not in started.stop()[1]


@pytest.fixture
def dial(server):
    """Return a function that opens a connection, with so many bytes said on it."""
    with ExitStack() as held:

        def opened(said=b"", receive_buffer=None):
            caller = held.enter_context(closing(socket.socket()))
            if receive_buffer:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            caller.settimeout(10)
            caller.connect(("127.0.0.1", server.port))
            caller.sendall(said)
            return caller

        yield opened


def answers(caller, wanted):
    """Return the answers on a connection: as many as are wanted, whole."""
    came = b""
    while came.count(b'"churn": true}') < wanted and (part := caller.recv(65536)):
        came += part
    return came


@pytest.mark.parametrize(
    "said",
    [b"", b"POST", PREDICT[:-1], PREDICT.replace(b"Content-Length", b"Content-Length "),
     b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"],
    ids=["silent", "half a line", "a byte short", "blank before a colon", "half a chunk"],
)  # fmt: skip
def test_a_caller_who_is_slow_keeps_nobody_waiting_even_from_the_only_thread(dial, said):
    for _ in range(8):
        dial(said)
    assert answers(dial(PREDICT), 1).startswith(b"HTTP/1.1 200 ")


def test_a_caller_who_does_not_read_keeps_nobody_waiting(dial):
    bundle = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(4):
        dial(bundle, receive_buffer=4096)
    assert answers(dial(PREDICT), 1).startswith(b"HTTP/1.1 200 ")


def test_an_answer_too_large_to_go_at_once_arrives_whole(dial):
    caller = dial(
        b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        receive_buffer=4096,
    )
    head, _, body = b"".join(iter(lambda: caller.recv(65536), b"")).partition(b"\r\n\r\n")
    assert len(body) > 1_000_000
    assert f"Content-Length: {len(body)}\r\n".encode() in head


@pytest.mark.parametrize("times", [1, 2, 7, 40])
def test_requests_sent_before_an_answer_came_are_all_answered_in_order(dial, times):
    came = answers(dial(PREDICT * times), times)
    assert came.count(b"HTTP/1.1 200 OK") == times


@pytest.mark.parametrize("cut", [1, 20, 60, len(PREDICT) - 1])
def test_a_request_in_two_parts_is_one(dial, cut):
    caller = dial(PREDICT)
    first = answers(caller, 1)
    caller.sendall(PREDICT[:cut])
    caller.sendall(PREDICT[cut:])
    assert answers(caller, 1)[-56:] == first[-56:]


def test_a_caller_who_hangs_up_halfway_leaves_no_trace(server, dial):
    for cut in (0, 30, len(PREDICT)):
        dial(PREDICT[:cut]).close()
    assert answers(dial(PREDICT), 1).startswith(b"HTTP/1.1 200 ")


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_connections_that_come_together_are_shared_by_the_workers():
    server = Server(SERVERS["gunicorn"])
    for _ in range(2):
        server.wait_for("Booting worker")
    with ExitStack() as held:
        for _ in range(32):
            caller = held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            caller.sendall(PREDICT)
            answers(caller, 1)
        counts = [
            sum(
                str(each.readlink()).startswith("socket:")
                for each in Path(f"/proc/{worker}/fd").iterdir()
            )
            for worker in children(server.process.pid)
        ]
    server.stop()
    assert len(counts) == 2
    assert min(counts) >= 12


def test_silent_connections_do_not_hold_up_a_stop():
    server = Server(SERVERS["gunicorn"])
    with ExitStack() as held:
        for _ in range(8):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        code, log = server.stop()
    assert (code, "Traceback" in log) == (0, False)
