"""The usual way with FastAPI: a model of the body's fields, and scikit-learn in the route."""

import pickle
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

vectorizer, model = pickle.loads((Path(__file__).parents[2] / "churn-model.bin").read_bytes())  # noqa: S301
app = FastAPI()


class Customer(BaseModel):
    """The fields of a customer."""

    gender: str
    seniorcitizen: int
    partner: str
    dependents: str
    phoneservice: str
    multiplelines: str
    internetservice: str
    onlinesecurity: str
    onlinebackup: str
    deviceprotection: str
    techsupport: str
    streamingtv: str
    streamingmovies: str
    contract: str
    paperlessbilling: str
    paymentmethod: str
    tenure: int
    monthlycharges: float
    totalcharges: float


class Answer(BaseModel):
    """What is said of a customer."""

    churn_probability: float
    churn: bool


@app.post("/predict")
def predict(customer: Customer) -> Answer:
    """Return the probability of the customer in the body."""
    table = vectorizer.transform([customer.model_dump()])
    probability = float(model.predict_proba(table)[0, 1])
    return Answer(churn_probability=probability, churn=probability >= 0.5)
