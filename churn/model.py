"""A model ready to serve: read, understood, and proven on its golden customers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn import artifact
from churn.artifact import Artifact, Manifest
from churn.errors import ArtifactError, UntrustedError, reason
from churn.opaque import Opaque
from churn.schema import Customer, Schema
from churn.scorecard import Scorecard

#: How far a golden customer's probability may be from the recorded one: far more than another
#: processor's rounding, far less than any wrong model.
GOLDEN_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Model:
    """A scorer with all that is known of it. ``classes[1]`` is the class the probability is of."""

    path: Path
    sha256: str
    scorer: Scorecard | Opaque
    schema: Schema
    manifest: Manifest
    classes: tuple[Any, ...]

    @property
    def version(self) -> str:
        """A short name for exactly these bytes."""
        return self.sha256[:12]

    @property
    def scorecard(self) -> Scorecard | None:
        """The card, where the model is one."""
        return self.scorer if isinstance(self.scorer, Scorecard) else None

    @property
    def example(self) -> Customer:
        """A customer to show: the first of training's, or one made up of the first values known."""
        if self.manifest.golden:
            return self.manifest.golden[0].customer
        return {each.name: each.example for each in self.schema.fields}

    @property
    def unknown(self) -> list[str]:
        """What nobody recorded of a model made elsewhere, in words."""
        missing = {
            "ranges": not any(each.low is not None for each in self.schema.fields),
            "metrics": not self.manifest.metrics,
            "golden customers": not self.manifest.golden,
        }
        return [what for what, absent in missing.items() if absent]

    def prove(self) -> None:
        """Score the golden customers again.

        :raises ArtifactError: one has another probability than scikit-learn gave it in training.
        """
        for golden in self.manifest.golden:
            try:
                got = self.scorer.probability(golden.customer)
                same = abs(got - golden.probability) <= GOLDEN_TOLERANCE
            except (LookupError, TypeError, ValueError) as error:
                raise ArtifactError(
                    f"{self.path} can't score a golden customer of its manifest "
                    f"({reason(error)}): train again with train.py"
                ) from error
            if not same:
                raise ArtifactError(
                    f"{self.path} gives a golden customer {got:.6f}, where training got "
                    f"{golden.probability:.6f}: train again with train.py"
                )


def load(path: Path, trusted: Collection[str] = ()) -> Model:
    """Return the model at ``path``, proven.

    A file that is no scorecard is unpickled only if ``trusted`` holds its SHA-256 in hex.

    :raises ArtifactError: the model is missing, altered, hostile, or does not prove itself.
    """
    found = artifact.read(path)
    try:
        model = _understood(found, trusted)
    except UntrustedError as error:
        raise UntrustedError(
            f"can't serve {path}: {error}", error.sha256, error.asks_for
        ) from error
    except ArtifactError as error:
        raise ArtifactError(f"can't serve {path}: {error}") from error
    model.prove()
    return model


def _understood(found: Artifact, trusted: Collection[str]) -> Model:
    known = found.manifest
    schema = known.schema if known else None
    average = known.average if known else None
    scorer: Scorecard | Opaque
    try:
        scorer, schema, classes = Scorecard.from_pickle(
            found.content, found.sha256, schema, average
        )
    except UntrustedError:
        if found.sha256 not in trusted:
            raise
        scorer, schema, classes = Opaque.unpickled(found.content, schema)
    manifest = known or Manifest(schema, found.sha256)
    return Model(found.path, found.sha256, scorer, schema, manifest, tuple(classes))
