"""The README's `eb` commands, typed into the real EB CLI. AWS is a fake: see fake_eb.py."""

import hashlib
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from engine import CUSTOMER, ROOT, ask, docker, free_port, needs_engine, until

ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "")
EB = shutil.which("eb") or shutil.which("eb", path=str(Path(sys.executable).parent))

pytestmark = [
    pytest.mark.aws,
    pytest.mark.skipif(not EB, reason="needs the EB CLI: pipenv install --dev"),
    # never the real one, whatever is in the environment
    pytest.mark.skipif(
        urlsplit(ENDPOINT).hostname not in {"127.0.0.1", "localhost", "::1"},
        reason="needs AWS_ENDPOINT_URL naming a fake AWS on this machine: python tests/fake_eb.py",
    ),
]


class Checkout:
    """A fresh clone, and a home of its own: the EB CLI writes into both."""

    def __init__(self, folder):
        self.path = folder / "churn-serving"
        self.environment = os.environ | {
            "HOME": str(folder), "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true", "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Test",
            "GIT_CONFIG_KEY_1": "user.email", "GIT_CONFIG_VALUE_1": "test@example.com",
        }  # fmt: skip
        self.environment.pop("AWS_PROFILE", None)
        subprocess.run(
            ["git", "clone", "--quiet", ROOT, self.path], check=True, env=self.environment
        )

    def run(self, *command):
        """Return what a command printed; it has to succeed, with nobody at the keyboard."""
        done = subprocess.run(
            command, cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def eb(self, line):
        """Return what `eb …` printed."""
        return self.run(EB, *line.split())

    def address(self, environment):
        """Return the host name that an environment answers at."""
        return re.search(r"CNAME: (\S+)", self.eb(f"status {environment}"))[1]

    def deployed(self):
        """Return the label of the version that is deployed, and its bundle."""
        label = re.search(r"Deployed Version: (\S+)", self.eb("status"))[1]
        bucket = aws("s3").list_buckets()["Buckets"][0]["Name"]
        found = aws("s3").get_object(Bucket=bucket, Key=f"churn-serving/{label}.zip")
        return label, zipfile.ZipFile(io.BytesIO(found["Body"].read()))


def aws(service):
    """Return a client of the fake."""
    import botocore.session  # comes with the EB CLI

    return botocore.session.get_session().create_client(
        service, "eu-north-1", endpoint_url=ENDPOINT,
        aws_access_key_id="testing", aws_secret_access_key="testing",  # noqa: S106
    )  # fmt: skip


@pytest.fixture(scope="module")
def initialised(tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("eb"))
    checkout.eb("init -p docker -r eu-north-1 churn-serving")
    return checkout


@pytest.fixture(scope="module")
def created(initialised):
    initialised.printed = initialised.eb("create churn-serving-env")
    yield initialised
    if "churn-serving-env" in initialised.eb("list"):
        initialised.eb("terminate --force churn-serving-env")


def test_init_chooses_the_platform_that_eb_local_run_needs(initialised):
    config = (initialised.path / ".elasticbeanstalk/config.yml").read_text()
    assert "default_platform: Docker running on 64bit Amazon Linux 2023" in config


def test_init_leaves_the_checkout_as_it_was(initialised):
    assert initialised.run("git", "status", "--porcelain") == ""


def test_create_tells_how_it_went(created):
    assert "Successfully launched environment: churn-serving-env" in created.printed


def test_create_sends_nothing_that_our_options_would_lose_to(created):
    # What the CLI sends wins over .ebextensions. These it may send: ours say the same, or nothing.
    sent = aws("elasticbeanstalk").describe_configuration_settings(
        ApplicationName="churn-serving", EnvironmentName="churn-serving-env"
    )["ConfigurationSettings"][0]["OptionSettings"]
    ours = "".join(path.read_text() for path in sorted((ROOT / ".ebextensions").glob("*.config")))
    lost = [
        each["OptionName"] for each in sent
        if (line := re.search(rf"^ +{each['OptionName']}: (.+)$", ours, re.MULTILINE))
        and line[1].strip('"') != each["Value"]
    ]  # fmt: skip
    assert lost == []


def test_status_is_ready_and_green(created):
    status = created.eb("status")
    assert "Status: Ready" in status
    assert "Health: Green" in status


def test_the_bundle_is_the_commit(created):
    _, bundle = created.deployed()
    committed = created.run("git", "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert {name for name in bundle.namelist() if not name.endswith("/")} == set(committed)


def test_the_bundle_holds_what_builds_and_runs_the_service(created):
    _, bundle = created.deployed()
    names = set(bundle.namelist())
    assert {"Dockerfile", "Pipfile", "Pipfile.lock", "predict.py", "gunicorn.conf.py"} <= names
    assert {".ebextensions/load-balancer.config", ".platform/nginx/nginx.conf"} <= names
    manifest = json.loads(bundle.read("churn-model.json"))
    assert hashlib.sha256(bundle.read("churn-model.bin")).hexdigest() == manifest["sha256"]


def test_the_bundle_passes_the_doctor(created, tmp_path):
    _, bundle = created.deployed()
    bundle.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "churn.doctor", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_deploy_sends_the_next_commit_and_leaves_uncommitted_work_here(created):
    before, _ = created.deployed()
    (created.path / "committed.txt").write_text("1")
    created.run("git", "add", "committed.txt")
    created.run("git", "commit", "--quiet", "--message", "Add a file")
    (created.path / "uncommitted.txt").write_text("2")
    assert "Environment update completed successfully." in created.eb("deploy")
    label, bundle = created.deployed()
    assert label != before
    assert "committed.txt" in bundle.namelist()
    assert "uncommitted.txt" not in bundle.namelist()


def test_an_older_version_is_deployed_again_by_its_name(created):
    before, _ = created.deployed()
    created.eb("deploy --label next")
    assert created.deployed()[0] == "next"
    created.eb(f"deploy --version {before}")
    assert created.deployed()[0] == before


def test_a_second_environment_takes_over_the_first_ones_address(created):
    created.eb("create churn-serving-green")
    try:
        address = created.address("churn-serving-env")
        created.eb("swap churn-serving-env --destination_name churn-serving-green")
        assert created.address("churn-serving-green") == address
    finally:
        created.eb("terminate --force churn-serving-green")
        created.eb("use churn-serving-env")


def test_terminate_leaves_nothing_running(created):
    assert "terminateEnvironment completed successfully." in created.eb(
        "terminate --force churn-serving-env"
    )
    assert "churn-serving-env" not in created.eb("list")


@pytest.mark.engine
@pytest.mark.skipif(needs_engine[1].args[0], reason=needs_engine[1].kwargs["reason"])
def test_local_run_answers_predict(initialised):
    port, before = free_port(), initialised.run("git", "status", "--porcelain")
    # `docker run -i -t` inside it wants a terminal
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [EB, "local", "run", "--port", str(port)],
        cwd=initialised.path, env=initialised.environment,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = []
    threading.Thread(target=drain, args=(terminal, said), daemon=True).start()
    try:
        until(lambda: ask(port, "GET", "/ready")[0] == 200, lambda: b"".join(said).decode())
        status, body = ask(port, "POST", "/predict", json.dumps(CUSTOMER))
        assert status == 200
        assert "churn_probability" in json.loads(body)
        assert initialised.run("git", "status", "--porcelain") == before
    finally:
        shown = initialised.eb("local status")
        if name := re.search(r"^Container name: (\w+)", shown, re.MULTILINE):
            docker("stop", name[1], check=False)
        process.wait(timeout=30)
        os.close(terminal)


def drain(terminal, into):
    """Read a terminal until it is closed."""
    try:
        while piece := os.read(terminal, 4096):
            into.append(piece)
    except OSError:
        return
