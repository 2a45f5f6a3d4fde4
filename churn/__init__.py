"""Train a churn model on a table of customers and serve it."""
