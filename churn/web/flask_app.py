"""The Flask edition: routes of a few lines around the service."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from churn.errors import RequestError
from churn.service import TITLES, Answer, Service
from churn.settings import Settings
from churn.web import wsgi
from churn.web.docs import Docs
from churn.web.front import NOWHERE, OTHER_METHOD, Exchange, Front
from churn.web.metrics import Metrics
from churn.web.pages import Pages, wants_html
from churn.web.wsgi import Passage


def create_app(service: Service, settings: Settings, *, short_road: bool = True) -> Flask:
    """Return the WSGI application; predictions take the ``short_road`` around Flask."""
    app = Flask("churn", static_folder=None)
    app.url_map.merge_slashes = False  # a path with two is no address of ours, and no redirect
    metrics = Metrics(service.model, settings)
    front = Front(service, settings, metrics)
    docs = Docs(service, settings)
    pages = Pages(service)
    app.wsgi_app = Passage(app.wsgi_app, front, short=short_road)  # type: ignore[method-assign]
    if hops := settings.trusted_proxies:
        from werkzeug.middleware.proxy_fix import ProxyFix  # few have a proxy to believe

        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops)  # type: ignore[method-assign]

    @app.get("/ping")
    def ping() -> Response:
        return respond(service.ping())

    @app.get("/health")
    def health() -> Response:
        return respond(service.health())

    @app.get("/ready")
    def ready() -> Response:
        return respond(service.ready())

    @app.post("/predict")
    def predict() -> Response:
        return respond(wsgi.predict(request.environ, front))

    @app.get("/metrics")
    def scrape() -> Response:
        return respond(metrics.answer())

    @app.get("/openapi.json")
    def openapi() -> Response:
        return respond(docs.openapi())

    @app.get("/docs")
    @app.get("/docs/<name>")
    def documentation(name: str = "") -> Response:
        return respond(docs.asset(name))

    @app.get("/")
    def home() -> Response:
        return respond(pages.home())

    @app.get("/model")
    def model() -> Response:
        page = wants_html(request.headers.get("Accept", ""))
        answer = respond(pages.model() if page else service.model_card())
        answer.vary.add("Accept")
        return answer

    @app.get("/static/<release>/<name>")
    def static(release: str, name: str) -> Response:
        response = respond(pages.asset(release, name))
        response.make_conditional(request)
        return response

    @app.errorhandler(RequestError)
    def refuse(error: RequestError) -> Response:
        return respond(front.refusal(exchange(), error))

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        status = error.code if error.code in TITLES else 400
        words = {404: NOWHERE, 405: OTHER_METHOD}.get(status, error.description or "")
        allowed = {name: value for name, value in error.get_headers() if name == "Allow"}
        return refuse(RequestError(status, words, headers=allowed))

    @app.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        return respond(front.bug(exchange(), error))

    return app


def exchange() -> Exchange:
    """Return the exchange that the request at hand belongs to."""
    found: Exchange = request.environ["churn.exchange"]
    return found


def respond(answer: Answer) -> Response:
    """Return an answer as Flask's response."""
    exchange().said = answer.said
    return Response(
        answer.body, answer.status, headers=dict(answer.headers), content_type=answer.media
    )
