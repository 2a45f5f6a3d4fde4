"""Serve the churn model.

`app` is for gunicorn, waitress and flask: `gunicorn predict:app`. Run as a program, this file
serves it with waitress, on every system.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from churn.errors import ChurnError
from churn.model import load
from churn.service import Service
from churn.settings import Settings
from churn.web import logs
from churn.web.flask_app import create_app
from churn.web.listening import options

HERE = Path(__file__).resolve().parent

DESCRIPTION = "Serve the churn model over HTTP, on every system."

EPILOG = """\
examples:
  python predict.py
  python predict.py --port 8080

Environment: PORT; CHURN_MODEL, another model's .bin; CHURN_THRESHOLD, the probability from which a
customer counts as leaving; README.md lists the others.
"""

asked = options("predict.py", DESCRIPTION, EPILOG) if __name__ == "__main__" else None
try:
    settings = Settings.from_env(os.environ, HERE)
    logs.configure()
    service = Service(load(settings.model, settings.trusted), settings)
    logs.say(service, settings)
    app = create_app(service, settings)
    if asked:
        from churn.web.waitress_server import serve

        serve(app, settings, asked.host, settings.port if asked.port is None else asked.port)
except ChurnError as error:
    # one line for a person: a server that imports this stops as well, without a traceback
    sys.exit(f"predict.py: {error}")
