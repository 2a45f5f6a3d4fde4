"""The model's spellings in a manager's words: values, numbers, points, dates."""

from __future__ import annotations

import math
import re
from datetime import datetime

from churn.schema import MISSING, Field, Value

MINUS = "\N{MINUS SIGN}"

#: A word such as ``dsl`` or ``tv`` is an abbreviation: nobody pronounces it.
_ABBREVIATION = re.compile(r"[bcdfghjklmnpqrstvwxz]{2,4}")


def name_of(field: Field) -> str:
    """Return what a field is called on a page."""
    return field.label or field.name


def worded(field: Field, value: Value) -> str:
    """Return a value of ``field`` as a person would write it: ``one_year`` is ``One year``."""
    if field.kind == "yes/no" and value in field.values:
        return ("No", "Yes")[field.values.index(value)]
    if isinstance(value, int | float):
        return number(value)
    if value == MISSING and value not in field.values:
        return "Not known"
    words = [
        word.upper() if _ABBREVIATION.fullmatch(word) else word
        for word in value.replace("_", " ").split()
    ]
    text = " ".join(words)
    return text[:1].upper() + text[1:] if text else "(empty)"


def number(value: float) -> str:
    """Return a number with as many digits as one reads at a glance."""
    if value == int(value) and abs(value) < 1e15:
        text = f"{int(value):,}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    else:
        digits = max(2, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:.{min(digits, 6)}f}".rstrip("0").rstrip(".")
    return text.replace("-", MINUS)


def signed(points: float) -> str:
    """Return points with their sign; what rounds to nothing has none."""
    text = f"{points:+.2f}"
    return "0" if float(text) == 0 else text.replace("-", MINUS)


def percent(share: float) -> str:
    """Return a share as whole percents, never rounded to none or all."""
    if 0 < share <= 0.005:
        return "under 1%"
    if 0.995 <= share < 1:
        return "over 99%"
    return f"{100 * share:.0f}%"


def day(timestamp: str) -> str:
    """Return an ISO 8601 time's day as ``24 November 2026``; another text as it is."""
    try:
        when = datetime.fromisoformat(timestamp)
    except ValueError:
        return timestamp
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}"


#: English whatever the server's locale, as is the rest of the page.
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
