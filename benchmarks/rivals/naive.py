"""The usual way to serve a pickled pair: unpickle it, and call scikit-learn in the route."""

import os
import pickle
from pathlib import Path

from flask import Flask, jsonify, request

HERE = Path(__file__).parent
pair = HERE / os.environ.get("PAIR", "../../churn-model.bin")
vectorizer, model = pickle.loads(pair.read_bytes())  # noqa: S301
app = Flask("naive")


@app.post("/predict")
def predict():
    """Return the probability of the customer in the body."""
    table = vectorizer.transform([request.get_json()])
    probability = model.predict_proba(table)[0, 1]
    return jsonify({"churn_probability": float(probability), "churn": bool(probability >= 0.5)})
