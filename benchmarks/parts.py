"""What each part of a prediction costs in one process, beside scikit-learn."""

from __future__ import annotations

import json
import pickle
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from churn.model import load  # noqa: E402
from churn.service import Service, parsed  # noqa: E402
from churn.settings import Settings  # noqa: E402

ROUNDS = 7


def main() -> None:
    """Print the median of each part, in microseconds, all measured in turn."""
    model = load(ROOT / "churn-model.bin")
    service = Service(model, Settings())
    vectorizer, estimator = pickle.loads((ROOT / "churn-model.bin").read_bytes())  # noqa: S301
    customer = model.example
    body = json.dumps(customer).encode()
    thousand = b"[" + b",".join([body] * 1000) + b"]"
    names = ",".join(customer)
    row = ",".join(map(str, customer.values()))
    table = "\n".join([names, *[row] * 1000]).encode()
    parts: dict[str, tuple[int, int, Callable[[], Any]]] = {
        "parse JSON": (2000, 1, lambda: parsed(body)),
        "check and normalise": (2000, 1, lambda: model.schema.check(customer)),
        "score": (2000, 1, lambda: model.scorer.probability(customer)),
        "body to answer, the model's spelling": (2000, 1, lambda: service.predict(body)),
        "body to answer, explained": (500, 1, lambda: service.predict(body, explain="true")),
        "a customer in an array of 1,000": (5, 1000, lambda: service.predict(thousand)),
        "a customer in a CSV of 1,000": (5, 1000, lambda: service.predict(table, "text/csv")),
        "scikit-learn: transform and predict_proba": (
            50, 1, lambda: estimator.predict_proba(vectorizer.transform([customer])),
        ),
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS):
        for name, (times_over, customers, part) in parts.items():
            times[name].append(timeit.timeit(part, number=times_over) / times_over / customers)
    for name, found in times.items():
        print(f"{name:45} {median(found) * 1e6:9.1f} µs")


if __name__ == "__main__":
    main()
