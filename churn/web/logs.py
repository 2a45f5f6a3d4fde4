"""The log: one line a request, JSON for machines, words on a terminal; never a customer's data."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TextIO

from churn.errors import listed
from churn.service import Service
from churn.settings import Settings

if TYPE_CHECKING:
    from churn.web.front import Exchange

#: Classes that plainly mean that a customer left.
LEAVING = frozenset({1, "1", "yes", "true", "churn", "churned", "left"})


def in_json(exchange: Exchange, seconds: float, now: float) -> str:
    """Return an exchange as a line of JSON."""
    said = exchange.said
    customers = said.customers
    told = f', "customers": {customers}, "churn": {said.churning}' if customers else ""
    if said.refused:
        told += f', "refused": {sum(said.refused.values())}'
    # an encoder takes as long as the prediction, and nothing here needs an escape: an id is made of
    # a few plain characters, the rest are words of our own
    return (
        f'{{"time": "{_at(int(now * 1000))}", "id": "{exchange.id}", "method": "{exchange.verb}", '
        f'"route": "{exchange.route}", "status": {exchange.status}, '
        f'"ms": {_ms(round(seconds * 1e6))}{told}}}\n'
    )


def in_words(exchange: Exchange, seconds: float, now: float) -> str:
    """Return an exchange as a line to read on a terminal; the time is local."""
    said = exchange.said
    at = datetime.fromtimestamp(now).strftime("%H:%M:%S")
    told = (
        f"{at} {exchange.verb} {exchange.route} {exchange.status}  ms {_ms(round(seconds * 1e6))}"
    )
    if said.customers:
        told += f", customers {said.customers}, churn {said.churning}"
    if said.refused:
        told += f", refused {sum(said.refused.values())}"
    return f"{told}  {exchange.id}\n"


# to write a number takes longer than to look it up, and many lines have theirs in common


@lru_cache(1)
def _at(millisecond: int) -> str:
    """Return a time since 1970 as ISO 8601 in UTC."""
    second, rest = divmod(millisecond, 1000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}+00:00"


@lru_cache(1000)
def _ms(microseconds: int) -> str:
    """Return a time in milliseconds, with three decimals."""
    return f"{microseconds / 1000:.3f}"


class Requests:
    """Writes a line a request.

    They are by far the most, and all of one kind: :mod:`logging` takes longer over one than it
    takes to score the customer.
    """

    def __init__(self) -> None:
        self._write: Callable[[str], object] | None = None
        self._line = in_json

    def to(self, stream: TextIO) -> None:
        """Write to ``stream`` from now on: words on a terminal, or else JSON."""
        self._line = in_words if stream.isatty() else in_json
        try:
            # one call a line, so that those of several threads and workers don't mix
            self._write = partial(_written, stream.fileno())
        except OSError:  # it has no file behind it
            self._write = stream.write

    def tell(self, exchange: Exchange, seconds: float) -> None:
        """Write that an exchange has ended, which took so many seconds."""
        if self._write is not None:
            try:
                self._write(self._line(exchange, seconds, time.time()))
            except OSError:  # nobody reads, or the disk is full: callers get answers all the same
                return


#: One a process, as standard output is.
requests = Requests()


def configure(stream: TextIO | None = None) -> None:
    """Send the log to ``stream`` (standard output by default), in the form that suits it."""
    stream = stream or sys.stdout
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter() if stream.isatty() else InJson())
    log = logging.getLogger("churn")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
    requests.to(stream)


def say(service: Service, settings: Settings) -> None:
    """Log what is about to be served, and what an operator should know of it."""
    log = logging.getLogger("churn")
    model = service.model
    log.info("model %s from %s, threshold %g", model.version, model.path, service.threshold)
    if model.unknown:
        log.warning("the model was made elsewhere: its %s are not known", listed(model.unknown))
    if model.classes[1] not in LEAVING:
        log.warning("the probability is that of class %r", model.classes[1])
    if not settings.api_keys:
        log.warning("no CHURN_API_KEYS set: anyone who reaches the service may use it")


class InJson(logging.Formatter):
    """A JSON object for each of the other messages."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        told = {"time": _at(int(record.created * 1000)), "level": record.levelname.lower()}
        told["message"] = record.getMessage()
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)


def _written(file: int, line: str) -> None:
    os.write(file, line.encode())
