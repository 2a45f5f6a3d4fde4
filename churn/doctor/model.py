"""The model: there, whole, its own manifest's, and giving the numbers that it gave in training."""

from __future__ import annotations

import json
from importlib import metadata

from churn import model
from churn.doctor.findings import Finding
from churn.doctor.project import Project
from churn.errors import ArtifactError, UntrustedError

MODEL = "churn-model.bin"
MANIFEST = "churn-model.json"

#: How Git LFS's stand-in for a file begins.
_LFS = b"version https://git-lfs"


def model_serves(project: Project) -> list[Finding]:
    """Loaded as the service loads it, golden customers and all."""
    path = project.root / MODEL
    if path.is_file() and path.read_bytes()[:40].startswith(_LFS):
        what = "Git LFS's stand-in, not the model: Elastic Beanstalk would get this"
        return [Finding(what, MODEL, f"git lfs pull && git lfs untrack {MODEL} && git add {MODEL}")]
    try:
        model.load(path)
    except UntrustedError as error:
        cure = f"CHURN_TRUST_SHA256={error.sha256}  # if you know who made it"
        return [Finding(str(error), MODEL, cure, serious=False)]
    except ArtifactError as error:
        where = error.file.name if error.file else MODEL
        return [
            Finding(
                str(error), where, f"git checkout -- {MODEL} {MANIFEST}  # or: pipenv run train"
            )
        ]
    return []


def model_is_of_this_scikit_learn(project: Project) -> list[Finding]:
    """The service doesn't mind another version; whoever unpickles the pair in a notebook does."""
    try:
        trained = json.loads(project.text(MANIFEST))["libraries"]["scikit-learn"]
        here = metadata.version("scikit-learn")
    except (ValueError, KeyError, TypeError, metadata.PackageNotFoundError):
        return []
    if trained == here:
        return []
    what = f"trained with scikit-learn {trained}; {here} is installed; it is served all the same"
    return [
        Finding(what, project.line(MANIFEST, "scikit-learn"), "pipenv run train", serious=False)
    ]
