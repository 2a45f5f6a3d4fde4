"""Which module imports which, read from the source; and what a serving process never loads."""

import ast
import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHURN = ROOT / "churn"

#: Each module may import those before it, and the web editions all of them.
CORE = [
    "errors", "settings", "schema", "inert", "artifact", "scorecard", "opaque", "model", "table",
    "advice", "quick", "service",
]  # fmt: skip
TRAINING = ["data", "training", "report"]
SCORING = ["sql", "batch", "database"]
LIBRARIES = {"numpy", "scipy", "sklearn", "pandas", "matplotlib", "joblib", "pyarrow", "tqdm"}
FRAMEWORKS = {"flask", "werkzeug", "fastapi", "starlette", "gunicorn", "waitress", "uvicorn"}

SOURCES = {path.relative_to(CHURN).with_suffix("").as_posix(): path for path in CHURN.rglob("*.py")}


def imported(path):
    """Return every module that a source file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path):
    """Return the parts of this project that a source file imports: ``schema``, ``web``."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("churn.")}


def theirs(path):
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("module", CORE)
def test_imports_of_the_core_point_one_way(module):
    before = CORE[: CORE.index(module)]
    assert ours(SOURCES[module]) <= set(before)


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in TRAINING])
def test_serving_never_imports_the_training_side(source):
    assert not ours(SOURCES[source]) & set(TRAINING)
    allowed = {"sklearn"} if source == "opaque" else set()  # for a file the operator vouches for
    assert theirs(SOURCES[source]) & LIBRARIES <= allowed


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in SCORING])
def test_only_scoring_tables_knows_databases(source):
    assert not ours(SOURCES[source]) & set(SCORING)
    assert not theirs(SOURCES[source]) & {"duckdb", "sqlglot", "psycopg"}


@pytest.mark.parametrize("source", [name for name in SOURCES if not name.startswith("web/")])
def test_only_the_web_editions_know_a_web_framework(source):
    assert not theirs(SOURCES[source]) & FRAMEWORKS
    assert "web" not in ours(SOURCES[source])


@pytest.mark.parametrize("source", [name for name in SOURCES if not name.startswith("doctor/")])
def test_settings_are_read_by_the_entry_points_alone(source):
    text = SOURCES[source].read_text("utf-8")
    assert not any(read in text for read in ("os.environ", "getenv", "Settings.from_env("))


def test_training_imports_data_and_report_imports_both():
    assert not ours(SOURCES["data"]) & {"training", "report"}
    assert not ours(SOURCES["training"]) & {"report"}


def loaded(importing):
    """Return the modules that a process holds once it has imported another."""
    probe = f"import sys, {importing}; print(*sys.modules, file=sys.stderr)"
    run = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stderr.split())


def test_loading_a_model_imports_none_of_the_training_libraries():
    assert not {name.partition(".")[0] for name in loaded("churn.model")} & LIBRARIES


#: What a prediction does without: drawings, what /metrics writes with, what other servers need.
LATER = {
    "churn.web.drawing", "churn.web.waitress_server", "prometheus_client",
    "gzip", "wsgiref", "argparse", "statistics", "sqlite3", "xml", "multiprocessing", "unittest",
    "werkzeug.debug", "werkzeug.middleware", "werkzeug._reloader", "logging.config", "pdb",
}  # fmt: skip


@pytest.mark.parametrize(
    ("program", "later"),
    [
        ("predict", {"churn.web.openapi", "asyncio", "fastapi", "uvicorn", "waitress", "gunicorn"}),
        ("predict_fastapi", {"flask", "werkzeug", "jinja2", "waitress", "gunicorn"}),
    ],
)
def test_serving_starts_with_nothing_that_a_prediction_does_without(program, later):
    assert loaded(program) & (LATER | LIBRARIES | later) == set()


#: Scores every pickle of other releases, and replays the shipped model's golden customers.
BARE = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
from churn import model
told = json.loads(Path("tests/pickles/expected.json").read_text())
worst = 0.0
for name, wanted in told["files"].items():
    found = model.load(Path("tests/pickles", name))
    for customer, want in zip(told["customers"], wanted):
        got = found.scorer.probability(found.schema.check(customer))
        worst = max(worst, abs(got - want))
shipped = model.load(Path("churn-model.bin"))
libraries = ["numpy", "scipy", "sklearn", "pandas"]
print(json.dumps({
    "worst": worst, "golden": len(shipped.manifest.golden), "scorecard": bool(shipped.scorecard),
    "installed": [name for name in libraries if find_spec(name)],
}))
"""


def test_environment_with_nothing_installed_scores_as_scikit_learn_does(tmp_path):
    venv.create(tmp_path, with_pip=False, symlinks=sys.platform != "win32")
    python = tmp_path / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run = subprocess.run(
        [python, "-c", BARE], cwd=ROOT, capture_output=True, text=True, check=True, env={}
    )
    told = json.loads(run.stdout)
    assert told["installed"] == []
    assert told["worst"] <= 1e-12
    assert told["golden"] >= 3
    assert told["scorecard"]
