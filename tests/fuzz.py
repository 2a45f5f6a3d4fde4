"""Random and mutated requests at a live server: ``PYTHONPATH=. python tests/fuzz.py 100000``."""

from __future__ import annotations

import http.client
import json
import random
import sys
from collections import Counter

from conftest import CUSTOMER, SERVERS, Server

VALUES = [
    None, True, -1, 0, 1e400, 10**400, "", "NaN", "\ud800", [], {}, [CUSTOMER], "x" * 5000, "24",
    "Two year", -0.0, 1e-300, "=1+1", "\0", "💥",
]  # fmt: skip
TYPES = ["application/json", "text/csv", "", "text/html", "application/json; charset=utf-16", "é"]
PATHS = [
    "/predict",
    "/predict",
    "/predict",
    "/predict?explain=true",
    "/predict?explain=%00",
    "/",
    "/x",
]
METHODS = ["POST"] * 8 + ["GET", "PUT", "HEAD", "OPTIONS", "PATCH"]


def body_of(chance):
    """Return a customer, an array or a CSV, sometimes with some of it spoilt."""
    customer = dict(CUSTOMER)
    for _ in range(chance.choice([0, 0, 1, 3])):
        customer[chance.choice([*CUSTOMER, "extra", "Contract"])] = chance.choice(VALUES)
    found = json.dumps([customer] * chance.randrange(3) if chance.random() < 0.3 else customer)
    if chance.random() < 0.2:
        found = ",".join(CUSTOMER) + "\n" + ",".join(map(str, customer.values())) + "\n"
    content = bytearray(found.encode("utf-8", "surrogatepass"))
    for _ in range(chance.choice([0, 0, 0, 1, 5])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content[: chance.choice([None, None, None, len(content) // 2])])


def storm(port, requests, seed=1):
    """Send that many requests; return how often each status came back."""
    chance = random.Random(seed)
    statuses = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(requests):
        headers = {"Content-Type": chance.choice(TYPES).encode()}
        if chance.random() < 0.05:
            headers["Content-Encoding"] = chance.choice(["gzip", "identity", "x" * 100])
        chunked = chance.random() < 0.05
        content = body_of(chance)
        connection.request(
            chance.choice(METHODS), chance.choice(PATHS),
            iter([content]) if chunked else content, headers, encode_chunked=chunked,
        )  # fmt: skip
        answer = connection.getresponse()
        found = answer.read()
        statuses[answer.status] += 1
        if answer.status == 200 and answer.headers["Content-Type"] == "application/json":
            told = json.loads(found or b"[]")
            for each in told if isinstance(told, list) else [told]:
                assert 0 <= each["churn_probability"] <= 1
    connection.close()
    return statuses


def main(requests):
    server = Server(SERVERS["gunicorn"])
    statuses = storm(server.port, requests)
    code, log = server.stop()
    print(f"{requests} requests, statuses {dict(sorted(statuses.items()))}")
    print(f"exit code {code}, {log.count('Traceback')} tracebacks, {log.count('Booting')} workers")
    return statuses[500] or log.count("Traceback") or log.count("Booting") != 2


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
