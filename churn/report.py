"""What a training found, told to a person: tables for the terminal, and drawings."""

from __future__ import annotations

from collections.abc import Sequence

from churn.data import Dataset
from churn.schema import normalise
from churn.training import SCORE_NAMES, Trained

#: Headings of the scores, with the way in which each gets better.
HEADINGS = {"roc_auc": "ROC AUC ↑", "brier": "Brier score ↓", "log_loss": "log loss ↓"}


def of_data(dataset: Dataset) -> str:
    """Return what was found in the table."""
    churned = sum(dataset.churned)
    lines = [
        f"{len(dataset):,} customers, {churned:,} left ({churned / len(dataset):.1%}: "
        f"{dataset.target} is {dataset.positive!r}), {len(dataset.schema.fields)} fields"
    ]
    for each in dataset.schema.fields:
        if each.missing is not None:
            gaps = dataset.gaps.get(each.name, 0)
            lines.append(f"{each.name}: {gaps:,} gaps stand for {each.missing!r}")
    return "\n".join([*lines, *dataset.notes])


def of_training(trained: Trained) -> str:
    """Return the scores of the model beside plain logistic regression's."""
    ours, plain = trained.cross_validation, trained.plain
    folds = len(ours.folds)
    rows = [["", *HEADINGS.values()]]
    name = _name(trained)
    rows.append(
        [
            f"{folds} folds: {name}",
            *(f"{ours.mean(s):.4f} ± {ours.std(s):.4f}" for s in SCORE_NAMES),
        ]
    )
    if name != "logistic":
        rows.append(
            [
                f"{folds} folds: logistic",
                *(f"{plain.mean(s):.4f} ± {plain.std(s):.4f}" for s in SCORE_NAMES),
            ]
        )
    rows.append([f"held out: {name}", *(f"{getattr(trained.test, s):.4f}" for s in SCORE_NAMES)])
    if name != "logistic":
        rows.append(
            ["held out: logistic", *(f"{getattr(trained.plain_test, s):.4f}" for s in SCORE_NAMES)]
        )
    recipe = ", ".join(
        f"{key} {value}" for key, value in trained.recipe.to_json().items() if key != "kind"
    )
    return (
        f"{_table(rows)}\n\nFinal fit: {name} ({recipe}) on all {len(trained.probabilities):,} "
        f"customers; the {len(trained.held.churned):,} held out judged the same recipe unseen."
    )


def _name(trained: Trained) -> str:
    return normalise(trained.recipe.kind)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)
