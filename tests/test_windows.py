"""Windows, as far as another system can tell: no POSIX-only module, no drive left out, CRLF."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import PureWindowsPath

import pytest
from conftest import CUSTOMER, ROOT, Server
from engine import ask

from churn.settings import Settings

#: Modules that Python has on POSIX alone, and packages that are not installed on Windows.
ABSENT = [
    "fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "syslog", "gunicorn", "uvloop",
]  # fmt: skip

#: Hides what Windows lacks, then does as ``python -c`` with the rest of the command line.
HIDE = f"""
import importlib.abc, os, signal, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}, as on Windows", name=name)

import asyncio, subprocess, tempfile  # these look for the system, and not for modules
for name in {ABSENT!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hidden())
for name in ("fork", "sched_getaffinity", "getuid", "geteuid", "uname"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGQUIT", "SIGALRM"):
    delattr(signal, name)
sys.path.insert(0, os.getcwd())
"""


def hidden(code):
    return subprocess.run(
        [sys.executable, "-c", HIDE + code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_the_hiding_hides():
    done = hidden("import gunicorn")
    assert "as on Windows" in done.stderr


@pytest.mark.parametrize(
    "module", ["predict", "predict_fastapi", "client", "train", "churn.doctor.__main__"]
)
def test_it_loads_without_what_windows_lacks(module):
    done = hidden(f"import {module}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", ["predict", "predict_fastapi"])
def test_it_serves_without_what_windows_lacks(tmp_path, program):
    file = tmp_path / "serve.py"
    arguments = [f"{program}.py", "--host", "127.0.0.1", "--port", "0"]
    run = f"import runpy; sys.argv = {arguments}; runpy.run_path(sys.argv[0], None, '__main__')"
    file.write_text(HIDE + run, encoding="utf-8")
    answered(Server([str(file)]))


def test_waitress_serve_serves_as_the_readme_has_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listen, app = re.search(r"waitress-serve --listen=(\S+) (predict:app)", readme).groups()
    assert listen == "0.0.0.0:9696"
    answered(Server(["-m", "waitress", "--listen=127.0.0.1:0", app]))


def answered(server):
    """Ask for the known customer, and stop the server."""
    status, body = ask(server.port, "POST", "/predict", json.dumps(CUSTOMER))
    server.stop()
    assert (status, json.loads(body)["churn"]) == (200, True)


def test_a_table_with_windows_line_ends_is_answered_with_them(client):
    row = ",".join(map(str, CUSTOMER.values()))
    table = f"{','.join(CUSTOMER)}\r\n{row}\r\n"
    answer = client.post("/predict", data=table, content_type="text/csv").data
    assert answer.count(b"\r\n") == answer.count(b"\n") == 2


def test_a_path_with_a_drive_stays_whole():
    path = r"C:\models\mine.bin"
    asked = Settings.from_env({"CHURN_MODEL": path}, ROOT).model
    assert PureWindowsPath(asked).drive == "C:"
    assert str(asked) == path


def test_git_checks_texts_out_with_their_own_line_ends():
    # with CRLF, Python's files would do, but the Dockerfile's and the hooks' shell lines would not
    lines = (ROOT / ".gitattributes").read_text(encoding="utf-8").split("\n")
    assert "* text=auto eol=lf" in lines
    assert "*.bin binary" in lines


@pytest.mark.parametrize(
    "source",
    [
        path.relative_to(ROOT).as_posix()
        for path in [*ROOT.glob("*.py"), *ROOT.glob("churn/**/*.py")]
    ],
)
def test_no_text_is_read_or_written_in_whatever_the_system_speaks(source):
    # Windows takes its own code page where no encoding is named
    for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            told = [ast.unparse(each) for each in [*node.args, *node.keywords]]
            if node.func.attr in {"read_text", "write_text"} and source != "gunicorn.conf.py":
                assert "utf-8" in "".join(told), ast.unparse(node)
