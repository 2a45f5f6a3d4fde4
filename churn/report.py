"""What a training found, told to a person: tables for the terminal, and drawings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_curve

from churn.artifact import THRESHOLD
from churn.data import Dataset
from churn.errors import DataError
from churn.training import SCORE_NAMES, Labels, Scores, Spread, Table, Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Headings of the scores, with the way in which each gets better.
HEADINGS = {"roc_auc": "ROC AUC ↑", "brier": "Brier score ↓", "log_loss": "log loss ↓"}

#: The share of customers that a campaign might contact, for which the drawing says what it reaches.
CONTACTED = 0.2

#: Fewest customers a point of the calibration curve stands for, and most points.
FEWEST_A_POINT = 20
MOST_POINTS = 10

MODEL, PLAIN, LEFT, STAYED = "#0b5fa5", "#b5b5b5", "#d1495b", "#5f9ea0"

#: Plain logistic regression is drawn wide, below the model, so that it shows where the two meet.
WIDTHS = {MODEL: 1.5, PLAIN: 4.0}


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
            what = "1 gap, which stands" if gaps == 1 else f"{gaps:,} gaps, which stand"
            lines.append(f"{each.name}: {what} for {each.missing!r}")
    return "\n".join([*lines, *dataset.notes])


def of_training(trained: Trained) -> str:
    """Return the scores of the model beside plain logistic regression's."""
    name = trained.recipe.kind
    folds = len(trained.cross_validation.folds)
    rows = [["", *HEADINGS.values()]]
    rows.append([f"{folds} folds: {name}", *_spread(trained.cross_validation)])
    if name != "logistic":
        rows.append([f"{folds} folds: logistic", *_spread(trained.plain)])
    rows.append([f"held out: {name}", *_figures(trained.test)])
    if name != "logistic":
        rows.append(["held out: logistic", *_figures(trained.plain_test)])
    recipe = ", ".join(
        f"{key} {value}" for key, value in trained.recipe.to_json().items() if key != "kind"
    )
    return (
        f"{_table(rows)}\n\n"
        f"The model is a {name} ({recipe}), fitted on all {len(trained.probabilities):,} customers."
        f"\nThe scores are of fits that had not seen the customers they were measured on; "
        f"{len(trained.held.churned):,} were held out."
    )


def draw(trained: Trained, dataset: Dataset, path: Path, threshold: float = THRESHOLD) -> None:
    """Draw how good the model is on the customers held out, and save it as ``path`` says.

    :raises DataError: the drawing can't be written there.
    """
    from matplotlib.figure import Figure  # only a drawing needs it, and it is slow to import

    figure = Figure(figsize=(11, 9), layout="constrained")
    figure.suptitle(
        f"{trained.recipe.kind.capitalize()} of {len(dataset):,} customers, measured on "
        f"{len(trained.held.churned):,} of them held out",
        fontsize=14,
    )
    (roc, gains), (calibration, spread) = figure.subplots(2, 2)
    _draw_roc(roc, trained)
    _draw_gains(gains, trained)
    _draw_calibration(calibration, trained)
    _draw_spread(spread, trained, threshold)
    for axes in (roc, gains, calibration, spread):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror or error}") from error


def _draw_roc(axes: Axes, trained: Trained) -> None:
    for name, color, said, scores in _models(trained):
        false, true, _ = roc_curve(trained.held.churned, said)
        axes.plot(
            false,
            true,
            color=color,
            linewidth=WIDTHS[color],
            label=f"{name} (area {scores.roc_auc:.3f})",
        )
    axes.plot([0, 1], [0, 1], "k:", linewidth=1, label="a coin (area 0.5)")
    axes.set(
        title="Telling who leaves from who stays (ROC)",
        xlabel="share of those who stay that is flagged",
        ylabel="share of those who leave that is flagged",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    _percent(axes)
    axes.legend(loc="lower right")


def _draw_gains(axes: Axes, trained: Trained) -> None:
    churned = trained.held.churned
    contacted = np.arange(len(churned) + 1) / len(churned)
    for name, color, said, _ in _models(trained):
        axes.plot(
            contacted, _reached(churned, said), color=color, linewidth=WIDTHS[color], label=name
        )
    axes.plot([0, 1], [0, 1], "k:", linewidth=1, label="at random")
    reached = float(np.interp(CONTACTED, contacted, _reached(churned, trained.held.model)))
    axes.plot([CONTACTED, CONTACTED, 0], [0, reached, reached], color=LEFT, linewidth=1)
    axes.plot([CONTACTED], [reached], "o", color=LEFT, label=f"riskiest {CONTACTED:.0%}")
    axes.set(
        title=f"Contact the riskiest {CONTACTED:.0%}: reach {reached:.0%} of those who leave",
        xlabel="share of customers contacted, riskiest first",
        ylabel="share of those who leave that is reached",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    _percent(axes)
    axes.legend(loc="lower right")


def _draw_calibration(axes: Axes, trained: Trained) -> None:
    churned = trained.held.churned
    points = max(2, min(MOST_POINTS, len(churned) // FEWEST_A_POINT))
    axes.plot([0, 1], [0, 1], "k:", linewidth=1, label="just as said")
    seen = 0.0
    for name, color, said, scores in _models(trained):
        groups = np.array_split(np.argsort(said, kind="stable"), points)
        happened = np.array([churned[group].mean() for group in groups])
        error = [np.sqrt(p * (1 - p) / len(g)) for p, g in zip(happened, groups, strict=True)]
        label = f"{name} (Brier score {scores.brier:.3f})"
        means = [said[group].mean() for group in groups]
        axes.errorbar(means, happened, error, fmt="o-", color=color, ms=4, label=label)
        seen = min(1.0, max(seen, 1.2 * max(*means, *happened)))
    axes.set(
        title="What the model says, and what happens",
        xlabel=f"probability of leaving that the model says ({len(groups[0])} customers a point)",
        ylabel="share that left, ± standard error",
        xlim=(0, seen),
        ylim=(0, seen),
    )
    _percent(axes)
    axes.legend(loc="lower right")


def _draw_spread(axes: Axes, trained: Trained, threshold: float) -> None:
    churned, said = trained.held.churned, trained.held.model
    left, stayed = said[churned == 1], said[churned == 0]
    axes.hist(
        [stayed, left],
        bins=np.linspace(0, 1, 21).tolist(),
        weights=[np.full(len(group), 1 / len(group)) for group in (stayed, left)],
        color=[STAYED, LEFT],
        label=[f"the {len(stayed):,} who stayed", f"the {len(left):,} who left"],
    )
    axes.axvline(threshold, color="k", linestyle="--", label=f"threshold {threshold:g}")
    flagged = said >= threshold
    right = f"; {churned[flagged].mean():.0%} of them left" if flagged.any() else ""
    axes.set(
        title=f"{flagged.sum():,} of {len(said):,} counted as leaving{right}",
        xlabel="probability of leaving that the model says",
        ylabel="share of those who stayed, and of those who left",
    )
    axes.set_xlim(0, 1)
    _percent(axes)
    axes.legend(loc="upper right")


def _models(trained: Trained) -> list[tuple[str, str, Table, Scores]]:
    """Return what to draw: the model, over plain logistic regression where it is another."""
    held = trained.held
    ours = (trained.recipe.kind, MODEL, held.model, trained.test)
    plain = ("plain logistic regression", PLAIN, held.plain, trained.plain_test)
    return [ours] if trained.recipe.kind == "logistic" else [plain, ours]


def _reached(churned: Labels, said: Table) -> Table:
    """Return the share of leavers among the 0, 1, 2, … riskiest customers."""
    left = churned[np.argsort(-said, kind="stable")].cumsum()
    return np.concatenate([[0.0], left / left[-1]])


def _percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.yaxis.set_major_formatter("{x:.0%}")


def _spread(spread: Spread) -> list[str]:
    return [f"{spread.mean(name):.4f} ± {spread.std(name):.4f}" for name in SCORE_NAMES]


def _figures(scores: Scores) -> list[str]:
    return [f"{getattr(scores, name):.4f}" for name in SCORE_NAMES]


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)
