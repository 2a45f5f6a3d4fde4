"""The OpenAPI document: valid, true of the live service, and its examples work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SERVERS, Server
from openapi_spec_validator import validate

from churn.service import Service
from churn.settings import Settings
from churn.web.flask_app import create_app


@pytest.fixture(scope="session")
def document(client):
    return client.get("/openapi.json").json


@pytest.mark.parametrize("asked", [Settings(), Settings(api_keys=("0123456789",), strict=True)])
def test_the_document_is_valid_openapi(model, asked):
    client = create_app(Service(model, asked), asked).test_client()
    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_example_works(client, document):
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    examples = [(json.dumps(each["value"]), "application/json")
                for each in content["application/json"]["examples"].values()]  # fmt: skip
    examples.append((content["text/csv"]["example"], "text/csv"))
    statuses = [client.post("/predict", data=b, content_type=t).status_code for b, t in examples]
    assert statuses == [200, 200, 200]


def test_every_path_it_names_is_there(client, document):
    got = {path: client.get(path).status_code for path in document["paths"]}
    assert got == {path: 405 if path == "/predict" else 200 for path in document["paths"]}


def test_a_key_is_asked_for_where_there_are_keys(model):
    asked = Settings(api_keys=("0123456789",))
    document = create_app(Service(model, asked), asked).test_client().get("/openapi.json").json
    assert document["paths"]["/predict"]["post"]["security"] == [{"bearer": []}, {"key": []}]


def test_the_live_service_does_what_the_document_says(tmp_path):
    server = Server(SERVERS["gunicorn"])
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    program = str(Path(sys.executable).with_name("schemathesis"))
    found = subprocess.run(
        [program, "run", url, "--checks", "all", "--max-examples", "50", "--seed", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
             "SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
    )  # fmt: skip
    code, log = server.stop()
    assert found.returncode == 0, found.stdout
    assert (code, "Traceback" in log) == (0, False)
