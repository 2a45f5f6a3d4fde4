"""What would keep a customer: single changes the company can make, computed exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from churn.model import Model
from churn.schema import Customer, Field, Value

#: How many changes are worth a manager's time.
MOST = 5

#: By how much a number may be moved, as shares of it: what a company might really offer.
STEPS = (-0.2, -0.1, 0.1, 0.2)


@dataclass(frozen=True)
class Change:
    """A field set to another value, and the probability that the customer leaves then."""

    field: str
    value: Value
    churn_probability: float


def changes(model: Model, customer: Customer) -> list[Change]:
    """Return the changes that lower the probability most, the best of each field, best first."""
    now = model.scorer.probability(customer)
    best = []
    for name in model.manifest.actionable:
        known = model.schema.named(name)
        tried = [] if known is None else list(_tried(model, customer, known))
        if tried:
            best.append(min(tried, key=lambda change: change.churn_probability))
    helpful = [change for change in best if change.churn_probability < now]
    return sorted(helpful, key=lambda change: change.churn_probability)[:MOST]


def _tried(model: Model, customer: Customer, known: Field) -> Iterator[Change]:
    for value in _alternatives(known, customer[known.name]):
        changed = {**customer, known.name: value}
        if not _excluded(model, changed, known.name):
            yield Change(known.name, value, model.scorer.probability(changed))


def _alternatives(known: Field, now: Value) -> Iterator[Value]:
    if known.values:
        yield from (value for value in known.values if value != now)
        return
    for step in STEPS:
        number = float(now) * (1 + step)
        moved: Value = round(number) if known.kind == "integer" else round(number, 2)
        if moved != now and not known.outside(moved):
            yield moved


def _excluded(model: Model, changed: Customer, name: str) -> bool:
    """Whether the change makes a customer such as never was: phone lines without a telephone."""
    for one, this, other, that in model.manifest.never_together:
        if name in (one, other) and str(changed[one]) == this and str(changed[other]) == that:
            return True
    return False
