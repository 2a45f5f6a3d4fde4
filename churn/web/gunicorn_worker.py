"""gunicorn's threaded worker, which answers at once what has come whole.

A request that is there to its end is answered in the worker's own loop: handing it to a thread and
back costs more than the prediction, and threads that take turns cost more still. Only what must be
waited for, large bodies and slow clients, gets a thread. A connection on which nothing was said
yet, or whose end is slow to come, holds none; and what the worker itself refuses is a problem
document.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import socket
import time
from concurrent.futures import Future
from typing import Any

from gunicorn.http import errors
from gunicorn.workers import gthread

from churn.web.front import refused_by_server

#: What gunicorn refuses by itself, where 400 would not say it.
_STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.UnsupportedTransferCoding: 501,
    errors.ForbiddenProxyRequest: 403,
}

#: Most bytes of a request that is answered at once, as many as the parser asks for in one go: some
#: fifteen customers, scored and explained in 4 ms.
_MOST = 8192

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,4})[ \t]*\r\n")


#: How many connections each worker has, and one more; 0 where there is no worker. It is made before
#: the workers are, so they share it.
_OPEN = memoryview(mmap.mmap(-1, 64 * 8)).cast("q")

#: Seconds in which another worker takes a connection, if it has fewer.
_BREATH = 0.002


class Line:
    """A connection's socket that gives what has come, and can hold back what goes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._come = b""
        self._held: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        """Be the socket in all else."""
        return getattr(self._sock, name)

    @property
    def silent(self) -> bool:
        """Whether nothing has come that waits to be read."""
        return not self._come

    def has_request(self) -> bool:
        """Take in what has come, and return whether it is a request to its end, or the end."""
        try:
            come = self._sock.recv(_MOST - len(self._come), socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True  # reading says so again, where it is looked after
        self._come += come
        return not come or _is_whole(self._come)

    def hold(self) -> None:
        """Hold back from now on what is sent."""
        self._held = []

    def let_go(self) -> bytes:
        """Send what was held back as far as that goes without waiting; return the rest."""
        going, self._held = b"".join(self._held or ()), None
        try:
            return going[self._sock.send(going, socket.MSG_DONTWAIT) :] if going else b""
        except (BlockingIOError, InterruptedError):
            return going

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what has come."""
        if not self._come:
            return self._sock.recv(size, flags)
        come, self._come = self._come[:size], self._come[size:]
        return come

    def sendall(self, data: bytes) -> None:
        """Send all, or hold it back."""
        if self._held is None:
            self._sock.sendall(data)
        else:
            self._held.append(data)

    send = sendall  # gunicorn's "100 Continue" doesn't ask how far it came

    def setblocking(self, flag: bool) -> None:
        """Let reading and sending wait, unless sending is held back and all to be read is here."""
        if self._held is None:
            self._sock.setblocking(flag)


def _is_whole(come: bytes) -> bool:
    """Return whether bytes hold a request to its end; ``False`` where only a parser can tell."""
    head, found, body = come.partition(b"\r\n\r\n")
    if not found:
        return False
    head = head.lower() + b"\r\n"
    if b"content-length" not in head:
        return b"transfer-encoding" not in head
    length = _LENGTH.search(head)
    if length is None or head.count(b"content-length") > 1 or b"transfer-encoding" in head:
        return False
    return len(body) >= int(length[1])


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """A gthread worker with an answer at once for what has come whole."""

    def init_process(self) -> None:
        """Serve, with the settings at hand: gunicorn looks each up in a table, dozens a request."""
        for name, each in self.cfg.settings.items():
            self.cfg.__dict__[name] = each.get()
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Take a connection, unless a worker that has fewer is there to take it.

        The worker that is awake would else take all that come at once, and keep them.
        """
        others = [count for at, count in enumerate(_OPEN) if count and at != self._place]
        if others and self.nr_conns >= min(others):
            time.sleep(_BREATH)
        super().accept(listener)
        _OPEN[self._place] = self.nr_conns + 1

    def notify(self) -> None:
        """Tell the arbiter that the worker is alive, and the others how much it has to do."""
        _OPEN[self._place] = self.nr_conns + 1
        super().notify()

    def run(self) -> None:
        """Serve until told to stop."""
        try:
            super().run()
        finally:
            leave(self)

    @property
    def _place(self) -> int:
        return int(self.age) % len(_OPEN)

    def enqueue_req(self, conn: Any) -> None:
        """See to a connection that has something to read, or is new."""
        if self.cfg.is_ssl or conn.is_http2 or (conn.parser and conn.parser.unreader.buf.tell()):
            super().enqueue_req(conn)
            return
        if not isinstance(conn.sock, Line):
            conn.sock = Line(conn.sock)
        if conn.sock.has_request():
            self._answer(conn)
        elif conn.sock.silent and not conn.initialized:
            self.finish_request(conn, _done(gthread._DEFER))
        else:
            conn.data_ready = True  # what has come is with us, and no more may be to come
            super().enqueue_req(conn)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """See to a connection that was kept alive."""
        if isinstance(client, Line) and self.alive and client.has_request():
            self._answer(conn, client)
        else:
            super().on_client_socket_readable(conn, client)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """See to a connection after its answer; one that closes may take its time in a thread."""
        if not fs.cancelled() and not fs.exception() and not fs.result():
            self.nr_conns -= 1
            self.tpool.submit(conn.close, graceful=True)
        else:
            super().finish_request(conn, fs)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer bytes that are no request, or a request whose answer broke."""
        if isinstance(exc, errors.ParseException):
            status, detail = _STATUSES.get(type(exc), 400), str(exc) or "This is no HTTP request."
        else:
            self.log.exception("Error handling a request")
            status, detail = 500, "The service failed; its log tells more."
        with contextlib.suppress(OSError):  # the caller may be gone
            client.sendall(refused_by_server(status, detail).as_http())

    def _answer(self, conn: Any, watched: Line | None = None) -> None:
        """Answer a request that has come whole; the poller may be watching its connection."""
        conn.data_ready = True
        conn.sock.hold()
        stays = self.handle(conn)
        try:
            rest = conn.sock.let_go()
        except OSError:  # the caller is gone
            stays, rest = False, b""
        if watched is not None:
            self.keepalived_conns.remove(conn)
            if stays and not rest and not conn.parser.unreader.buf.tell():
                conn.set_timeout()
                self.keepalived_conns.append(conn)
                return
            self.poller.unregister(watched)
        if rest:
            sent = self.tpool.submit(_send, conn.sock, rest, stays)
            sent.add_done_callback(
                lambda done: self.method_queue.defer(self.finish_request, conn, done)
            )
        else:
            self.finish_request(conn, _done(stays))

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Return whether the connection stays open; a body read to its end needs no looking for."""
        body = conn.parser.mesg.body
        if keepalive and not body.failed and getattr(body.reader, "length", None) == 0:
            conn.parser.mesg = None
            return True
        return bool(super()._keepalive_after(conn, keepalive))

    def _cap_keepalive(self, deadline: float) -> None:
        """Close by ``deadline`` also what never said anything, when the worker stops."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)


def leave(worker: Any) -> None:
    """Forget a worker that is no more."""
    _OPEN[worker.age % len(_OPEN)] = 0


def _done(result: Any) -> Future[Any]:
    """Return what a thread would have returned."""
    done: Future[Any] = Future()
    done.set_result(result)
    return done


def _send(line: Line, rest: bytes, result: Any) -> Any:
    """Send the rest, however long the caller takes, and return ``result``."""
    line.setblocking(True)
    line.sendall(rest)
    return result
