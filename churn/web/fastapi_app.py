"""The FastAPI edition: routes of a few lines around the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model, model_validator
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from churn.errors import RequestError
from churn.model import Model
from churn.schema import Value
from churn.service import Answer, Service
from churn.settings import Settings
from churn.web import asgi, openapi
from churn.web.asgi import Passage, Proxies
from churn.web.docs import Docs
from churn.web.front import NOWHERE, OTHER_METHOD, Exchange, Front
from churn.web.metrics import Metrics
from churn.web.pages import Pages, wants_html

#: FastAPI's own telemetry would repeat what customers sent; the log and the counts are ours.
SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
}


def create_app(service: Service, settings: Settings, *, short_road: bool = True) -> FastAPI:
    """Return the ASGI application; predictions take the ``short_road`` around FastAPI."""
    metrics = Metrics(service.model, settings)
    front = Front(service, settings, metrics)
    docs = Docs(service, settings)
    pages = Pages(service)
    around = [Middleware(Passage, front=front, short=short_road)]
    if hops := settings.trusted_proxies:
        around.insert(0, Middleware(Proxies, hops=hops))
    app = FastAPI(
        title="Churn prediction",
        middleware=around,
        openapi_url=None,  # with it go FastAPI's own pages, which load scripts from elsewhere
        redirect_slashes=False,
        telemetry=SILENT,
    )
    app.openapi = lambda: described(service, settings)  # type: ignore[method-assign]

    def get(path: str) -> Callable[..., Any]:
        return app.api_route(path, methods=["GET", "HEAD"])

    @get("/ping")
    async def ping(request: Request) -> Response:
        return respond(request, service.ping())

    @get("/health")
    async def health(request: Request) -> Response:
        return respond(request, service.health())

    @get("/ready")
    async def ready(request: Request) -> Response:
        return respond(request, service.ready())

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        return respond(request, await asgi.predict(request.scope, request.receive, front))

    @get("/metrics")
    async def scrape(request: Request) -> Response:
        return respond(request, metrics.answer())

    @get("/openapi.json")
    async def document(request: Request) -> Response:
        return respond(request, docs.openapi())

    @get("/docs")
    @get("/docs/{name}")
    async def documentation(request: Request, name: str = "") -> Response:
        return respond(request, docs.asset(name))

    @get("/")
    async def home(request: Request) -> Response:
        return respond(request, pages.home())

    @get("/model")
    async def model(request: Request) -> Response:
        page = wants_html(request.headers.get("Accept", ""))
        answer = pages.model() if page else service.model_card()
        return respond(request, answer, {"Vary": "Accept"})

    @get("/static/{release}/{name}")
    async def static(request: Request, release: str, name: str) -> Response:
        answer = pages.asset(release, name)
        if unchanged(answer, request.headers.get("If-None-Match", "")):
            return Response(status_code=304, headers=dict(answer.headers))
        return respond(request, answer)

    @app.exception_handler(HTTPException)
    async def refuse_http(request: Request, error: HTTPException) -> Response:
        if error.status_code != 405:
            raise RequestError(404, NOWHERE)  # the one other that routing knows
        allowed = {*(error.headers or {}).get("Allow", "").split(", "), "OPTIONS"}
        headers = {"Allow": ", ".join(sorted(allowed))}
        if request.method != "OPTIONS":
            raise RequestError(405, OTHER_METHOD, headers=headers)
        return Response(headers=headers, media_type="text/html")

    return app


def respond(request: Request, answer: Answer, more: Mapping[str, str] | None = None) -> Response:
    """Return an answer as FastAPI's response."""
    exchange: Exchange = request.scope["churn.exchange"]
    exchange.said = answer.said
    headers = {**answer.headers, **(more or {}), "Content-Type": answer.media}
    return Response(answer.body, answer.status, headers)


def unchanged(answer: Answer, held: str) -> bool:
    """Return whether a browser that holds these ETags has the answer already."""
    tags = {tag.strip().removeprefix("W/") for tag in held.split(",")}
    return not tags.isdisjoint({"*", answer.headers.get("ETag")})


def described(service: Service, settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document, with the customer as Pydantic describes it."""
    document = openapi.document(service, settings)
    customer = customer_type(service.model, settings.strict)
    document["components"]["schemas"]["Customer"] = customer.model_json_schema()
    return document


def customer_type(model: Model, strict: bool = False) -> type[BaseModel]:
    """Return the model's customer as a Pydantic class, made from its schema.

    Whatever ``/predict`` takes is valid, and its fields are the clean values.
    """
    told = openapi.customer(model, strict)
    # a name of the table's may be one of Pydantic's own: schema, copy, _id
    fields: dict[str, Any] = {
        f"field_{name}": (Annotated[Value, WithJsonSchema(about)], Field(alias=name))
        for name, about in told["properties"].items()
    }

    def check(cls: type[BaseModel], record: Any) -> Any:
        return model.schema.check(record, strict=strict)

    def finish(schema: dict[str, Any]) -> None:
        del schema["title"]
        schema |= {key: told[key] for key in ("additionalProperties", "examples")}

    fields["__validators__"] = {"check": model_validator(mode="before")(check)}
    return create_model("Customer", __config__=ConfigDict(json_schema_extra=finish), **fields)
