"""A framework for serving models: BentoML, two workers."""

import pickle
from pathlib import Path

import bentoml


@bentoml.service(workers=2)
class Churn:
    """The pair behind BentoML's own route."""

    def __init__(self):
        path = Path(__file__).parents[2] / "churn-model.bin"
        self.vectorizer, self.model = pickle.loads(path.read_bytes())  # noqa: S301

    @bentoml.api
    def predict(self, customer: dict, /) -> dict:
        """Return the probability of the customer in the body."""
        table = self.vectorizer.transform([customer])
        probability = float(self.model.predict_proba(table)[0, 1])
        return {"churn_probability": probability, "churn": probability >= 0.5}
