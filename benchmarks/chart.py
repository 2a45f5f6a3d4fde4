"""A benchmark's figures as a chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot

OURS, OTHERS, LIMITS, INK, FAINT = "#0f766e", "#94a3b8", "#dbe2ea", "#1f2937", "#6b7280"


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw how many requests a second each service answers; the fastest stands at the top."""
    count = str(figures["connections"][len(figures["connections"]) // 2])
    rates = {
        name: found["loads"][count]["per_second"] for name, found in figures["services"].items()
    }
    bars(rates, f"Requests a second at {count} connections, on {figures['cpus']} CPUs", path)


def bars(rates: dict[str, float], title: str, path: Path) -> None:
    """Draw rates, ours in a colour of their own, on a logarithmic scale."""
    names = sorted(rates, key=rates.__getitem__)
    values = [rates[name] for name in names]
    pyplot.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "bench"})
    figure, axes = pyplot.subplots(figsize=(8.6, 0.34 * len(names) + 1.1), layout="constrained")
    bars = axes.barh(names, values, height=0.74, color=[colour(name) for name in names])
    labels = axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=4, fontsize=9.5)
    for name, tick, label in zip(names, axes.get_yticklabels(), labels, strict=True):
        weight, ink = ("bold", OURS) if colour(name) == OURS else ("normal", INK)
        for text in (tick, label):
            text.set(fontsize=9.5, fontweight=weight, color=ink)
    axes.set_xscale("log")
    axes.set_xlim(values[0] / 2.5, values[-1] * 2.4)
    axes.margins(y=0.02)
    figure.suptitle(
        f"{title} (log scale)", x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK
    )
    axes.spines[:].set_visible(False)
    axes.tick_params("x", which="both", bottom=False, labelsize=8.5, labelcolor=FAINT)
    axes.tick_params("y", left=False)
    axes.grid(axis="x", color="#eef1f5", zorder=0)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    quiet = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, metadata=quiet, dpi=180, facecolor="white")
    pyplot.close(figure)


def colour(name: str) -> str:
    """Return the colour of a bar: ours, a rival's, or a limit's."""
    if name.startswith(("this service", "score.py")):
        return OURS
    return LIMITS if "constant" in name or "copy" in name else OTHERS
