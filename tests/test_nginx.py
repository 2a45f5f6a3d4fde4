"""`.platform/nginx/nginx.conf` in a real nginx, among the files that Elastic Beanstalk adds."""

import gzip
import json
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine import CUSTOMER, ROOT, ask, built, docker, free_port, needs_engine, running, until

pytestmark = [
    *needs_engine,
    pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx on the PATH"),
]

#: What the platform writes: where the container is, the health log's format, the way to both.
PLATFORM = {
    "conf.d/docker-upstream.conf": "upstream docker {{ server 127.0.0.1:{port}; keepalive 256; }}",
    "conf.d/healthd_http.conf": """log_format healthd
        '$msec"$uri"$status"$request_time"$upstream_response_time"$http_x_forwarded_for';""",
    "conf.d/elasticbeanstalk/00_application.conf": """location / {{
        proxy_pass http://docker;
        proxy_http_version 1.1;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}""",
    "conf.d/elasticbeanstalk/healthd.conf": "access_log {folder}/healthd.log healthd;",
}


class Nginx:
    """An nginx on a port of its own, before a container that can be changed under it."""

    def __init__(self, folder, container):
        self.folder = folder
        self.port = free_port()
        ours = (ROOT / ".platform/nginx/nginx.conf").read_text()
        # where it listens and writes is the machine's business; all else is as it will be
        for theirs, here in {
            "/var/log/nginx": folder, "/var/run": folder,
            "user                  nginx": "user root",
            "listen      80": f"listen 127.0.0.1:{self.port}",
        }.items():  # fmt: skip
            assert theirs in ours
            ours = ours.replace(theirs, str(here))
        (folder / "conf.d/elasticbeanstalk").mkdir(parents=True)
        (folder / "nginx.conf").write_text(ours)
        self.send_to(container)

    def send_to(self, container):
        """Write the platform's files as they are for this container."""
        for name, text in PLATFORM.items():
            (self.folder / name).write_text(text.format(port=container.port, folder=self.folder))

    def run(self, *options):
        """Run nginx's own command."""
        command = ["nginx", "-c", self.folder / "nginx.conf", *options]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    def ask(self, method, path, body=None, **headers):
        """Return status and body."""
        return ask(self.port, method, path, body, **headers)


@contextmanager
def serving(folder, container):
    """Run nginx before ``container``; it is stopped afterwards."""
    nginx = Nginx(folder, container)
    nginx.run()
    try:
        yield nginx
    finally:
        nginx.run("-s", "stop")
        until(lambda: not (folder / "nginx.pid").exists())


@pytest.fixture(scope="module")
def image():
    with built("churn-serving:nginx") as tag:
        yield tag


@pytest.fixture(scope="module")
def container(image):
    with running(image) as running_container:
        yield running_container


@pytest.fixture
def nginx(container, tmp_path):
    with serving(tmp_path, container) as running_nginx:
        yield running_nginx


def test_it_is_accepted_without_a_warning(nginx):
    assert "warn" not in nginx.run("-t").stderr


def test_predictions_pass(nginx):
    status, body = nginx.ask("POST", "/predict", json.dumps(CUSTOMER))
    assert status == 200
    assert set(json.loads(body)) == {"churn_probability", "churn"}


@pytest.mark.parametrize("size", [2_000_001, 2_500_000, 20_000_000])
def test_what_is_too_large_is_refused_in_the_services_own_format(nginx, size):
    status, body = nginx.ask("POST", "/predict", b" " * size)
    assert status == 413
    ours = {"type": "about:blank", "title": "Content Too Large", "status": 413}
    assert ours.items() <= json.loads(body).items()


def test_what_the_service_takes_reaches_it(nginx):
    assert nginx.ask("POST", "/predict", json.dumps(CUSTOMER) + " " * 1_990_000)[0] == 200


def test_long_answers_are_compressed(nginx):
    many = json.dumps([CUSTOMER] * 200)
    status, plain = nginx.ask("POST", "/predict", many)
    assert status == 200
    status, packed = nginx.ask("POST", "/predict", many, **{"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 5


def test_connections_to_the_container_are_used_again(nginx, container):
    for _ in range(20):
        assert nginx.ask("GET", "/ping")[0] == 200
    # nginx keeps one open where it would else have opened twenty
    assert 1 <= connections(container.port) <= 3


def connections(port):
    """Return how many connections there are to a port of this machine."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2] == f"0100007F:{port:04X}" and row[3] == "01" for row in rows)


def test_the_health_agent_finds_its_log(nginx):
    nginx.ask("GET", "/ping")
    log = nginx.folder / "healthd.log"
    assert until(lambda: log.read_text()).split('"')[1:3] == ["/ping", "200"]


def test_a_new_version_takes_over_under_load_and_no_request_fails(image, tmp_path):
    """Elastic Beanstalk's own order: start the new one, turn nginx to it, stop the old one."""
    answers, enough = [], threading.Event()

    def client():
        while not enough.is_set():
            answers.append(nginx.ask("POST", "/predict", json.dumps(CUSTOMER))[0])  # no second try

    with running(image) as old, running(image) as new, serving(tmp_path, old) as nginx:
        clients = [threading.Thread(target=client) for _ in range(4)]
        for thread in clients:
            thread.start()
        try:
            until(lambda: len(answers) > 200)
            nginx.send_to(new)
            nginx.run("-s", "reload")
            until(lambda: connections(new.port) and not connections(old.port))
            docker("stop", "--time", "10", old.name)
            seen = len(answers)
            until(lambda: len(answers) > seen + 200)
        finally:
            enough.set()
            for thread in clients:
                thread.join()
        assert old.inspect("{{.State.ExitCode}}") == "0"
    assert set(answers) == {200}
