"""Polars with the scorecard's tables and curves written as its expressions, by columns."""

import sys
from pathlib import Path

import polars

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from churn.model import load  # noqa: E402

source, target = sys.argv[1:]
csv = source.endswith("csv")
frame = polars.scan_csv(source, infer_schema=False) if csv else polars.scan_parquet(source)
model = load(ROOT / "churn-model.bin")
names = model.schema.check_columns(frame.collect_schema().names())
logit = polars.lit(model.scorer.base)
for field in model.schema.fields:
    value, card = polars.col(names[field.name]), model.scorer.points[field.name]
    if not field.numeric:
        text = value.str.strip_chars().str.to_lowercase().str.replace_all(" ", "_", literal=True)
        logit += text.replace_strict(dict(card), default=None, return_dtype=polars.Float64)
        continue
    number = value.str.strip_chars().cast(polars.Float64, strict=False) if csv else value
    if field.missing is not None:
        number = number.fill_null(field.missing)
    first, *rest = card.pieces
    points = first[1] + first[2] * (number - first[0])
    for knot, (anchor, at, slope) in zip(card.knots, rest, strict=True):
        points = polars.when(number >= knot).then(at + slope * (number - anchor)).otherwise(points)
    logit += points
scored = frame.with_columns(churn_probability=1 / (1 + (-logit).exp())).with_columns(
    churn_predicted=polars.col("churn_probability") >= 0.5
)
(scored.sink_csv if csv else scored.sink_parquet)(target)
