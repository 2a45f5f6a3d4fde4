"""The log's lines."""

from __future__ import annotations

import json

import pytest

from churn.service import Said
from churn.web import logs
from churn.web.front import Exchange, RequestRecord, new_id

SAID = [Said(), Said([0.25], 0), Said([0.7, 0.1], 1), Said(refused={"tenure": 2, "contract": 1})]


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ('G"T', '/"\\\n'), ("-", "")])
def test_a_line_written_without_an_encoder_is_the_one_that_it_would_write(method, path, said):
    exchange = Exchange(new_id(), method, path, "http", "here", status=200, said=said)
    record = RequestRecord(exchange, 0.0123456)
    line = logs.Lines().format(record)
    told = json.loads(line)
    assert line == json.dumps({"time": told["time"], **logs._told(record)})
