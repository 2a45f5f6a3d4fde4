"""The short way from a body's bytes to probabilities, for customers spelt as the model spells them.

A decoder compiled from the schema reads and checks such bodies in one go. Whatever it does not
take, right or wrong, is left to :meth:`churn.schema.Schema.check`, which understands other
spellings and explains what is wrong; so the two can't disagree on what is accepted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec

from churn.schema import GREATEST, GREATEST_WHOLE, Field, Schema
from churn.scorecard import Curve, Scorecard, sigmoid

#: Stands once behind every key of a body, and perhaps in texts.
_COLON = b":"

#: What a body may raise that is not for this decoder.
_NOT_FOR_US = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Quick:
    """Reads and scores bodies that hold nothing but known customers."""

    def __init__(self, schema: Schema, card: Scorecard) -> None:
        places = [f"field_{at}" for at in range(len(schema.fields))]
        customer = msgspec.defstruct(
            "Customer",
            [(place, _type(each)) for place, each in zip(places, schema.fields, strict=True)],
            rename={place: each.name for place, each in zip(places, schema.fields, strict=True)},
        )
        self._keys = len(places)
        self._one = msgspec.json.Decoder(customer)
        self._many = msgspec.json.Decoder(list[customer])  # type: ignore[valid-type]
        self._logit = _written_out(card, places, [each.name for each in schema.fields])

    def one(self, body: bytes) -> float | None:
        """Return the probability of the one customer in ``body``, or ``None``: look closer."""
        try:
            found = self._one.decode(body)
        except _NOT_FOR_US:
            return None
        # as many colons as fields: no key came twice, and none is strange
        return sigmoid(self._logit(found)) if body.count(_COLON) == self._keys else None

    def many(self, body: bytes) -> list[float] | None:
        """Return the probabilities of the customers in ``body``, or ``None``: look closer."""
        try:
            found = self._many.decode(body)
        except _NOT_FOR_US:
            return None
        if body.count(_COLON) != self._keys * len(found):
            return None
        return [sigmoid(self._logit(each)) for each in found]


def _written_out(
    card: Scorecard, places: Sequence[str], fields: Sequence[str]
) -> Callable[[Any], float]:
    """Return what sums a customer's points, a line a field: a loop takes three times as long.

    The same sum in the same order as :meth:`churn.scorecard.Scorecard.logit`, curves as in
    :class:`churn.scorecard.Curve`, so the same number to the bit.
    """
    lines = ["def logit(customer):", "total = base"]
    known: dict[str, Any] = {"base": card.base, "bisect_right": bisect_right}
    for place, name in zip(places, fields, strict=True):
        points, value = card.points[name], f"customer.{place}"
        if isinstance(points, Curve):
            known |= {f"pieces_{place}": points.pieces, f"knots_{place}": points.knots}
            lines += [
                f"anchor, points, slope = pieces_{place}[bisect_right(knots_{place}, {value})]",
                f"total += points + slope * ({value} - anchor)",
            ]
        else:
            known[f"points_{place}"] = points
            lines.append(f"total += points_{place}[{value}]")
    # nothing of a model's is in the text: its fields go by their places
    exec("\n ".join([*lines, "return total"]), known)  # noqa: S102
    logit: Callable[[Any], float] = known["logit"]
    return logit


def _type(known: Field) -> Any:
    """Return the type of a field's own values, and of numbers that training saw."""
    if known.values:
        return Literal[known.values]
    greatest = GREATEST_WHOLE if known.kind == "integer" else GREATEST
    low = -greatest if known.low is None else known.low
    high = greatest if known.high is None else known.high
    if known.kind == "integer":
        return Annotated[int, msgspec.Meta(ge=int(low), le=int(high))]
    return Annotated[float, msgspec.Meta(ge=float(low), le=float(high))]
