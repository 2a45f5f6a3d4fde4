"""The model on disk: ``churn-model.bin``, a pickled pair, and ``churn-model.json``, its manifest.

The manifest says what the pickle can't: the schema, what was measured, the threshold, and the
SHA-256 that ties the two files together. A ``.bin`` without a manifest is served too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from churn.errors import ArtifactError, DataError, reason
from churn.schema import Customer, Schema

#: The manifest's format. It goes up when an older reader would misread a newer manifest; new keys
#: alone don't raise it, since readers ignore what they don't know. Readers keep every older one.
FORMAT = 1

#: How often two files that don't belong together are read again.
RETRIES = 2

#: Probability from which a customer counts as leaving, unless training or the operator says.
THRESHOLD = 0.5


@dataclass(frozen=True)
class Golden:
    """A customer and the probability that scikit-learn itself gave it."""

    customer: Customer
    probability: float


@dataclass(frozen=True)
class Manifest:
    """What is known of a model; of one made elsewhere, perhaps only its schema."""

    schema: Schema
    sha256: str = ""
    model: str = "unknown"
    #: When training ended, ISO 8601 in UTC.
    trained: str | None = None
    #: The outcome's column, and which of its values means that the customer left.
    target: Mapping[str, str] | None = None
    threshold: float = THRESHOLD
    #: The fields a company can act on.
    actionable: tuple[str, ...] = ()
    #: Mean points of each field over the training customers, in log-odds.
    average: Mapping[str, float] | None = None
    #: Counts of each field's values in training, for drift.
    profile: Mapping[str, Any] = field(default_factory=dict)
    #: Pairs of values never seen in one customer, though chance alone would have shown them.
    never_together: tuple[tuple[str, str, str, str], ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    golden: tuple[Golden, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as it is written."""
        told = {"format": FORMAT, **vars(self)}
        told["schema"] = self.schema.to_json()
        told["golden"] = [vars(golden) for golden in self.golden]
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Manifest:
        """Return the manifest that :meth:`to_json` told of.

        :raises ArtifactError: it is of a newer format, or lacks something.
        """
        if told.get("format", 0) > FORMAT:
            raise ArtifactError(
                f"it has format {told['format']}, newer than this version's {FORMAT}: "
                "upgrade the service, or train with this version"
            )
        if not 0 <= told.get("threshold", THRESHOLD) <= 1:
            raise ArtifactError(f"its threshold is {told['threshold']}, not between 0 and 1")
        known = {name: told[name] for name in cls.__dataclass_fields__ if name in told}
        known["schema"] = Schema.from_json(told["schema"])
        known["golden"] = tuple(
            Golden(golden["customer"], golden["probability"]) for golden in told.get("golden", ())
        )
        known["actionable"] = tuple(told.get("actionable", ()))
        known["never_together"] = tuple(map(tuple, told.get("never_together", ())))
        return cls(**known)


@dataclass(frozen=True)
class Artifact:
    """A model's files: the pickle's bytes, not yet understood, and the manifest."""

    path: Path
    content: bytes
    sha256: str
    manifest: Manifest | None


def read(path: Path) -> Artifact:
    """Return the model's files, found whole and belonging together.

    :raises ArtifactError: a file is missing, unreadable or altered.
    """
    for _ in range(RETRIES):
        try:
            return _read(path)
        except _Altered:  # or a training is just moving its files in place: look again
            pass
    return _read(path)


class _Altered(ArtifactError):
    """The two files do not belong together."""


def _read(path: Path) -> Artifact:
    if path.is_dir():
        raise ArtifactError(f"{path} is a folder: name the .bin in it")
    if path == manifest_path(path):
        raise ArtifactError(f"{path} is a manifest: name the .bin beside it")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(
            f"no model at {path}: train one with train.py --output {path}, "
            "or name another with CHURN_MODEL"
        ) from None
    except OSError as error:
        raise ArtifactError(f"can't read {path}: {error.strerror}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    return Artifact(path, content, sha256, _manifest_of(path, sha256))


def save(path: Path, content: bytes, manifest: Manifest) -> None:
    """Write a pickled pair and its manifest; a crash leaves a whole model, old or new.

    Each file is written beside its place and then moved there. Between the two moves the new
    ``.bin`` stands beside the old manifest, and :func:`read` takes the new one from beside it.

    :raises DataError: the files can't be written there.
    """
    if path == manifest_path(path):
        raise DataError(f"can't write {path}: the manifest goes there; call the model a .bin")
    manifest = replace(manifest, sha256=hashlib.sha256(content).hexdigest())
    text = json.dumps(manifest.to_json(), indent=1, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _finish(path)
        _write(_partial(path), content)
        _write(_partial(manifest_path(path)), text.encode())
        for place in (path, manifest_path(path)):
            _move_in(place)
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror}") from error


def manifest_path(path: Path) -> Path:
    """Return where the manifest of the model at ``path`` lies."""
    return path.with_suffix(".json")


def _manifest_of(path: Path, sha256: str) -> Manifest | None:
    place = manifest_path(path)
    if place.exists():
        manifest = _manifest(place)
        if manifest.sha256 == sha256:
            return manifest
    if (waiting := _waiting(path)) and waiting.sha256 == sha256:
        return waiting
    if not place.exists():
        return None
    raise _Altered(
        f"{path} is not the file that {place.name} describes (its sha256 is {sha256[:12]}…): "
        f"restore the two from one training, or delete {place.name} to serve the model without it"
    )


def _manifest(place: Path) -> Manifest:
    try:
        return Manifest.from_json(json.loads(place.read_bytes()))
    except ArtifactError as error:
        raise ArtifactError(f"can't use {place}: {error}", place) from error
    except Exception as error:  # a foreign file may hold any JSON, or none
        raise ArtifactError(
            f"can't read {place} ({reason(error)}); restore it, or delete it to "
            "serve the model without it",
            place,
        ) from error


def _waiting(path: Path) -> Manifest | None:
    """Return the whole manifest that waits to be moved in, if an interrupted training left one."""
    try:
        return _manifest(_partial(manifest_path(path)))
    except ArtifactError:
        return None


def _finish(path: Path) -> None:
    """Do the last move of a training that was interrupted just before it."""
    waiting = _waiting(path) if path.exists() else None
    if waiting and waiting.sha256 == hashlib.sha256(path.read_bytes()).hexdigest():
        _move_in(manifest_path(path))


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _move_in(place: Path) -> None:
    """Move a file from beside its place into it, for good."""
    _partial(place).replace(place)
    if os.name == "posix":  # a power cut may otherwise keep the second move and lose the first
        directory = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
