"""The OpenAPI 3.1 document, made from the model's own schema."""

from __future__ import annotations

from typing import Any

from churn.model import Model
from churn.schema import GREATEST, GREATEST_WHOLE, Field
from churn.service import CSV, JSON, PROBLEM, TITLES, UNSEEN, Service
from churn.settings import Settings

#: Version of the HTTP contract: the first number goes up when a client would have to change.
VERSION = "1.0.0"

#: Spellings of ``explain`` in a query.
_FLAG = {"type": "string", "enum": ["true", "false", "1", "0", "yes", "no", ""]}


def document(service: Service, settings: Settings) -> dict[str, Any]:
    """Return the document that describes this service with this model."""
    model = service.model
    guarded: list[Any] = [{"bearer": []}, {"key": []}] if settings.api_keys else []
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Churn prediction",
            "version": VERSION,
            "description": _description(model, service.threshold),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/predict": {"post": _predict(model, settings, guarded)},
            "/ping": _get("Answer PONG", {"text/plain": {"schema": {"const": "PONG"}}}),
            "/health": _get("Say whether the process is alive", _json({"type": "object"})),
            "/ready": _get("Say whether the model can serve", _json({"type": "object"}), 503),
            "/model": _get(
                "Tell what is known of the model",
                {**_json({"type": "object"}), "text/html": {"schema": {"type": "string"}}},
            ),
            "/metrics": _get(
                "Count for Prometheus", {"text/plain": {"schema": {"type": "string"}}},
                *([401] if guarded else []),
            ),
        },
        "components": {
            "schemas": {
                "Customer": customer(model, settings.strict),
                "Prediction": _PREDICTION,
                "Explanation": _EXPLANATION,
                "Problem": _PROBLEM,
            },
            "responses": {
                f"Problem{status}": {
                    "description": TITLES[status],
                    "content": {PROBLEM: {"schema": _ref("schemas", "Problem")}},
                }
                for status in (400, 401, 413, 415, 422, 503)
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }  # fmt: skip
    if guarded:
        found["paths"]["/metrics"]["get"]["security"] = guarded
    else:
        del found["components"]["securitySchemes"]
        del found["components"]["responses"]["Problem401"]
    return found


def customer(model: Model, strict: bool) -> dict[str, Any]:
    """Return the JSON Schema of a customer as ``/predict`` takes one."""
    fields = model.schema.fields
    return {
        "type": "object",
        "required": [each.name for each in fields],
        "properties": {each.name: _property(each) for each in fields},
        "additionalProperties": not strict,
        "examples": [model.example],
    }


def _property(known: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"title": known.label or known.name, "description": _about(known)}
    gaps = [None, ""] if known.missing is not None else []
    if known.values:
        values: list[Any] = [*known.values]
        if known.values == (0, 1):
            values += ["0", "1"]
        if known.kind == "yes/no":
            values += [False, True]
        return {**told, "enum": [*values, *gaps], "examples": [known.example]}
    natural = known.low is not None and known.low >= 0
    greatest = GREATEST_WHOLE if known.kind == "integer" else GREATEST
    ends = {"minimum": 0 if natural else -greatest, "maximum": greatest}
    sign = "" if natural else "-?"
    whole = known.kind == "integer"
    number = {"type": "integer" if whole else "number", **ends}
    fraction = "" if whole else r"(\.[0-9]{1,15})?"
    options = [number, {"type": "string", "pattern": f"^{sign}[0-9]{{1,15}}{fraction}$"}]
    options += [{"enum": gaps}] if gaps else []
    return {**told, "anyOf": options, "examples": [known.example]}


def _about(known: Field) -> str:
    words = "Case and spaces do not matter." if known.values else f"{known.allowed}."
    if known.missing is not None:
        words += f" Empty or null stands for {known.missing!r}, as in training."
    return words[0].upper() + words[1:]


def _predict(model: Model, settings: Settings, guarded: list[Any]) -> dict[str, Any]:
    one, answer, explained = (_ref("schemas", name) for name in _BODIES)
    many = {"type": "array", "items": one}
    answers = [
        answer,
        explained,
        *({"type": "array", "items": each} for each in (answer, explained)),
    ]
    statuses = (400, *([401] if guarded else []), 413, 415, 422)
    told: dict[str, Any] = {
        "operationId": "predict",
        "tags": ["Prediction"],
        "summary": "Give the probability that customers leave",
        "description": (
            "Takes one customer, an array of customers, or a CSV. An array with a bad customer is "
            "refused whole, with every problem and its index; a CSV comes back as it came with "
            "churn_probability and churn added, and with an error for each row that has one."
        ),
        "parameters": [
            {
                "name": "explain", "in": "query", "schema": _FLAG,
                "description": "Add the reasons of each prediction, and what would change it.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {"anyOf": [one, many]},
                    "examples": {
                        "one": {"summary": "A customer", "value": model.example},
                        "many": {"summary": "Two customers", "value": [model.example] * 2},
                    },
                },
                CSV: {"schema": {"type": "string"}, "example": _as_csv(model)},
            },
        },
        "responses": {
            "200": {
                "description": "The probability, and whether it reaches the threshold",
                "headers": {
                    UNSEEN: {
                        "description": "Fields whose numbers lie outside what training saw.",
                        "schema": {"type": "string"},
                    }
                },
                "content": {
                    JSON: {"schema": {"anyOf": answers}},
                    CSV: {"schema": {"type": "string"}},
                },
            },
            **{str(status): _ref("responses", f"Problem{status}") for status in statuses},
        },
    }  # fmt: skip
    return {**told, "security": guarded} if guarded else told


def _as_csv(model: Model) -> str:
    example = model.example
    return f"{','.join(example)}\n{','.join(map(str, example.values()))}\n"


def _description(model: Model, threshold: float) -> str:
    target = model.manifest.target or {"column": "churn", "positive": "yes"}
    return (
        f"Gives the probability that a customer leaves ({target['column']} is "
        f"{target['positive']}); `churn` is true from {threshold:g}. "
        f"Model {model.version}, trained {model.manifest.trained or 'elsewhere'}. "
        "Every error is a problem document (RFC 9457) with a request id."
    )


def _get(summary: str, content: dict[str, Any], *problems: int) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "It does", "content": content}}
    responses |= {str(status): _ref("responses", f"Problem{status}") for status in problems}
    return {"get": {"summary": summary, "tags": ["Operation"], "responses": responses}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _ref(kind: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{kind}/{name}"}


_BODIES = ("Customer", "Prediction", "Explanation")

_PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": ["churn_probability", "churn"],
    "properties": {
        "churn_probability": {"type": "number", "minimum": 0, "maximum": 1},
        "churn": {"type": "boolean"},
    },
    "additionalProperties": False,
}

_REASON = {
    "type": "object",
    "required": ["field", "value", "points"],
    "properties": {
        "field": {"type": "string"},
        "value": {"type": ["string", "number"]},
        "points": {"type": "number", "description": "Log-odds against the average customer."},
    },
    "additionalProperties": False,
}

_CHANGE = {
    "type": "object",
    "required": ["field", "value", "churn_probability"],
    "properties": {
        "field": {"type": "string"},
        "value": {"type": ["string", "number"]},
        "churn_probability": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "additionalProperties": False,
}

_EXPLANATION = {
    "type": "object",
    "required": [*_PREDICTION["required"], "reasons", "base", "changes"],
    "properties": {
        **_PREDICTION["properties"],
        "reasons": {"type": "array", "items": _REASON},
        "base": {"type": "number", "description": "Log-odds of the average customer."},
        "changes": {"type": "array", "items": _CHANGE},
    },
    "additionalProperties": False,
}

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "index": {"type": "integer", "description": "Which customer of an array."},
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "value": {},
                    "allowed": {"type": ["array", "string"]},
                    "did_you_mean": {"type": ["string", "integer"]},
                },
            },
        },
        "example": {"type": "string", "description": "A curl command that works."},
    },
}
