"""Serve a WSGI application with waitress: pure Python, the same on Linux, macOS and Windows."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Any

from waitress.server import create_server

from churn.errors import SettingsError

#: Enough for slow clients; scoring itself takes microseconds.
THREADS = 8


def serve(app: Any, host: str, port: int) -> None:
    """Serve ``app`` until interrupted or told to stop; port 0 takes a free one.

    :raises SettingsError: the port can't be listened on.
    """
    if not 0 <= port <= 65_535:
        raise SettingsError("PORT", str(port), "it must be a whole number from 0 to 65535")
    try:
        server = create_server(
            app,
            host=host,
            port=port,
            threads=THREADS,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
    except OSError as error:
        raise SettingsError("PORT", str(port), _why(error, port)) from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    shown = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104
    print(f"Serving at http://{shown}:{server.effective_port} (stop with Ctrl+C)", flush=True)
    server.run()


def _why(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "another program listens there already: stop it, or choose another port "
            f"with --port {port + 1 if port < 65_535 else 8080}"
        )
    if error.errno == errno.EACCES:
        return "this user may not listen there: choose a port from 1024 up with --port 9696"
    return f"can't listen there ({error}): choose another with --port"
