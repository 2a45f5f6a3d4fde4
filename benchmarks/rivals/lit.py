"""A framework for serving models: LitServe, two workers."""

import pickle
import sys
from pathlib import Path

import litserve


class Churn(litserve.LitAPI):
    """The pair behind LitServe's own route."""

    def setup(self, device):
        """Read the pair, once a worker."""
        path = Path(__file__).parents[2] / "churn-model.bin"
        self.vectorizer, self.model = pickle.loads(path.read_bytes())  # noqa: S301

    def decode_request(self, request):
        """Return the customer in the body."""
        return request

    def predict(self, customer):
        """Return the probability that the customer leaves."""
        return float(self.model.predict_proba(self.vectorizer.transform([customer]))[0, 1])

    def encode_response(self, probability):
        """Return what is said of the customer."""
        return {"churn_probability": probability, "churn": probability >= 0.5}


if __name__ == "__main__":
    server = litserve.LitServer(
        Churn(api_path="/predict"), accelerator="cpu", workers_per_device=2,
    )  # fmt: skip
    server.run(port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
