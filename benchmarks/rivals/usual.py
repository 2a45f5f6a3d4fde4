"""The usual way to score a table: dictionaries, the vectorizer, the model."""

import pickle
import sys
from pathlib import Path

import pandas

vectorizer, model = pickle.loads((Path(__file__).parents[2] / "churn-model.bin").read_bytes())  # noqa: S301
source, target = sys.argv[1:]
table = pandas.read_csv(source) if source.endswith("csv") else pandas.read_parquet(source)
clean = table.copy()
clean.columns = clean.columns.str.lower().str.replace(" ", "_")
clean["totalcharges"] = pandas.to_numeric(clean["totalcharges"], errors="coerce").fillna(0)
for column in clean.select_dtypes(exclude="number").columns:
    clean[column] = clean[column].str.lower().str.replace(" ", "_")
records = clean.to_dict(orient="records")
table["churn_probability"] = model.predict_proba(vectorizer.transform(records))[:, 1]
table["churn_predicted"] = table["churn_probability"] >= 0.5
if target.endswith("csv"):
    table.to_csv(target, index=False)
else:
    table.to_parquet(target)
