"""The WSGI side of :class:`churn.web.front.Front`: what every request passes first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from churn.errors import RequestError
from churn.service import TITLES, Answer
from churn.web.front import Front, Header

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class Passage:
    """A WSGI application around another, which finds its exchange at ``churn.exchange``."""

    def __init__(self, inner: WSGIApplication, front: Front) -> None:
        self._inner = inner
        self._front = front

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        front, header = self._front, header_of(environ)
        method, scheme = environ["REQUEST_METHOD"], environ["wsgi.url_scheme"]
        exchange = front.begin(method, environ.get("PATH_INFO", ""), scheme, header)
        environ["churn.exchange"] = exchange

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            front.end(exchange, int(status[:3]))
            return start_response(
                status, [*headers, *front.headers(exchange, dict(headers)).items()], exc_info
            )

        try:
            front.admit(exchange, header)
        except RequestError as error:
            return send(front.refusal(exchange, error), start)
        return self._inner(environ, start)


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Return an answer as WSGI's body, once its status and headers are under way."""
    status = f"{answer.status} {TITLES.get(answer.status, 'OK')}"
    length = str(len(answer.body))
    start_response(
        status,
        [("Content-Type", answer.media), ("Content-Length", length), *answer.headers.items()],
    )
    return [answer.body]


def header_of(environ: WSGIEnvironment) -> Header:
    """Return the function that finds a request's header."""

    def header(name: str) -> str | None:
        key = name.upper().replace("-", "_")
        found = environ.get(key if key == "CONTENT_LENGTH" else f"HTTP_{key}")
        return None if found is None else str(found)

    return header
