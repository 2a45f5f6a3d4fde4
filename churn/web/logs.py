"""The log: one line a request, JSON for machines, words on a terminal; never a customer's data."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

from churn.errors import listed
from churn.service import Service
from churn.settings import Settings

#: Classes that plainly mean that a customer left.
LEAVING = frozenset({1, "1", "yes", "true", "churn", "churned", "left"})


def configure(stream: TextIO | None = None) -> None:
    """Send the log to ``stream`` (standard output by default), in the form that suits it."""
    stream = stream or sys.stdout
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Words() if stream.isatty() else Lines())
    log = logging.getLogger("churn")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


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


def _told(record: logging.LogRecord) -> dict[str, object]:
    """Return what a line tells: of a request its figures, of anything else its words."""
    exchange = getattr(record, "exchange", None)
    if exchange is None:
        told: dict[str, object] = {
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = logging.Formatter().formatException(record.exc_info)
        return told
    said = exchange.said
    told = {
        "id": exchange.id,
        "method": exchange.verb,
        "route": exchange.route,
        "status": exchange.status,
        "ms": round(record.__dict__["seconds"] * 1000, 3),
    }
    if said.customers:
        told |= {"customers": said.customers, "churn": said.churning}
    if said.refused:
        told["refused"] = sum(said.refused.values())
    return told


class Lines(logging.Formatter):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; the time is ISO 8601 in UTC."""
        second = int(record.created)
        at = f"{_in_utc(second)}.{int((record.created - second) * 1000):03}+00:00"
        exchange = getattr(record, "exchange", None)
        if exchange is None or exchange.said.refused:
            return json.dumps({"time": at, **_told(record)})
        # by far the most lines; an encoder takes as long as the prediction, and nothing in them
        # needs an escape: an id is made of a few plain characters, the rest are words of our own
        said, ms = exchange.said, round(record.__dict__["seconds"] * 1000, 3)
        scored = f', "customers": {said.customers}, "churn": {said.churning}'
        return (
            f'{{"time": "{at}", "id": "{exchange.id}", "method": "{exchange.verb}", '
            f'"route": "{exchange.route}", "status": {exchange.status}, "ms": {ms}'
            f"{scored if said.customers else ''}}}"
        )


@lru_cache(1)
def _in_utc(second: int) -> str:
    """Return a second since 1970 as ISO 8601; many lines have it in common."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Words(logging.Formatter):
    """Text to read on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as words; the time is local."""
        told = _told(record)
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        if "message" in told:
            return "\n".join(str(told[key]) for key in ("message", "traceback") if key in told)
        request = f"{at} {told.pop('method')} {told.pop('route')} {told.pop('status')}"
        identity = told.pop("id")
        rest = ", ".join(f"{name} {value}" for name, value in told.items())
        return f"{request}  {rest}  {identity}"
