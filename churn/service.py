"""The service: request bodies in, answers out.

It knows no web framework, so every edition is a few lines around it, and all of them answer alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from churn import table
from churn.advice import changes
from churn.artifact import FORMAT
from churn.errors import (
    ChurnError,
    CustomerError,
    Problem,
    RequestError,
    in_words,
    shortened,
)
from churn.model import Model
from churn.quick import Quick
from churn.schema import Customer, repeated
from churn.scorecard import Reason, in_short
from churn.settings import Settings

JSON = "application/json"
PROBLEM = "application/problem+json"
CSV = "text/csv"
TEXT = "text/plain; charset=utf-8"

#: Names the fields, percent-encoded, whose numbers lie outside what training saw: the answer is
#: given, but it is a guess.
UNSEEN = "X-Unseen-Range"

#: What a body may call itself. A bare ``curl -d`` sends a form's type, and means JSON.
_JSON_TYPES = frozenset({"", JSON, "application/x-www-form-urlencoded"})

#: Titles of the statuses, the same whatever the Python (3.13 renamed two).
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


_STATUS_LINES = {status: f"{status} {title}" for status, title in ((200, "OK"), *TITLES.items())}


@dataclass(slots=True, eq=False)
class Said:
    """What an answer said of the customers in it, for the log and the metrics."""

    probabilities: list[float] = field(default_factory=list)
    churning: int = 0
    #: How often each field was refused.
    refused: dict[str, int] = field(default_factory=dict)
    #: How often each field's number lay outside what training saw.
    outside: dict[str, int] = field(default_factory=dict)

    @property
    def customers(self) -> int:
        """How many customers got a probability."""
        return len(self.probabilities)

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Count the fields refused."""
        for problem in problems:
            self.refused[problem.field] = self.refused.get(problem.field, 0) + 1


#: What is said of customers where there are none.
NOTHING = Said()


@dataclass(slots=True)
class Answer:
    """What goes back to the caller."""

    body: bytes
    media: str = JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    #: For the log and the metrics; the caller never sees it.
    said: Said = NOTHING

    @property
    def status_line(self) -> str:
        """The status, in figures and in words."""
        return _STATUS_LINES[self.status]

    def all_headers(self) -> list[tuple[str, str]]:
        """Return its headers, those of its body among them."""
        length = str(len(self.body))
        own = self.headers.items()
        return [("Content-Type", self.media), ("Content-Length", length), *own]

    def as_http(self) -> bytes:
        """Return the bytes that end a connection with it, for servers that have no more to say."""
        lines = [f"HTTP/1.1 {self.status_line}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.all_headers()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class Service:
    """One model, answering."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        asked = settings.threshold
        self.threshold = model.manifest.threshold if asked is None else asked
        card = model.scorecard
        self._quick = Quick(model.schema, card) if card else None

    def predict(
        self, body: bytes, content_type: str = "", *, explain: str | None = None, encoding: str = ""
    ) -> Answer:
        """Return the answer to a ``POST /predict``.

        ``explain`` is the query's value of that name, ``encoding`` the ``Content-Encoding``.

        :raises RequestError: the request can't be answered; says why, and with which status.
        """
        if encoding and encoding.strip().lower() not in ("", "identity"):
            raise RequestError(
                415,
                f"The body is compressed ({encoding.strip()[:20]}); send it as it is.",
                headers={"Accept-Encoding": "identity"},
            )
        reasons = explain is not None and _flag("explain", explain)
        media = _media(content_type)
        if media == CSV:
            return self._csv(body, reasons)
        if media not in _JSON_TYPES and not media.endswith("+json"):
            raise RequestError(
                415,
                f"The body is {media}; send a customer as {JSON}, or a table as {CSV}.",
                headers={"Accept": f"{JSON}, {CSV}"},
            )
        return self._json(body, reasons)

    def ping(self) -> Answer:
        """Return PONG."""
        return Answer(b"PONG", TEXT)

    def health(self) -> Answer:
        """Return that the process is alive."""
        return told({"status": "ok"})

    def ready(self) -> Answer:
        """Return whether the model still reproduces its golden customers, with its version."""
        try:
            self.model.prove()
        except ChurnError as error:
            raise RequestError(503, str(error)) from error
        return told({"status": "ready", "model": self.model.version})

    def model_card(self) -> Answer:
        """Return the public part of what is known of the model; its golden customers are not."""
        manifest = self.model.manifest
        return told(
            {
                "format": FORMAT,
                "model": manifest.model,
                "version": self.model.version,
                "sha256": self.model.sha256,
                "trained": manifest.trained,
                "target": manifest.target,
                "threshold": self.threshold,
                "explains": self.model.scorecard is not None,
                "actionable": list(manifest.actionable),
                "schema": self.model.schema.to_json(),
                "metrics": manifest.metrics,
                "data": manifest.data,
                "libraries": manifest.libraries,
                "unknown": self.model.unknown,
            }
        )

    def answer(self, customer: Customer, explain: bool, said: Said) -> dict[str, Any]:
        """Return what is told of one clean customer, and note it in ``said``."""
        probability = self.model.scorer.probability(customer)
        churn = probability >= self.threshold
        self._note(customer, probability, said)
        answer: dict[str, Any] = {"churn_probability": probability, "churn": churn}
        if explain:
            base, reasons = self._reasons(customer)
            answer["reasons"] = [vars(reason) for reason in reasons]
            answer["base"] = base
            better = changes(self.model, customer) if churn else []
            answer["changes"] = [vars(change) for change in better]
        return answer

    def _reasons(self, customer: Customer) -> tuple[float, list[Reason]]:
        card = self.model.scorecard
        if card is None:
            raise RequestError(
                422, "This model is no scorecard and can't explain itself; leave out explain."
            )
        return card.reasons(customer)

    def _note(self, customer: Customer, probability: float, said: Said) -> None:
        said.probabilities.append(probability)
        said.churning += probability >= self.threshold
        for name in self.model.schema.outside(customer):
            said.outside[name] = said.outside.get(name, 0) + 1

    def _json(self, body: bytes, explain: bool) -> Answer:
        if self._quick and not explain and (quick := self._quickly(body, self._quick)):
            return quick
        found = parsed(body)
        said = Said()
        if isinstance(found, dict):
            return told(self.answer(self._checked(found), explain, said), said=said)
        if not isinstance(found, list):
            raise RequestError(
                400, "The body must be a customer as a JSON object, or an array of customers."
            )
        self._limit(len(found))
        customers: list[Customer] = []
        problems: list[Problem] = []
        for index, record in enumerate(found):
            try:
                customers.append(self._checked(record))
            except CustomerError as error:
                problems += [replace(each, index=index) for each in error.problems]
        if problems:
            raise CustomerError(_told_once(problems))
        return told([self.answer(customer, explain, said) for customer in customers], said=said)

    def _quickly(self, body: bytes, quick: Quick) -> Answer | None:
        """Return the answer to a body of customers in the model's own spelling, or ``None``."""
        if body.startswith(b"{"):
            probability = quick.one(body)
            if probability is None:
                return None
            churn = probability >= self.threshold
            said = Said([probability], int(churn))
            return Answer(_as_json(probability, churn).encode(), said=said)
        if not body.startswith(b"[") or body.count(b"{") > self.settings.max_customers:
            return None
        probabilities = quick.many(body)
        if not probabilities:
            return None
        verdicts = [probability >= self.threshold for probability in probabilities]
        answers = ", ".join(map(_as_json, probabilities, verdicts))
        return Answer(f"[{answers}]".encode(), said=Said(probabilities, sum(verdicts)))

    def _csv(self, body: bytes, explain: bool) -> Answer:
        rows = table.read(_text(body))
        header = rows.header.cells
        self._limit(len(rows.records))
        self.model.schema.check_columns(header, strict=self.settings.strict)
        said = Said()
        cells, errors = [], []
        for record in rows.records:
            try:
                customer = self._row(header, record)
            except CustomerError as error:
                said.refuse(error.problems)
                errors.append("; ".join(map(in_words, error.problems)))
                cells.append(["", "", *[""] * explain])
                continue
            answer = self.answer(customer, False, said)
            errors.append("")
            cells.append([repr(answer["churn_probability"]), str(answer["churn"]).lower()])
            if explain:
                cells[-1].append(in_short(self._reasons(customer)[1]))
        names = ["churn_probability", "churn", *["reasons"] * explain]
        if any(errors):
            names.append("error")
            cells = [[*row, error] for row, error in zip(cells, errors, strict=True)]
        written = table.written(rows, names, cells).encode()
        return Answer(written, f"{CSV}; charset=utf-8", headers=_notes(said), said=said)

    def _row(self, header: tuple[str, ...], record: table.Record) -> Customer:
        if len(record.cells) != len(header):
            cells, columns = len(record.cells), len(header)
            raise CustomerError(
                [Problem("row", f"has {cells} cells, where the header has {columns}")]
            )
        return self._checked(dict(zip(header, record.cells, strict=True)))

    def _checked(self, record: Any) -> Customer:
        if not isinstance(record, dict):
            raise CustomerError([Problem("customer", "is not a JSON object", record)])
        return self.model.schema.check(record, strict=self.settings.strict)

    def _limit(self, customers: int) -> None:
        most = self.settings.max_customers
        if customers > most:
            raise RequestError(
                413, f"The body holds {customers:,} customers; send at most {most:,} at a time."
            )


def told(document: Any, said: Said = NOTHING) -> Answer:
    """Return an answer of JSON."""
    body = json.dumps(document, allow_nan=False).encode()
    return Answer(body, headers=_notes(said), said=said)


def _told_once(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems, with what is allowed told at each field's first.

    Else a small body of many bad customers would get an answer hundreds of times its size.
    """
    told_of: set[str] = set()
    shorter = []
    for each in problems:
        shorter.append(replace(each, allowed=None) if each.field in told_of else each)
        told_of.add(each.field)
    return shorter


def _as_json(probability: float, churn: bool) -> str:
    """Return what :func:`told` makes of one answer, to the byte."""
    verdict = "true" if churn else "false"
    return f'{{"churn_probability": {probability!r}, "churn": {verdict}}}'


def _notes(said: Said) -> dict[str, str]:
    """Return the header that names the fields whose numbers training never saw, if any."""
    return {UNSEEN: ", ".join(map(quote, said.outside))} if said.outside else {}


def problem(error: RequestError, request_id: str, example: str | None = None) -> Answer:
    """Return the problem document (RFC 9457) that tells of an error."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES[error.status],
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
    }
    said = Said()
    if isinstance(error, CustomerError):
        document["errors"] = [each.to_json() for each in error.problems]
        said.refuse(error.problems)
    if example is not None:
        document["example"] = example
    body = json.dumps(document, allow_nan=False).encode()
    return Answer(body, PROBLEM, error.status, error.headers, said)


def parsed(body: bytes) -> Any:
    """Return what a JSON body holds.

    NaN, infinities and endless numbers get through, so that the field that holds one can say so.

    :raises RequestError: it is not UTF-8, not JSON, or says one key twice.
    """
    text = _text(body)
    if not text.strip():
        raise RequestError(400, "The body is empty; send a customer as a JSON object.")
    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise RequestError(
            400, f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError:
        raise RequestError(400, "The body is nested too deeply to be a customer.") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise RequestError(400, "The body holds a number of too many digits.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        twice = next(repeated(key for key, _ in pairs))
        raise RequestError(400, f"The body says {shortened(twice)!r} twice.")
    return record


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            400, f"The body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}."
        ) from error


@lru_cache(64)
def _media(content_type: str) -> str:
    """Return the media type a body claims, its parameters checked and left out."""
    media, *parameters = [part.strip().lower() for part in content_type.split(";")]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise RequestError(415, f"The body claims the charset {shortened(value)}; send UTF-8.")
    return media


def _flag(name: str, value: str) -> bool:
    if value.lower() in ("false", "0", "no"):
        return False
    if value.lower() in ("", "true", "1", "yes"):
        return True
    raise RequestError(400, f"{name} is {shortened(value)!r}; it must be true or false.")
