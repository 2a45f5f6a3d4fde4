"""What surrounds every request, whichever edition serves it.

Who may ask, the id it goes by, the headers that go back, the line in the log, the counts.
"""

from __future__ import annotations

import hmac
import json
import logging
import random
import re
import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from churn.errors import RequestError
from churn.service import JSON, NOTHING, Answer, Said, Service, problem
from churn.settings import Settings
from churn.web.logs import requests
from churn.web.metrics import METHODS, OTHER, ROUTES, Metrics

log = logging.getLogger("churn")

#: The routes that a key guards, where there are keys.
GUARDED = frozenset({"/predict", "/metrics"})

#: The headers of every answer; a page brings its own policy.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

#: What is said where nothing is, and where what is there does not answer to that method.
NOWHERE = "There is nothing at this address; /docs lists what there is."
OTHER_METHOD = "This address does not answer to that method; Allow names those it answers to."

#: What a page's answer has besides: only a document has links to follow and frames to lie in.
PAGE_HEADERS = {"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}

_PAIRS = tuple(HEADERS.items())

#: What a caller's own request id may look like; anything else is replaced, not repeated.
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)

#: What a Host header may look like to stand in an example that people paste into a shell.
_SANE_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}", re.ASCII)

#: What a mistaken caller is shown a right request for.
_SHOW_EXAMPLE = frozenset({400, 401, 405, 415, 422})

Header = Callable[[str], str | None]


@dataclass(slots=True)
class Exchange:
    """One request on its way to an answer."""

    id: str
    method: str
    path: str
    scheme: str
    #: Returns a request's header, or ``None``.
    header: Header
    started: float
    status: int = 0
    said: Said = NOTHING
    #: The method and the path as they are counted.
    verb: str = field(init=False)
    route: str = field(init=False)

    def __post_init__(self) -> None:
        """Tell what callers made up from what there is."""
        self.verb = self.method if self.method in METHODS else OTHER
        self.route = self.path if self.path in ROUTES else OTHER


def new_id() -> str:
    """Return an id for a request: unique for all that matters, and no secret."""
    return f"{random.getrandbits(64):016x}"


def one_slash(path: str) -> str:
    """Return a path as it is routed; a second slash before it must not lead around the keys."""
    return path if path in ROUTES else f"/{path.lstrip('/')}"


def explain_in(query: str) -> str | None:
    """Return the first value that a query string gives ``explain``."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True))).get("explain")


def _no_header(name: str) -> None:
    """Return the header of what is no request."""


def refused_by_server(status: int, detail: str) -> Answer:
    """Return the problem document for what a server refuses before it is a request of ours."""
    exchange = Exchange(new_id(), "-", "", "", _no_header, time.perf_counter(), status)
    requests.tell(exchange, 0.0)
    answer = problem(RequestError(status, detail), exchange.id)
    return replace(answer, headers={**HEADERS, "X-Request-ID": exchange.id})


class Front:
    """The concerns of every request."""

    def __init__(self, service: Service, settings: Settings, metrics: Metrics) -> None:
        self.service = service
        self.settings = settings
        self.metrics = metrics
        self._keys = [key.encode() for key in settings.api_keys]

    def begin(self, method: str, path: str, scheme: str, header: Header) -> Exchange:
        """Return the exchange that a request opens."""
        started = time.perf_counter()
        given = header("X-Request-ID")
        identity = given if given and _SANE_ID.fullmatch(given) else new_id()
        return Exchange(identity, method, one_slash(path), scheme, header, started)

    def admit(self, exchange: Exchange) -> None:
        """Let a request in.

        :raises RequestError: it lacks a key it needs, its body is too large to be read, or there
            is nothing at its address.
        """
        if exchange.path.endswith("\n"):  # Starlette's patterns end in $, which lets one more pass
            raise RequestError(404, NOWHERE)
        header = exchange.header
        if self._keys and exchange.path in GUARDED and not self._holds_key(header):
            raise RequestError(
                401,
                "This needs an API key: send it as 'Authorization: Bearer …' or 'X-API-Key: …'.",
                headers={"WWW-Authenticate": 'Bearer realm="churn"'},
            )
        length = header("Content-Length") or ""
        if length.isdecimal() and int(length[:20]) > self.settings.max_body:
            raise self.too_large()

    def too_large(self) -> RequestError:
        """Return the refusal of a body that is too large."""
        most = self.settings.max_body
        return RequestError(413, f"The body is larger than {most:,} bytes; send it in parts.")

    def refusal(self, exchange: Exchange, error: RequestError) -> Answer:
        """Return the problem document for an error, with a request that would have worked."""
        shown = exchange.path == "/predict" and error.status in _SHOW_EXAMPLE
        return problem(error, exchange.id, self.example(exchange) if shown else None)

    def bug(self, exchange: Exchange, error: Exception) -> Answer:
        """Log what nobody foresaw, and return the problem document that tells nothing of it."""
        log.error("request %s failed", exchange.id, exc_info=error)
        told = "The service failed; its log tells more under this request id."
        return self.refusal(exchange, RequestError(500, told))

    def example(self, exchange: Exchange) -> str:
        """Return a ``curl`` command that this service answers."""
        host = exchange.header("Host") or ""
        if not _SANE_HOST.fullmatch(host):
            host = f"localhost:{self.settings.port}"
        url = f"{exchange.scheme}://{host}/predict"
        words = ["curl", "-X", "POST", url, "-H", f"Content-Type: {JSON}"]
        if self._keys:
            words += ["-H", "Authorization: Bearer YOUR_KEY"]
        return shlex.join([*words, "-d", json.dumps(self.service.model.example)])

    def headers(self, exchange: Exchange, own: Iterable[str]) -> list[tuple[str, str]]:
        """Return the headers an answer lacks, given the names of its own."""
        taken = {name.lower() for name in own}
        rest = [(name, value) for name, value in _PAIRS if name.lower() not in taken]
        return [*rest, ("X-Request-ID", exchange.id)]

    def ended(self, exchange: Exchange, answer: Answer) -> list[tuple[str, str]]:
        """End an exchange with an answer of the service's own; return all headers of it."""
        exchange.said = answer.said
        self.end(exchange, answer.status)
        if answer.headers:
            return [*answer.all_headers(), *self.headers(exchange, answer.headers)]
        return [*answer.all_headers(), *_PAIRS, ("X-Request-ID", exchange.id)]

    def end(self, exchange: Exchange, status: int) -> None:
        """Write the line in the log and count."""
        exchange.status = status
        seconds = time.perf_counter() - exchange.started
        requests.tell(exchange, seconds)
        self.metrics.count(exchange.verb, exchange.route, status, seconds, exchange.said)

    def _holds_key(self, header: Header) -> bool:
        scheme, _, token = (header("Authorization") or "").partition(" ")
        offered = token.strip() if scheme.lower() == "bearer" else header("X-API-Key") or ""
        # every key is compared in full, so that the time taken tells nothing of any
        found = [hmac.compare_digest(offered.encode(), key) for key in self._keys]
        return any(found)
