"""The WSGI side of :class:`churn.web.front.Front`: what every request passes first."""

from __future__ import annotations

from collections.abc import Iterable
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
        if self._short and method == "POST" and exchange.path == "/predict":
            answer = self._predicted(exchange, environ)
            exchange.said = answer.said
            return send(answer, start)
        return self._inner(environ, start)

    def _predicted(self, exchange: Exchange, environ: WSGIEnvironment) -> Answer:
        """Return the answer to a prediction, without the framework on the way."""
        try:
            return predict(environ, self._front)
        except RequestError as error:
            return self._front.refusal(exchange, error)
        except Exception as error:
            return self._front.bug(exchange, error)


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


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Return an answer as WSGI's body, once its status and headers are under way."""
    start_response(f"{answer.status} {answer.title}", answer.all_headers())
    return [answer.body]


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
    parts: list[bytes] = []
    try:
        while wanted > 0 and (part := environ["wsgi.input"].read(wanted)):
            parts.append(part)
            wanted -= len(part)
    except Exception as error:  # each server has its own for a bad chunk, or a caller gone
        raise RequestError(400, "The body broke off, or its chunks are no chunks.") from error
    body = b"".join(parts)
    if len(body) > front.settings.max_body:
        raise front.too_large()
    return body


def header_of(environ: WSGIEnvironment) -> Header:
    """Return the function that finds a request's header."""

    def header(name: str) -> str | None:
        key = name.upper().replace("-", "_")
        found = environ.get(key if key == "CONTENT_LENGTH" else f"HTTP_{key}")
        return None if found is None else str(found)

    return header
