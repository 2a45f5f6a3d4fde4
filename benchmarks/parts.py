"""What each part of a prediction costs in one process, beside Flask's road and scikit-learn."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from churn.model import load  # noqa: E402
from churn.quick import Quick  # noqa: E402
from churn.service import Service, parsed, told  # noqa: E402
from churn.settings import Settings  # noqa: E402
from churn.web import logs  # noqa: E402
from churn.web.flask_app import create_app  # noqa: E402

ROUNDS = 7
MANY = 10_000

ANSWER = "body to answer"
SHORT = "the WSGI call"
FLASK = "the WSGI call, Flask's road"

#: What is timed, how often a round, and how many customers it takes at a time.
Part = tuple[Callable[[], Any], int, int]


def main() -> None:
    """Print the least of each part, in microseconds a customer: what else runs only adds."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        logs.configure(nowhere)
        times = timed(all_parts())
    micro = {name: min(found) * 1e6 for name, found in times.items()}
    micro["so dispatch, log, counts and headers are"] = micro[SHORT] - micro[ANSWER]
    micro["and with Flask's dispatch"] = micro[FLASK] - micro[ANSWER]
    print("| part | µs a customer |\n|---|--:|")
    for name, found in micro.items():
        print(f"| {name} | {found:,.1f} |")


def timed(parts: dict[str, Part]) -> dict[str, list[float]]:
    """Return the seconds a customer that each part took, a figure a round."""
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS):
        for name, (part, times_over, customers) in parts.items():
            times[name].append(timeit.timeit(part, number=times_over) / times_over / customers)
    return times


def all_parts() -> dict[str, Part]:
    """Return what is timed, by name."""
    model = load(ROOT / "churn-model.bin")
    assert model.scorecard  # noqa: S101 - the shipped model is one
    settings = Settings()
    service, quick = Service(model, settings), Quick(model.schema, model.scorecard)
    short, flask = (create_app(service, settings, short_road=each) for each in (True, False))
    vectorizer, estimator = pickle.loads((ROOT / "churn-model.bin").read_bytes())  # noqa: S301
    customer = model.example
    body = json.dumps(customer).encode()
    verdict = {"churn_probability": 0.7161721770226143, "churn": True}
    array = b"[" + b",".join([body] * MANY) + b"]"
    row = ",".join(map(str, customer.values()))
    table = "\n".join([",".join(customer), *[row] * MANY]).encode()
    return {
        "parse": (lambda: parsed(body), 2000, 1),
        "validate": (lambda: model.schema.check(customer), 2000, 1),
        "score": (lambda: model.scorer.probability(customer), 2000, 1),
        "encode": (lambda: told(verdict), 2000, 1),
        "parse, validate and score, all in one": (
            lambda: quick.one(body), 2000, 1,
        ),
        ANSWER: (lambda: service.predict(body), 2000, 1),
        "body to answer, explained": (lambda: service.predict(body, explain="true"), 500, 1),
        SHORT: (lambda: called(short, body), 1000, 1),
        FLASK: (lambda: called(flask, body), 300, 1),
        f"in an array of {MANY:,}": (lambda: service.predict(array), 1, MANY),
        f"in a CSV of {MANY:,}": (lambda: service.predict(table, "text/csv"), 1, MANY),
        "scikit-learn: transform and predict_proba": (
            lambda: estimator.predict_proba(vectorizer.transform([customer])), 50, 1,
        ),
    }  # fmt: skip


def called(app: Any, body: bytes) -> bytes:
    """Return what a WSGI application answers to a prediction's request, as a server calls it."""
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/predict", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "9696", "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost:9696", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)), "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    return b"".join(app(environ, lambda *_: None))


if __name__ == "__main__":
    main()
