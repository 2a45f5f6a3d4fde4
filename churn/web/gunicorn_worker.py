"""gunicorn's threaded worker, with problem documents for what never becomes a request."""

from __future__ import annotations

import contextlib
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from churn.web.front import refused_by_server

#: What gunicorn refuses by itself, where 400 would not say it.
_STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.UnsupportedTransferCoding: 501,
    errors.ForbiddenProxyRequest: 403,
}


class Worker(ThreadWorker):  # type: ignore[misc]
    """A gthread worker whose own refusals look like the service's."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer bytes that are no request, or a request whose answer broke."""
        if isinstance(exc, errors.ParseException):
            status, detail = _STATUSES.get(type(exc), 400), str(exc) or "This is no HTTP request."
        else:
            self.log.exception("Error handling a request")
            status, detail = 500, "The service failed; its log tells more."
        with contextlib.suppress(OSError):  # the caller may be gone
            client.sendall(refused_by_server(status, detail).as_http())
