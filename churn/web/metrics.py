"""Prometheus metrics, summed over all workers where ``PROMETHEUS_MULTIPROC_DIR`` names a folder.

``gunicorn.conf.py`` makes that folder and says when a worker died; what a dead worker counted
stays in the sums.
"""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from churn.model import Model
from churn.service import Answer, Said

#: Seconds: a prediction takes well under a millisecond, a table of ten thousand about one second.
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

#: Counters kept at hand: routes times methods times statuses that really come.
MOST_LABELS = 256

#: Tenths of probability.
PROBABILITIES = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """What is counted of every request."""

    def __init__(self, model: Model) -> None:
        self._registry = registry = CollectorRegistry()
        self._fields = frozenset(each.name for each in model.schema.fields)
        self._requests = Counter(
            "churn_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._durations = Histogram(
            "churn_request_seconds", "Time to the answer.", ("route",),
            buckets=DURATIONS, registry=registry,
        )  # fmt: skip
        self._predictions = Counter(
            "churn_predictions", "Customers scored, by verdict.", ("verdict",), registry=registry
        )
        self._probabilities = Histogram(
            "churn_probability", "Probabilities given.", buckets=PROBABILITIES, registry=registry
        )
        self._refused = Counter(
            "churn_refused_fields", "Values refused, by field.", ("field",), registry=registry
        )
        self._outside = Counter(
            "churn_unseen_ranges", "Numbers outside what training saw, by field.", ("field",),
            registry=registry,
        )  # fmt: skip
        Gauge(
            "churn_model_info", "The model in service.", ("version",),
            registry=registry, multiprocess_mode="max",
        ).labels(model.version).set(1)  # fmt: skip

        # finding a label's counter costs more than counting: each is found once
        self._request_of = lru_cache(MOST_LABELS)(self._requests.labels)
        self._duration_of = lru_cache(MOST_LABELS)(self._durations.labels)
        self._leave = self._predictions.labels("leave")
        self._stay = self._predictions.labels("stay")

    def count(self, method: str, route: str, status: int, seconds: float, said: Said) -> None:
        """Count one request, and what was said of the customers in it."""
        self._request_of(method, route, status).inc()
        self._duration_of(route).observe(seconds)
        if said.customers:
            if said.churning:
                self._leave.inc(said.churning)
            if said.customers > said.churning:
                self._stay.inc(said.customers - said.churning)
            for probability in said.probabilities:
                self._probabilities.observe(probability)
        for counter, by_field in ((self._refused, said.refused), (self._outside, said.outside)):
            for name, times in by_field.items():
                counter.labels(name if name in self._fields else "other").inc(times)

    def answer(self) -> Answer:
        """Return all counts as Prometheus text."""
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Answer(generate_latest(registry), CONTENT_TYPE_LATEST)
