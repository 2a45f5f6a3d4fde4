"""The interactive documentation: Swagger UI from an installed package, with no internet."""

from __future__ import annotations

import json
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from churn.errors import RequestError
from churn.service import JSON, Answer, Service
from churn.settings import Settings
from churn.web.front import NOWHERE, PAGE_HEADERS

#: Swagger UI draws with inline styles and data images; scripts are files of ours alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Churn prediction: API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""

_START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
});
"""

#: What Swagger UI's package gives, by name; no other file of it is served.
_PACKAGED = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


class Docs:
    """``/openapi.json`` and ``/docs``."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    def openapi(self) -> Answer:
        """Return the OpenAPI document."""
        return self._openapi

    @cached_property
    def _openapi(self) -> Answer:
        from churn.web.openapi import document  # only who asks for it needs it, and start-up counts

        described = json.dumps(document(self._service, self._settings), indent=1, allow_nan=False)
        return Answer(described.encode(), JSON)

    def asset(self, name: str) -> Answer:
        """Return the page (named by nothing), or a file of its.

        :raises RequestError: there is no file of that name.
        """
        if not name:
            headers = {**PAGE_HEADERS, "Content-Security-Policy": _POLICY}
            return Answer(_PAGE.encode(), "text/html; charset=utf-8", headers=headers)
        if name == "start.js":
            return Answer(_START.encode(), "text/javascript; charset=utf-8", headers=_CACHED)
        found = find_spec("flask_swagger_ui")
        if name not in _PACKAGED or found is None or found.origin is None:
            raise RequestError(404, NOWHERE)
        content = Path(found.origin).with_name("dist") / name
        return Answer(content.read_bytes(), _PACKAGED[name], headers=_CACHED)


_CACHED = {"Cache-Control": "public, max-age=86400"}
