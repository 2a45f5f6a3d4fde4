"""The ASGI side of :class:`churn.web.front.Front`: what every request passes first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders

from churn.errors import RequestError
from churn.service import Answer
from churn.web.front import Exchange, Front, explain_in

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes from which a body is worked on in a thread, so that others, health checks say, don't wait:
#: some ten customers, which take about as long as the way to the thread and back.
LONG = 5_000


class Passage:
    """An ASGI application around another, which finds its exchange at ``churn.exchange``.

    Where ``short``, predictions are answered here and never reach the other.
    """

    def __init__(self, inner: ASGIApp, front: Front, *, short: bool = True) -> None:
        self._inner = inner
        self._front = front
        self._short = short

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # the server starts or stops
            await self._inner(scope, receive, send)
            return
        front, header = self._front, Headers(scope=scope).get
        exchange = front.begin(scope["method"], _path(scope), scope["scheme"], header)
        # what is admitted is what is routed, whatever the server says of a root path
        scope = {**scope, "path": exchange.path, "root_path": "", "churn.exchange": exchange}

        async def start(message: Message) -> None:
            if message["type"] == "http.response.start":
                front.end(exchange, message["status"])
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.update(dict(front.headers(exchange, headers)))
            elif exchange.method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            front.admit(exchange)
            if not (self._short and exchange.method == "POST" and exchange.path == "/predict"):
                await self._inner(scope, receive, start)
                return
            answer = await predict(scope, receive, front)
        except RequestError as error:
            answer = front.refusal(exchange, error)
        except Exception as error:
            answer = front.bug(exchange, error)
            if exchange.status:  # its beginning is under way
                return
        await _send(answer, exchange, start)


class Proxies:
    """Believes what the nearest ``hops`` proxies say of scheme and host, as ProxyFix does."""

    def __init__(self, inner: ASGIApp, hops: int) -> None:
        self._inner = inner
        self._hops = hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as the outermost trusted proxy saw it."""
        if scope["type"] == "http":
            given = Headers(scope=scope)
            scheme = self._told(given, "X-Forwarded-Proto") or scope["scheme"]
            scope = {**scope, "scheme": scheme}
            if host := self._told(given, "X-Forwarded-Host"):
                headers = MutableHeaders(raw=[*scope["headers"]])
                headers["Host"] = host
                scope["headers"] = headers.raw
        await self._inner(scope, receive, send)

    def _told(self, headers: Headers, name: str) -> str:
        told = [part.strip() for part in ",".join(headers.getlist(name)).split(",")]
        return told[-self._hops] if len(told) >= self._hops else ""


async def predict(scope: Scope, receive: Receive, front: Front) -> Answer:
    """Return the answer to a ``POST /predict``.

    :raises RequestError: the request can't be answered.
    """
    headers = Headers(scope=scope)
    query = scope["query_string"].decode("latin-1")
    answer = partial(
        front.service.predict,
        await read_body(receive, front),
        headers.get("Content-Type", ""),
        explain=explain_in(query) if query else None,
        encoding=headers.get("Content-Encoding", ""),
    )
    return await run_in_threadpool(answer) if len(answer.args[0]) >= LONG else answer()


async def read_body(receive: Receive, front: Front) -> bytes:
    """Return the request's body, of a stated length or in chunks.

    :raises RequestError: it is larger than it may be, or breaks off; no more than that was read.
    """
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > front.settings.max_body:
            raise front.too_large()
        if not message.get("more_body"):
            return bytes(body)
    raise RequestError(400, "The body broke off, or its chunks are no chunks.")


def _path(scope: Scope) -> str:
    """Return the path below where the application is mounted, as WSGI's PATH_INFO has it."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path


async def _send(answer: Answer, exchange: Exchange, send: Send) -> None:
    exchange.said = answer.said
    headers = [(name.lower().encode(), text.encode()) for name, text in answer.all_headers()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
