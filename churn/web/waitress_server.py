"""Serve a WSGI application with waitress: pure Python, the same on Linux, macOS and Windows."""

from __future__ import annotations

import select
import signal
import sys
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer, create_server
from waitress.task import ErrorTask

from churn.settings import Settings
from churn.web import listening
from churn.web.front import refused_by_server

#: Enough for slow clients; scoring itself takes microseconds.
THREADS = 8


class _Refusal(ErrorTask):  # type: ignore[misc]
    """waitress's own refusals (a body too large, no HTTP at all) as problem documents."""

    def execute(self) -> None:
        found = self.request.error
        answer = refused_by_server(found.code, f"{found.reason}: {found.body}.")
        self.status = answer.status_line
        self.response_headers.extend(answer.all_headers())
        self.set_close_on_finish()
        self.content_length = len(answer.body)
        self.write(answer.body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _Refusal


def serve(app: Any, settings: Settings, host: str, port: int) -> None:
    """Serve ``app`` until interrupted or told to stop; port 0 takes a free one.

    :raises SettingsError: the address or the port can't be listened on.
    """
    listening.check(port)
    polls = hasattr(select, "poll")
    sockets: dict[int, Any] = {}
    try:
        server = create_server(
            app,
            map=sockets,
            host=host,
            port=port,
            threads=THREADS,
            # the application refuses what is too large; this is only what waitress won't even hold
            max_request_body_size=2 * settings.max_body,
            ident=None,
            # clients that are silent, or slow, cost a connection each and no thread
            connection_limit=1_000 if polls else 500,  # Windows can select among 512
            asyncore_use_poll=polls,
            # proxies are judged in one place for all servers, the application's own
            clear_untrusted_proxy_headers=False,
        )
    except ValueError as error:  # waitress's word for a host that has no address
        raise listening.no_address(host) from error
    except OSError as error:
        raise listening.unusable(host, port, error) from error
    # a name such as localhost may stand for several addresses, with a socket each
    found = [each for each in sockets.values() if isinstance(each, TcpWSGIServer)]
    for each in found:
        each.channel_class = _Channel
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(listening.shown(host, found[0].effective_port), flush=True)
    server.run()
