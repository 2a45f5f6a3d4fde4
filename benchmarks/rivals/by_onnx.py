"""onnxruntime with the converted pair, whose columns pandas' dummies are."""

import json
import sys
from pathlib import Path

import onnxruntime
import pandas

session = onnxruntime.InferenceSession(Path(sys.prefix, "churn-model.onnx"))
names = json.loads(session.get_modelmeta().custom_metadata_map["names"])
source, target = sys.argv[1:]
table = pandas.read_csv(source) if source.endswith("csv") else pandas.read_parquet(source)
clean = table.copy()
clean.columns = clean.columns.str.lower().str.replace(" ", "_")
clean["totalcharges"] = pandas.to_numeric(clean["totalcharges"], errors="coerce").fillna(0)
for column in clean.select_dtypes(exclude="number").columns:
    clean[column] = clean[column].str.lower().str.replace(" ", "_")
dummies = pandas.get_dummies(clean, prefix_sep="=", dtype="float32")
customers = dummies.reindex(columns=names, fill_value=0).to_numpy("float32")
(probabilities,) = session.run(["probabilities"], {"customers": customers})
table["churn_probability"] = probabilities[:, 1]
table["churn_predicted"] = table["churn_probability"] >= 0.5
if target.endswith("csv"):
    table.to_csv(target, index=False)
else:
    table.to_parquet(target)
