"""Serve an ASGI application with uvicorn, with problem documents for what is no request."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from churn.web import listening
from churn.web.front import refused_by_server

#: Seconds: longer than what stands in front keeps a connection (nginx and AWS 60, Fly.io 60).
KEEP_ALIVE = 75

#: Seconds until requests at work are let go: docker stop kills after ten.
GRACE = 8


class _Protocol(HttpToolsProtocol):
    """uvicorn's own refusal as a problem document."""

    def send_400_response(self, msg: str) -> None:
        self.transport.write(refused_by_server(400, msg).as_http())
        self.transport.close()


def serve(app: Any, host: str, port: int) -> None:
    """Serve ``app`` until interrupted or told to stop; port 0 takes a free one.

    :raises SettingsError: the address or the port can't be listened on.
    """
    listening.check(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        door = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise listening.unusable(host, port, error) from error
    config = Config(
        app,
        http=_Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        # proxies are judged in one place for all servers, the application's own
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    print(listening.shown(host, door.getsockname()[1]), flush=True)
    # uvicorn ends, and then sends itself the signal that it was ended by
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run(sockets=[door])
