"""The doctor, over a checkout broken in every way it knows."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from churn.doctor import bundle, machine, options
from churn.doctor.__main__ import CHECKS, findings, main
from churn.doctor.project import Project

ROOT = Path(__file__).parents[1]
SWITCHES = sorted((ROOT / "deploy/elastic-beanstalk").glob("*.config"))

#: What the doctor looks at; the rest of the checkout only makes these tests slow.
LOOKED_AT = [
    "churn", "predict.py", "gunicorn.conf.py", "churn-model.bin", "churn-model.json",
    "Pipfile", "Pipfile.lock", "pyproject.toml", ".python-version",
    "Dockerfile", ".dockerignore", ".ebextensions", ".platform",
]  # fmt: skip

ENVIRONMENT = "  aws:elasticbeanstalk:application:environment:\n"
SERVICE = ".ebextensions/service.config"
BALANCER = ".ebextensions/load-balancer.config"
SCALING = ".ebextensions/scaling.config"
DEPLOYMENT = ".ebextensions/deployment.config"
INSTANCES = ".ebextensions/instances.config"
LOGS = ".ebextensions/logs.config"
LISTED = ".ebextensions/listed.config"

REQUIRES = '[requires]\npython_version = "3.12"\n'
FULL = 'python_full_version = "3.12.1"\n'


def git(folder, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "checkout"
    folder.mkdir()
    for name in filter(lambda name: (ROOT / name).exists(), LOOKED_AT):
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "All of it")
    return folder


@pytest.fixture
def checkout(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "checkout")


@pytest.fixture
def healthy_machine(monkeypatch):
    """Leave out the checks of this machine: they have tests of their own."""
    of_the_bundle = [check for check in CHECKS if check.__module__ != machine.__name__]
    monkeypatch.setattr("churn.doctor.__main__.CHECKS", of_the_bundle)


def edit(folder, name, old, new):
    """Replace ``old`` by ``new``; without ``old`` write the file, without ``new`` delete it."""
    path = folder / name
    if new is None:
        path.unlink()
    elif old is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(new)
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))


def found(folder):
    return findings(Project(folder))


@pytest.mark.usefixtures("healthy_machine")
def test_what_is_shipped_has_nothing_to_mend(whole):
    assert [str(finding) for finding in found(whole)] == []


#: file, what stands there, what stands there instead, and what the finding has to say.
BROKEN = [
    # the Dockerfile
    ("Dockerfile", "FROM python", "FROM --platform=linux/amd64 python", "image:tag"),
    ("Dockerfile", "FROM python:3.13-slim", "FROM python:${TAG}", "image:tag"),
    ("Dockerfile", "EXPOSE 9696", "", "no EXPOSE"),
    ("Dockerfile", "EXPOSE 9696", "EXPOSE 8000", "EXPOSE 9696"),
    ("Dockerfile", "RUN python", "RUN --mount=type=cache,target=/c python", "BuildKit"),
    ("Dockerfile", "COPY churn churn", "COPY --chmod=755 churn churn", "BuildKit"),
    ("Dockerfile", "COPY churn churn", 'COPY ["churn2", "churn"]', "copies churn2"),
    ("Dockerfile", "churn-model.bin", "model_C=1.0.bin", "does not hold"),
    ("Dockerfile", None, None, "there is none"),
    (".dockerignore", "!predict.py", "", "!predict.py"),
    # options
    (SCALING, "    MaxSize: 4", "\tMaxSize: 4", "no YAML"),
    (SCALING, "MaxSize: 4", "MaxSize: 1", "at least 2"),
    (SCALING, "MaxSize: 4", "MaxSize: four", "1 to 10000"),
    (SCALING, "MaxSize: 4", "Maxsize: 4", "MaxSize: 4"),
    (SCALING, "aws:autoscaling:trigger", "aws:autoscaling:triger", "aws:autoscaling:trigger:"),
    (SCALING, "BreachDuration: 5", "BreachDuration: 7", "BreachDuration: 5"),
    (SCALING, "LowerThreshold: 20", "LowerThreshold: 70", "up and down"),
    (SCALING, "option_settings:", "option_setting:", "option_settings:"),
    (SCALING, "MaxSize: 4", "MaxSize: 4\n    MaxSize: 5", "comes twice"),
    (DEPLOYMENT, "Immutable", "immutable", "DeploymentPolicy: Immutable"),
    (DEPLOYMENT, "Timeout: 900", "Timeout: [900]", "one value"),
    (BALANCER, "HealthCheckTimeout: 5", "HealthCheckTimeout: 15", "HealthCheckTimeout: 14"),
    (BALANCER, "HealthCheckPath: /ready", "HealthCheckPath: /status", "/status"),
    (".ebextensions/health.config", '"Version": 1,', '"Version": 1', "no JSON"),
    (INSTANCES, "DisableIMDSv1: true", "DisableIMDSv1: yes", "true or false"),
    (LOGS, "RetentionInDays: 30", "RetentionInDays: 31", "RetentionInDays: 30"),
    (".ebextensions/more.yml", None, "option_settings: {}\n", "only files named *.config"),
    (LISTED, None, "option_settings:\n  - {option_name: A}\n", "lacks"),
    (LISTED, None, "option_settings:\n  - {option_name: PORT, value: 80}\n", "PORT: 9696"),
    (SERVICE, ENVIRONMENT, ENVIRONMENT + "    CHURN_TRESHOLD: 0.4\n", "CHURN_THRESHOLD: 0.4"),
    (SERVICE, ENVIRONMENT, ENVIRONMENT + "    CHURN_THRESHOLD: 40\n", "between 0 and 1"),
    (SERVICE, ENVIRONMENT, ENVIRONMENT + "    CHURN_API_KEYS: abcdefgh\n", "api-key.config"),
    # packages
    ("Pipfile", "flask = ", "werkzeug = \"*\"\nflask = ", "pipenv lock"),
    ("Pipfile", "flask = ", "sklearn = \"*\"\nflask = ", "scikit-learn"),
    ("Pipfile", "flask = ", "flask ", "no TOML"),
    ("Pipfile", "gunicorn = ", "gunicorm = ", "pipenv install gunicorn"),
    ("Pipfile", "[packages]", REQUIRES + "[packages]", 'python_version = "3.13"'),
    ("Pipfile", "[packages]", REQUIRES + FULL + "[packages]", "both"),
    ("Pipfile.lock", None, None, "pipenv lock"),
    (".python-version", None, "3.12\n", "Dockerfile:"),
    ("Dockerfile", "FROM python:3.13", "FROM python:3.10", "python:3.11-slim"),
    # the model
    ("churn-model.bin", None, None, "no model"),
    ("churn-model.bin", None, "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ("churn-model.bin", None, "rubbish", "is not the file"),
    ("churn-model.json", None, "{", "can't read"),
    # the bundle
    ("docker-compose.yml", None, "services: {}\n", "replaces the Dockerfile"),
    (".env", None, "CHURN_API_KEYS=0123456789abcdef\n", "secret"),
    (".platform/hooks/predeploy/01.sh", None, "#!/bin/sh\n", "not executable"),
    (".platform/nginx/nginx.conf", "client_max_body_size     2000000;", "", "1,048,576"),
    (".elasticbeanstalk/config.yml", None, "global:\n  default_platform: Docker\n", "2023"),
]  # fmt: skip


@pytest.mark.usefixtures("healthy_machine")
@pytest.mark.parametrize(("name", "old", "new", "says"), BROKEN)
def test_what_is_broken_is_found_with_its_place_and_its_cure(checkout, name, old, new, says):
    edit(checkout, name, old, new)
    git(checkout, "add", "--all", "--force")
    git(checkout, "commit", "--quiet", "--message", "Broken")
    serious = [finding for finding in found(checkout) if finding.serious]
    assert [finding for finding in serious if says in str(finding) and finding.cure]
    assert [finding for finding in serious if finding.where.startswith(name)]


def test_a_dockerfile_by_another_name_is_recognised(checkout):
    (checkout / "Dockerfile").rename(checkout / "Dockerfile.txt")
    assert "mv Dockerfile.txt Dockerfile" in [finding.cure for finding in found(checkout)]


def test_a_finding_names_the_line(checkout):
    edit(checkout, SCALING, "MaxSize: 4", "MaxSize: four")
    (finding,) = options.values_are_allowed(Project(checkout))
    line = (checkout / SCALING).read_text().splitlines().index("    MaxSize: four") + 1
    assert finding.where == f"{SCALING}:{line}"


@pytest.mark.usefixtures("healthy_machine")
@pytest.mark.parametrize("switch", SWITCHES, ids=lambda path: path.stem)
def test_a_switch_turned_on_asks_for_its_blanks_and_nothing_else(checkout, switch):
    shutil.copy(switch, checkout / ".ebextensions")
    serious = [finding for finding in found(checkout) if finding.serious]
    assert all("still has" in finding.what for finding in serious)
    assert bool(serious) == (switch.stem != "canary")


def test_work_that_is_not_committed_is_told_of(checkout):
    edit(checkout, "churn-model.bin", None, "another")
    (finding,) = bundle.changes_are_committed(Project(checkout))
    assert finding.where == "churn-model.bin"
    assert "--staged" in finding.cure


def test_the_bundle_is_the_commit(checkout):
    edit(checkout, "later.txt", None, "")
    assert "later.txt" not in Project(checkout).bundle.sizes


def test_with_an_ebignore_the_bundle_is_what_lies_here(checkout):
    edit(checkout, "later.txt", None, "12345")
    edit(checkout, ".ebignore", None, "*.json\n")
    sizes = Project(checkout).bundle.sizes
    assert sizes["later.txt"] == 5
    assert "churn-model.json" not in sizes


def test_without_git_the_bundle_is_what_lies_here(checkout):
    shutil.rmtree(checkout / ".git")
    assert "Dockerfile" in Project(checkout).bundle.sizes


def test_a_model_of_another_scikit_learn_is_served_all_the_same(checkout):
    pytest.importorskip("sklearn")
    manifest = json.loads((checkout / "churn-model.json").read_text())
    manifest["libraries"]["scikit-learn"] = "0.24.2"
    edit(checkout, "churn-model.json", None, json.dumps(manifest))
    told = [finding for finding in found(checkout) if "0.24.2" in finding.what]
    assert [finding.serious for finding in told] == [False]


@pytest.mark.parametrize(("check", "says"), [
    (machine.pipenv_is_there, "pip"),
    (machine.docker_runs, "docker is missing"),
    (machine.eb_is_there, "pipenv sync --all"),
])  # fmt: skip
def test_a_program_that_is_missing_is_told_of(check, says, checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (finding,) = check(Project(checkout))
    assert says in str(finding)
    assert not finding.serious


@pytest.mark.skipif(not shutil.which("docker"), reason="needs docker's client")
def test_docker_without_its_engine_is_told_of(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    (finding,) = machine.docker_runs(Project(checkout))
    assert "does not run" in finding.what


def test_a_port_that_is_taken_is_told_of(checkout, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        (finding,) = machine.port_is_free(Project(checkout))
    assert f"port {port} is taken" in finding.what


def test_a_port_that_is_none_is_told_of(checkout, monkeypatch):
    monkeypatch.setenv("PORT", "web")
    (finding,) = machine.port_is_free(Project(checkout))
    assert "'web'" in finding.what


def test_a_python_that_is_too_old_is_told_of(checkout):
    edit(checkout, "pyproject.toml", None, '[project]\nrequires-python = ">=3.99"\n')
    (finding,) = machine.python_is_new_enough(Project(checkout))
    assert "3.99" in finding.what


@pytest.mark.usefixtures("healthy_machine")
def test_it_exits_with_0_where_nothing_is_to_mend_and_says_what_would_be_sent(checkout, capsys):
    assert main([str(checkout), "--bundle"]) == 0
    printed = capsys.readouterr().out
    assert "nothing to mend" in printed
    assert "  Dockerfile\n" in printed
    assert "would send commit" in printed


@pytest.mark.usefixtures("healthy_machine")
def test_it_exits_with_1_where_something_is(checkout, capsys):
    edit(checkout, "Dockerfile", "EXPOSE 9696", "EXPOSE 80")
    assert main([str(checkout)]) == 1
    assert "EXPOSE 9696" in capsys.readouterr().out


def test_it_exits_with_2_where_the_command_is_wrong(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["/no/such/folder"])
    assert exited.value.code == 2
    assert "/no/such/folder" in capsys.readouterr().err


def doctor(*options):
    """Run it as a person does."""
    return subprocess.run(
        [sys.executable, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "99"},
    )


def test_its_help_has_examples():
    assert "pipenv run doctor --bundle" in doctor("-m", "churn.doctor", "--help").stdout


def test_it_runs_where_no_package_is_installed(checkout):
    done = doctor("-S", "-m", "churn.doctor", str(checkout))
    assert "pipenv sync --all" in done.stdout
    assert "checks:" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_service_does_not_import_it():
    done = doctor(
        "-c", "import sys, predict; print([name for name in sys.modules if 'doctor' in name])"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
