"""What is counted of every request, as Prometheus text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, product
from threading import Lock
from typing import TYPE_CHECKING

from churn.errors import SettingsError, reason
from churn.model import Model
from churn.service import TITLES, Answer, Said
from churn.settings import Settings
from churn.web.counts import Counts

if TYPE_CHECKING:
    from prometheus_client.core import Metric

#: The routes as they are counted; whatever else is asked for counts as "other".
ROUTES = frozenset(
    {"/", "/ping", "/predict", "/health", "/ready", "/model", "/metrics", "/openapi.json", "/docs"}
)

#: The methods as they are counted: a caller may make up any word.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: What a label is where it is none of those known.
OTHER = "other"

#: Seconds: a prediction takes well under a millisecond, a table of ten thousand about one second.
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

#: Tenths of probability.
PROBABILITIES = tuple(tenth / 10 for tenth in range(1, 11))

_STATUSES = (200, 304, *TITLES)


class Metrics:
    """Counts of requests, and of what was said of the customers in them.

    Every label there can be has its place from the start, so that counting is adding.

    :raises SettingsError: the folder that the workers share can't be used.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self._version = model.version
        routes = [*sorted(ROUTES), OTHER]
        fields = [*(each.name for each in model.schema.fields), OTHER]
        place = count()
        self._requests = {
            labels: next(place)
            for labels in product([*sorted(METHODS), OTHER], routes, [*_STATUSES, OTHER])
        }
        self._durations = {route: _places(place, DURATIONS) for route in routes}
        self._probabilities = _places(place, PROBABILITIES)
        self._leave, self._stay = next(place), next(place)
        self._refused = {name: next(place) for name in fields}
        self._outside = {name: next(place) for name in fields}
        self._counts = Counts(next(place), settings.metrics_dir)
        self._lock = Lock()
        if settings.metrics_dir is not None:
            try:
                settings.metrics_dir.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SettingsError(
                    "CHURN_METRICS_DIR", str(settings.metrics_dir), f"it is no folder that can be "
                    f"made ({reason(error)})",
                ) from error  # fmt: skip

    def count(self, method: str, route: str, status: int, seconds: float, said: Said) -> None:
        """Count one request, and what was said of the customers in it."""
        durations = self._durations[route]
        with self._lock:
            numbers = self._counts.own()
            place = self._requests.get((method, route, status))
            numbers[self._requests[method, route, OTHER] if place is None else place] += 1
            numbers[durations[bisect_left(DURATIONS, seconds)]] += 1
            numbers[durations[-1]] += seconds
            for probability in said.probabilities:
                numbers[self._probabilities[bisect_left(PROBABILITIES, probability)]] += 1
                numbers[self._probabilities[-1]] += probability
            churning, customers = said.churning, said.customers
            if churning:
                numbers[self._leave] += churning
            if churning < customers:
                numbers[self._stay] += customers - churning
            for name, times in said.refused.items():
                numbers[self._refused.get(name, self._refused[OTHER])] += times
            for name, times in said.outside.items():
                numbers[self._outside[name]] += times

    def answer(self) -> Answer:
        """Return all counts as Prometheus text."""
        # imported when first asked for: many services never are, and start-up counts
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return Answer(generate_latest(registry), CONTENT_TYPE_LATEST)

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted, as Prometheus's library wants it."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        totals = self._counts.totals()
        requests = CounterMetricFamily(
            "churn_requests", "Requests answered.", labels=("method", "route", "status")
        )
        for labels, place in self._requests.items():
            if totals[place]:
                requests.add_metric(tuple(map(str, labels)), totals[place])
        yield requests
        durations = HistogramMetricFamily(
            "churn_request_seconds", "Time to the answer.", labels=("route",)
        )
        for route, places in self._durations.items():
            buckets, total = _histogram(totals, places, DURATIONS)
            if buckets[-1][1]:
                durations.add_metric((route,), buckets, total)
        yield durations
        predictions = CounterMetricFamily(
            "churn_predictions", "Customers scored, by verdict.", labels=("verdict",)
        )
        predictions.add_metric(("leave",), totals[self._leave])
        predictions.add_metric(("stay",), totals[self._stay])
        yield predictions
        buckets, total = _histogram(totals, self._probabilities, PROBABILITIES)
        yield HistogramMetricFamily(
            "churn_probability", "Probabilities given.", buckets=buckets, sum_value=total
        )
        for name, help_text, by_field in (
            ("churn_refused_fields", "Values refused, by field.", self._refused),
            ("churn_unseen_ranges", "Numbers outside what training saw, by field.", self._outside),
        ):
            fields = CounterMetricFamily(name, help_text, labels=("field",))
            for field, place in by_field.items():
                if totals[place]:
                    fields.add_metric((field,), totals[place])
            yield fields
        model = GaugeMetricFamily("churn_model_info", "The model in service.", labels=("version",))
        model.add_metric((self._version,), 1)
        yield model


def _places(place: Iterator[int], bounds: Sequence[float]) -> list[int]:
    """Return the places of a histogram: one a bucket, one for what is above, one for the sum."""
    return [next(place) for _ in range(len(bounds) + 2)]


def _histogram(
    totals: Sequence[float], places: Sequence[int], bounds: Sequence[float]
) -> tuple[list[tuple[str, float]], float]:
    """Return a histogram's buckets, each with what is at most its bound, and its sum."""
    *counted, total = (totals[place] for place in places)
    names = [*map(str, bounds), "+Inf"]
    return list(zip(names, accumulate(counted), strict=True)), total
