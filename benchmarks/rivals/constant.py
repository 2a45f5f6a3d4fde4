"""Two limits: Flask answering a constant, and a bare WSGI callable doing the same."""

from flask import Flask, Response

BODY = b'{"churn_probability": 0.7161721770226143, "churn": true}'
flask_app = Flask("constant")


@flask_app.post("/predict")
def predict():
    """Return always the same."""
    return Response(BODY, content_type="application/json")


def bare_app(environ, start_response):
    """Return always the same, having read the body."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    length = str(len(BODY))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", length)])
    return [BODY]
