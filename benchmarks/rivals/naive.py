"""The usual way to serve a pickled pair: unpickle it, and call scikit-learn in the route."""

import pickle
from pathlib import Path

from flask import Flask, jsonify, request

vectorizer, model = pickle.loads((Path(__file__).parents[2] / "churn-model.bin").read_bytes())  # noqa: S301
app = Flask("naive")


@app.post("/predict")
def predict():
    """Return the probability of the customer in the body."""
    table = vectorizer.transform([request.get_json()])
    probability = model.predict_proba(table)[0, 1]
    return jsonify({"churn_probability": float(probability), "churn": bool(probability >= 0.5)})
