"""The Flask edition: routes of a few lines around the service."""

from __future__ import annotations

import logging
import re
import secrets

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from churn.errors import RequestError
from churn.service import TITLES, Answer, Service, problem
from churn.settings import Settings

log = logging.getLogger("churn")

#: What a caller's own request id may look like; anything else is replaced, not repeated.
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)


def create_app(service: Service, settings: Settings) -> Flask:
    """Return the WSGI application."""
    app = Flask("churn", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body

    @app.before_request
    def identify() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        return response

    @app.get("/ping")
    def ping() -> Response:
        return Response("PONG", mimetype="text/plain")

    @app.get("/health")
    def health() -> Response:
        return respond(service.health())

    @app.get("/ready")
    def ready() -> Response:
        return respond(service.ready())

    @app.post("/predict")
    def predict() -> Response:
        return respond(
            service.predict(
                request.get_data(cache=False),
                request.content_type or "",
                explain=request.args.get("explain"),
                encoding=request.headers.get("Content-Encoding", ""),
            )
        )

    @app.errorhandler(RequestError)
    def refuse(error: RequestError) -> Response:
        return respond(problem(error, g.request_id))

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        status = error.code if error.code in TITLES else 400
        headers = dict(error.get_headers()) if status == 405 else {}
        headers.pop("Content-Type", None)
        return refuse(RequestError(status, error.description or "", headers=headers))

    @app.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        log.exception("request %s failed", g.request_id)
        return refuse(
            RequestError(500, "The service failed; the log tells more under this request id.")
        )

    return app


def respond(answer: Answer) -> Response:
    """Return an answer as Flask's response."""
    return Response(
        answer.body, answer.status, headers=dict(answer.headers), content_type=answer.media
    )
