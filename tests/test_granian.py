"""granian, another server for the same application: the README's command, as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest
from conftest import CUSTOMER, ROOT, Server
from engine import free_port, until
from test_predict import fetch

pytest.importorskip("granian")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its README line is for POSIX")
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
BODY = json.dumps(CUSTOMER).encode()


@contextmanager
def served(threads=None, **variables):
    """Run the README's command, or with the other number of threads that it names."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    words = re.search(r"^pipenv run granian (.*)$", readme, re.MULTILINE).group(1)
    if threads:
        assert threads in readme
        words = words.replace("--blocking-threads 1", threads)
    words = words.replace("9696", str(free_port()))
    started = Server(["-m", "granian", *words.split()], **variables)
    until_ready(started)
    yield started
    assert started.stop()[0] == 0


@pytest.fixture
def server(tmp_path):
    with served(CHURN_METRICS_DIR=str(tmp_path / "counts")) as started:
        yield started


def until_ready(server):
    """Wait until both workers listen."""
    for _ in range(2):
        server.wait_for("Started worker-[12]( |$)")


def test_it_gives_the_services_answers(server):
    assert fetch(server, "/predict", BODY)[1].startswith(b'{"churn_probability": 0.716172177')
    assert fetch(server, "/predict", b"{}")[0] == 422
    assert fetch(server, "/ready")[0] == 200


def test_its_workers_add_up_what_they_count(server):
    for _ in range(40):
        fetch(server, "/predict", BODY)
    told = fetch(server, "/metrics")[1].decode()
    assert 'churn_requests_total{method="POST",route="/predict",status="200"} 40.0' in told


@contextmanager
def proxied(port, folder):
    """Run nginx with its defaults before a port."""
    own = free_port()
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; events {{}} http {{ access_log off;
        client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
        fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
        server {{ listen 127.0.0.1:{own};
        location / {{ proxy_pass http://127.0.0.1:{port}; }} }} }}""")
    command = [NGINX, "-e", "stderr", "-c", folder / "nginx.conf"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(own))
        yield SimpleNamespace(port=own)
    finally:
        process.terminate()
        process.wait(10)


def answers(port):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def stopped(port):
    """Hold connections open that say nothing, half a head, and half a body."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    with ExitStack() as held:
        for said in (b"", head[:40], head + BODY[:9]):
            for _ in range(32):
                caller = held.enter_context(socket.create_connection(("127.0.0.1", port)))
                caller.sendall(said)
        yield


def test_clients_that_stop_in_a_body_keep_nobody_from_an_answer():
    with served("--blocking-threads 80") as server, stopped(server.port):
        answers = [fetch(server, "/predict", BODY)[0] for _ in range(20)]
    assert answers == [200] * 20


@pytest.mark.skipif(not NGINX, reason="needs nginx")
def test_behind_a_proxy_that_waits_for_them_one_thread_is_enough(server, tmp_path):
    with proxied(server.port, tmp_path) as proxy, stopped(proxy.port):
        answers = [fetch(proxy, "/predict", BODY)[0] for _ in range(20)]
    assert answers == [200] * 20
