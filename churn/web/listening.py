"""Where a program listens: what its command line says, and why that can't be."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from churn.errors import SettingsError

if TYPE_CHECKING:
    import argparse

#: What resolving a name that nobody has ends in.
_NO_NAME = (socket.EAI_NONAME, socket.EAI_AGAIN)


def options(program: str, description: str, examples: str) -> argparse.Namespace:
    """Return what a serving program's command line asks for: ``host`` and, perhaps, ``port``."""
    import argparse  # a server that imports the program has a command line of its own

    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on (default: all)")  # noqa: S104
    parser.add_argument("--port", type=int, help="port to listen on (default: PORT, or else 9696)")
    return parser.parse_args()


def check(port: int) -> None:
    """Let a port through; 0 stands for a free one.

    :raises SettingsError: it is no port.
    """
    if not 0 <= port <= 65_535:
        raise SettingsError("PORT", str(port), "it must be a whole number from 0 to 65535")


def no_address(host: str) -> SettingsError:
    """Return the error that says that this machine is not ``host``."""
    wanted = "this machine has no such address: leave --host out to listen on all it has"
    return SettingsError("--host", host, wanted)


def unusable(host: str, port: int, error: OSError) -> SettingsError:
    """Return the error that says why nothing can listen on ``port`` at ``host``."""
    if error.errno in (errno.EADDRNOTAVAIL, *_NO_NAME):
        return no_address(host)
    return SettingsError("PORT", str(port), _why(port, error))


def shown(host: str, port: int) -> str:
    """Return where a person finds what listens there."""
    name = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104
    name = f"[{name}]" if ":" in name else name
    return f"Serving at http://{name}:{port} (stop with Ctrl+C)"


def _why(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "another program listens there already: stop it, or choose another port "
            f"with --port {port + 1 if port < 65_535 else 8080}"
        )
    if error.errno == errno.EACCES:
        return "this user may not listen there: choose a port from 1024 up with --port 9696"
    return f"can't listen there ({error}): choose another with --port"
