"""client.py: what it says of a customer, and of every way not to reach the service."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from threading import Thread

import pytest
from conftest import CUSTOMER, ROOT, SERVERS, Server

import client as program

KEY = "correct-horse-battery"


@pytest.fixture(scope="module")
def guarded():
    started = Server(SERVERS["waitress"], CHURN_API_KEYS=KEY)
    yield f"localhost:{started.port}"
    started.stop()


@contextmanager
def listener(answer):
    """Yield the address of something that sends ``answer`` to whoever connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with closing(listening.accept()[0]) as connection:
                connection.recv(65_536)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                with suppress(ConnectionError):
                    while connection.recv(65_536):  # to the end: closing on unread bytes resets
                        pass

        thread = Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def run(*arguments):
    return subprocess.run(
        [sys.executable, "client.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def refusal(url, customer=CUSTOMER, key=None):
    with pytest.raises(program.ClientError) as caught:
        program.ask(url, customer, key)
    return str(caught.value)


def test_it_says_how_likely_a_customer_leaves_and_what_would_help(guarded):
    done = run(f"http://{guarded}", "--key", KEY)
    assert (done.returncode, done.stderr) == (0, "")
    first, *changes = done.stdout.splitlines()
    assert first.startswith("The probability that this customer leaves is 72%. Talk to them")
    assert any("contract = two_year" in change for change in changes)


def test_a_customer_who_stays_needs_nothing(guarded):
    answer = program.ask(guarded, {**CUSTOMER, "contract": "two_year", "tenure": 70}, KEY)
    assert program.advice(answer).endswith("Nothing needs to be done.")


@pytest.mark.parametrize("end", ["", "/", "/predict"])
def test_the_scheme_one_forgets_and_the_path_one_adds_do_not_matter(guarded, end):
    assert program.ask(guarded + end, CUSTOMER, KEY)["churn"] is True


@pytest.mark.parametrize("key", [None, "wrong"])
def test_a_key_is_asked_for(guarded, key):
    assert "--key YOUR_KEY" in refusal(guarded, key=key)


def test_what_is_wrong_with_a_customer_is_told_field_by_field(guarded):
    told = refusal(guarded, {**CUSTOMER, "tenure": -5, "contract": "monthly"}, KEY)
    assert "422" in told
    assert "; tenure " in told
    assert "; contract " in told


def test_nothing_listening_is_said_with_what_to_start():
    with socket.socket() as taken:  # bound, so that nobody else gets it, and not listening
        taken.bind(("127.0.0.1", 0))
        told = refusal(f"127.0.0.1:{taken.getsockname()[1]}")
    assert told.startswith("Nothing listens at 127.0.0.1:")
    assert "python predict.py" in told


PAGE = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"
OTHER = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[1]"
ABSENT = b"HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\n\r\n<h1>Not Found</h1>"
SSH = b"SSH-2.0-OpenSSH_9.9\r\n"


@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        ("http://", PAGE, "sends no JSON but b'<html>'"),
        ("http://", OTHER, "is not the churn service"),
        ("http://", ABSENT, "says 404, but is not the churn service"),
        ("http://", SSH, "does not speak HTTP"),
        ("http://", b"", "hung up"),
        ("https://", ABSENT, "does it want http:// instead?"),
    ],
    ids=["a page", "other JSON", "a 404", "ssh", "nothing", "https to http"],
)
def test_a_wrong_port_is_told_by_what_answers_there(scheme, answer, words):
    with listener(answer) as place:
        assert words in refusal(scheme + place)


def test_a_silent_address_is_given_up_on(monkeypatch):
    monkeypatch.setattr(program, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = refusal(f"127.0.0.1:{silent.getsockname()[1]}")
    assert "a wrong address, or a firewall" in told


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://nowhere.invalid", "No machine is called 'nowhere.invalid'"),
        ("ftp://localhost", "must begin with http://"),
        ("http://localhost:http", "no web address"),
        ("http://local host", "no web address"),
    ],
)
def test_a_slip_in_the_address_is_named(url, words):
    assert words in refusal(url)


@pytest.mark.parametrize("content", ["{", None])
def test_a_file_without_a_customer_is_said_in_one_line(tmp_path, content):
    file = tmp_path / "customer.json"
    if content:
        file.write_text(content)
    done = run("--customer", str(file))
    assert done.returncode == 1
    assert "holds no customer" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_customer_it_asks_about_is_the_known_one():
    assert json.loads((ROOT / "data" / "customer.json").read_text()) == CUSTOMER


def test_the_readme_shows_what_it_says(guarded):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("$ python client.py\n")[1].split("  …")[0]
    assert run(guarded, "--key", KEY).stdout.startswith(shown)
