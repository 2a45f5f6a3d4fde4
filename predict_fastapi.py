"""Serve the churn model with FastAPI: the same answers as predict.py, on newer tools.

`app` is for uvicorn: `uvicorn --no-proxy-headers predict_fastapi:app`, so that it leaves to
CHURN_TRUSTED_PROXIES whose headers are believed. Run as a program, this file serves it itself.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from churn.errors import ChurnError
from churn.model import load
from churn.service import Service
from churn.settings import Settings
from churn.web import logs
from churn.web.fastapi_app import create_app
from churn.web.listening import options

HERE = Path(__file__).resolve().parent

DESCRIPTION = "Serve the churn model over HTTP with FastAPI and uvicorn."

EPILOG = """\
examples:
  python predict_fastapi.py
  uvicorn predict_fastapi:app --no-proxy-headers --reload --port 9696

Environment: PORT and the CHURN_… variables, as for predict.py; README.md lists them.
"""

asked = options("predict_fastapi.py", DESCRIPTION, EPILOG) if __name__ == "__main__" else None
try:
    settings = Settings.from_env(os.environ, HERE)
    logs.configure()
    logging.getLogger("uvicorn.access").disabled = True  # a request has its line already, of ours
    service = Service(load(settings.model, settings.trusted), settings)
    logs.say(service, settings)
    app = create_app(service, settings)
    if asked:
        from churn.web.uvicorn_server import serve

        serve(app, asked.host, settings.port if asked.port is None else asked.port)
except ChurnError as error:
    # one line for a person: a server that imports this stops as well, without a traceback
    sys.exit(f"predict_fastapi.py: {error}")
