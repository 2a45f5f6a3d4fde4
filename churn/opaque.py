"""A model that is no scorecard, served through scikit-learn: the operator vouches for it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from churn.errors import ArtifactError, reason
from churn.schema import Customer, Schema, Value


class Opaque:
    """Any fitted pair ``(DictVectorizer, classifier)``; gives probabilities, but no reasons."""

    def __init__(self, vectorizer: Any, model: Any) -> None:
        self._vectorizer = vectorizer
        self._model = model

    def probability(self, customer: Customer) -> float:
        """Return the probability that a customer leaves, between 0 and 1."""
        return self._scored([customer])[0]

    def probabilities(self, columns: Mapping[str, Sequence[Value]]) -> list[float]:
        """Return the probability of each customer, given their fields as columns of one length."""
        rows = zip(*columns.values(), strict=True)
        return self._scored([dict(zip(columns, row, strict=True)) for row in rows])

    def _scored(self, customers: list[Customer]) -> list[float]:
        table = self._vectorizer.transform(customers)
        return [float(p) for p in self._model.predict_proba(table)[:, 1]]

    @classmethod
    def unpickled(cls, content: bytes, schema: Schema | None) -> tuple[Opaque, Schema, list[Any]]:
        """Return the model in a pickle, its schema and its classes. **This runs the file.**

        :raises ArtifactError: scikit-learn isn't here, or can't make a model of the file.
        """
        try:
            import sklearn
        except ImportError:
            raise ArtifactError(
                "it needs scikit-learn, which this environment lacks: "
                'run pipenv sync --categories "packages train"'
            ) from None
        try:
            found = pickle.loads(content)  # noqa: S301 - its sha256 is the operator's own word
            steps = getattr(found, "steps", None)
            vectorizer, model = (steps[0][1], found[1:]) if steps else found
            features, separator = list(vectorizer.feature_names_), vectorizer.separator
            classes = model.classes_.tolist()
            schema = schema or Schema.recovered(features, separator)
            made = cls(vectorizer, model)
            made.probability({each.name: (*each.values, 0)[0] for each in schema.fields})
        except Exception as error:  # a foreign file may raise anything at all
            raise ArtifactError(
                f"scikit-learn {sklearn.__version__} can't make a pair (DictVectorizer, model) "
                f"of it ({reason(error)}); use the release that wrote it"
            ) from error
        if len(classes) != 2:
            raise ArtifactError(f"it knows {len(classes)} classes, not leaving and staying")
        return made, schema, classes
