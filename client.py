"""Ask the service about one customer, and print what to do: an example to start from.

Plain Python with nothing to install; copy `ask` into your own program.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent

#: Seconds to wait for an answer; a prediction takes milliseconds.
PATIENCE = 10

EPILOG = """\
examples:
  python client.py
  python client.py http://churn.example.com --key YOUR_KEY --customer customer.json
"""


class ClientError(Exception):
    """The question can't be answered: one sentence that says what to do next."""


def ask(url: str, customer: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """Return the service's answer, with the changes that would keep the customer.

    :raises ClientError: there is none; says why.
    """
    url = address(url)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    body = json.dumps(customer).encode()
    try:
        request = urllib.request.Request(f"{url}/predict?explain=true", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return understood(url, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise ClientError(refused(url, error.code, error.read())) from error
    except urllib.error.URLError as error:
        raise ClientError(unreached(url, error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ClientError(unreached(url, error)) from error


def address(url: str) -> str:
    """Return ``url`` with the ``http://`` that one forgets, and without /predict."""
    url = url if "://" in url else f"http://{url}"
    if urlsplit(url).scheme not in ("http", "https"):
        raise ClientError(f"{url} is no web address: it must begin with http:// or https://")
    return url.rstrip("/").removesuffix("/predict")


def understood(url: str, body: bytes) -> dict[str, Any]:
    """Return the answer that a body holds."""
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise ClientError(
            f"What answers at {url} sends no JSON but {body[:40]!r}: is that the right port?"
        ) from error
    if not isinstance(answer, dict) or "churn_probability" not in answer:
        raise ClientError(f"What answers at {url} is not the churn service: is that its port?")
    return answer


def refused(url: str, status: int, body: bytes) -> str:
    """Return why the service did not answer, in words."""
    try:
        problem = json.loads(body)
        detail = problem["detail"]
    except (ValueError, KeyError, TypeError):
        return f"What answers at {url} says {status}, but is not the churn service: wrong port?"
    if status == 401:
        return "The service wants a key, or another one: --key YOUR_KEY"
    wrong = [f"{each['field']} {each['message']}" for each in problem.get("errors", [])]
    return "; ".join([f"The service says {status}: {detail}", *wrong])


def unreached(url: str, error: object) -> str:
    """Return why nothing came back, in words."""
    place = urlsplit(url).netloc
    if isinstance(error, ConnectionRefusedError):
        return (
            f"Nothing listens at {place}: start the service (python predict.py), or name its port. "
            "In a container, it must be published: docker run -p 9696:9696 …"
        )
    if isinstance(error, socket.gaierror):
        return f"No machine is called {urlsplit(url).hostname!r}: is there a slip in the address?"
    if isinstance(error, TimeoutError):
        return f"No answer from {place} in {PATIENCE} s: a wrong address, or a firewall between."
    if isinstance(error, ssl.SSLError):
        return f"{place} has no valid certificate ({error.reason}): does it want http:// instead?"
    if isinstance(error, ConnectionError):  # RemoteDisconnected is one as well
        return (
            f"What listens at {place} hung up: does it want https://? In a container, does the "
            "service listen on 127.0.0.1 instead of 0.0.0.0?"
        )
    if isinstance(error, http.client.InvalidURL):
        return f"{url} is no web address: {error}"
    if isinstance(error, http.client.HTTPException):
        return f"What listens at {place} does not speak HTTP: is that the right port?"
    return f"{url} can't be asked: {error}"


def advice(answer: dict[str, Any]) -> str:
    """Return what to do, in words."""
    told = [f"The probability that this customer leaves is {answer['churn_probability']:.0%}."]
    if not answer["churn"]:
        return " ".join([*told, "Nothing needs to be done."])
    changes = [
        f"  {each['field']} = {each['value']}: {each['churn_probability']:.0%}"
        for each in answer.get("changes", [])
    ]
    told.append("Talk to them; what would help most:" if changes else "Talk to them.")
    return "\n".join([" ".join(told), *changes])


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    new = argparse.ArgumentParser(
        prog="client.py",
        description="Ask the churn service about one customer.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new.add_argument("url", nargs="?", default="http://localhost:9696", help="where it listens")
    new.add_argument("--key", help="the API key, if it wants one")
    new.add_argument(
        "--customer", type=Path, default=HERE / "data" / "customer.json", metavar="FILE",
        help="a JSON file (default: the customer in data/)",
    )  # fmt: skip
    return new


def main() -> str:
    """Return what to print."""
    asked = parser().parse_args()
    try:
        customer = json.loads(asked.customer.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClientError(f"{asked.customer} holds no customer as JSON: {error}") from error
    return advice(ask(asked.url, customer, asked.key))


if __name__ == "__main__":
    try:
        print(main())
    except ClientError as error:
        sys.exit(f"client.py: {error}")
