"""Train the course's own model, plain logistic regression: ``python logistic.py`` writes its pair.

The pair lies here as logistic.bin, so that the naive service can be measured with it as well.
"""

import pickle
from pathlib import Path

import pandas as pd
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent

if __name__ == "__main__":
    table = pd.read_csv(HERE.parents[1] / "data" / "telco-customer-churn.csv")
    table.columns = table.columns.str.lower()
    table.totalcharges = pd.to_numeric(table.totalcharges, errors="coerce").fillna(0)
    for name in table.select_dtypes("str"):
        table[name] = table[name].str.lower().str.replace(" ", "_")
    churned = (table.pop("churn") == "yes").to_numpy(int)
    vectorizer = DictVectorizer(sparse=False)
    customers = vectorizer.fit_transform(table.to_dict(orient="records"))
    model = LogisticRegression(C=1.0, max_iter=10_000).fit(customers, churned)
    (HERE / "logistic.bin").write_bytes(pickle.dumps((vectorizer, model)))
