"""A storm of random and mutated requests; CI sends a larger one (``python tests/fuzz.py``)."""

from __future__ import annotations

import pytest
from conftest import SERVERS, Server
from fuzz import storm


@pytest.mark.parametrize("name", ["gunicorn", "waitress", "predict_fastapi.py"])
def test_no_request_breaks_a_live_server(name):
    server = Server(SERVERS[name])
    statuses = storm(server.port, 1_000)
    code, log = server.stop()
    assert set(statuses) <= {200, 400, 404, 405, 413, 415, 422}
    assert statuses[200] > 100
    assert (code, log.count("Traceback")) == (0, 0)
