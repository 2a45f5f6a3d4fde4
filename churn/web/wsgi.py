"""The WSGI side of :class:`churn.web.front.Front`: what every request passes first."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from churn.errors import RequestError
from churn.service import Answer
from churn.web.front import Exchange, Front, Header, explain_in

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class Passage:
    """A WSGI application around another, which finds its exchange at ``churn.exchange``.

    Where ``short``, predictions are answered here and never reach the other.
    """

    def __init__(self, inner: WSGIApplication, front: Front, *, short: bool = True) -> None:
        self._inner = inner
        self._front = front
        self._short = short

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        front = self._front
        method, scheme = environ["REQUEST_METHOD"], environ["wsgi.url_scheme"]
        header = header_of(environ)
        exchange = front.begin(method, environ.get("PATH_INFO", ""), scheme, header)
        answer = None
        try:
            front.admit(exchange)
            if self._short and method == "POST" and exchange.path == "/predict":
                answer = predict(environ, front)
        except RequestError as error:
            answer = front.refusal(exchange, error)
        except Exception as error:
            answer = front.bug(exchange, error)
        if answer is None:
            return self._around(exchange, environ, start_response)
        start_response(answer.status_line, front.ended(exchange, answer))
        return [answer.body]

    def _around(
        self, exchange: Exchange, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Return what the application within answers."""
        front = self._front
        environ["churn.exchange"] = exchange

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            front.end(exchange, int(status[:3]))
            lacking = front.headers(exchange, (name for name, _ in headers))
            return start_response(status, [*headers, *lacking], exc_info)

        return self._inner(environ, start)


def predict(environ: WSGIEnvironment, front: Front) -> Answer:
    """Return the answer to a ``POST /predict``.

    :raises RequestError: the request can't be answered.
    """
    query = environ.get("QUERY_STRING")
    return front.service.predict(
        read_body(environ, front),
        environ.get("CONTENT_TYPE", ""),
        explain=explain_in(query) if query else None,
        encoding=environ.get("HTTP_CONTENT_ENCODING", ""),
    )


def read_body(environ: WSGIEnvironment, front: Front) -> bytes:
    """Return the request's body, of a stated length or in chunks.

    :raises RequestError: it is larger than it may be (no more than that was read), or broken.
    """
    stated = environ.get("CONTENT_LENGTH") or ""
    wanted = front.settings.max_body + 1
    if stated.isdecimal():
        wanted = min(wanted, int(stated))
    elif not environ.get("wsgi.input_terminated"):  # not chunked: nobody knows where it ends
        return b""
    body = b""
    try:
        read = environ["wsgi.input"].read
        while (left := wanted - len(body)) and (part := read(left)):
            body += part
    except Exception as error:  # each server has its own for a bad chunk, or a caller gone
        raise RequestError(400, "The body broke off, or its chunks are no chunks.") from error
    if len(body) > front.settings.max_body:
        raise front.too_large()
    return body


def header_of(environ: WSGIEnvironment) -> Header:
    """Return the function that finds a request's header."""

    def header(name: str) -> str | None:
        found: str | None = environ.get(_key(name))
        return found

    return header


@cache
def _key(header: str) -> str:
    """Return the name that a header goes by in an environ."""
    key = header.upper().replace("-", "_")
    return key if key == "CONTENT_LENGTH" else f"HTTP_{key}"
