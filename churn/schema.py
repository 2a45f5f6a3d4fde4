"""What a model knows about its customers: fields, kinds, values, ranges, and what a gap stands for.

The schema is inferred from a table when training (:meth:`Field.infer`), kept in the manifest, or
recovered from a vectorizer that somebody else trained. Training and serving clean a value by the
same function, :meth:`Field.clean`, so both always mean the same thing by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from churn.errors import CustomerError, DataError, Problem, UnusableColumn, listed, shortened

#: One value of a clean customer, in the model's own spelling.
Value = str | int | float
#: A record that has been checked: every field of the schema, nothing else.
Customer = dict[str, Value]

Kind = Literal["category", "yes/no", "integer", "number"]
KINDS: tuple[Kind, ...] = ("category", "yes/no", "integer", "number")

#: How a gap is spelt in the tables and requests we have seen, after normalising.
GAPS = frozenset({"", "na", "n/a", "nan", "null", "<na>"})

#: What stands for a gap in a field of categories: a category of its own, whose points are learnt.
MISSING = "missing"

#: The spellings of no and yes that need nobody to say which is which.
YES_NO = (("no", "yes"), ("false", "true"), ("0", "1"))

#: More categories than this is free text: too few customers each to learn from.
MOST_CATEGORIES = 100

#: A column with at least this share of numbers was meant to be one; the rest are slips to report.
MOSTLY_NUMBERS = 0.95

#: An amount whose least value is within this share of its greatest starts at nothing, so that a
#: gap stands for nothing (``TotalCharges`` of a customer not yet billed); elsewhere the median.
NEAR_NOTHING = 0.01

#: Letters that a word and a known one must begin with alike to ask "did you mean": "monthly" finds
#: "month-to-month", which is too long for a measure of likeness.
ALIKE = 4

#: Keys among which a misspelt one is looked for; a body may hold a hundred thousand.
MOST_GUESSES = 50

#: Greatest number, or weight of one: products of two, and their sums, don't overflow.
GREATEST = 1e100

#: Greatest whole number: up to here a float holds every one of them exactly.
GREATEST_WHOLE = 10**15

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+(\.0)?", re.ASCII)  # pandas writes 24 as 24.0 beside gaps
_COMMAS = re.compile(r"[+-]?\d+(,\d+)+(\.\d+)?", re.ASCII)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([t_ ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}([t_ ].*)?"
)


def normalise(text: str) -> str:
    """Return ``text`` as the model spells it: lower case, spaces to underscores."""
    return text.strip().lower().replace(" ", "_")


def label(column: str) -> str:
    """Return a column's name in words: ``MonthlyCharges`` and ``monthly_charges`` alike."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column.strip()).replace("_", " ").split()
    kept = [word if word.isupper() and len(word) > 1 else word.lower() for word in words]
    text = " ".join(kept)
    return text[:1].upper() + text[1:]


class _Refused(Exception):
    """A value is not one that its field knows; says why, and what is close."""

    def __init__(self, message: str, did_you_mean: str | int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.did_you_mean = did_you_mean


@dataclass(frozen=True)
class Field:
    """One field of a customer.

    ``values`` are the known values of a category or a yes/no (no first, then yes); ``low`` and
    ``high`` the range seen in training of a number, ``None`` where it isn't known; ``missing``
    what stands for a gap, ``None`` where training had none and a gap is refused.
    """

    name: str
    kind: Kind
    values: tuple[str | int, ...] = ()
    low: float | None = None
    high: float | None = None
    missing: Value | None = None
    label: str = ""

    @classmethod
    def infer(cls, column: str, texts: Mapping[str, int], fill: str | None = None) -> Field:
        """Return the field that a column's spellings tell of.

        ``texts`` counts each spelling in the column; ``fill`` is what the user wants a gap to
        stand for, if they said.

        :raises UnusableColumn: there is nothing to learn from it.
        :raises DataError: it holds slips that only the user can put right.
        """
        counts: dict[str, int] = {}
        for text, count in texts.items():
            counts[normalise(text)] = counts.get(normalise(text), 0) + count
        gaps = sum(counts.pop(gap, 0) for gap in GAPS)
        name = normalise(column)
        if len(counts) < 2:
            what = f"always {next(iter(counts))!r}" if counts else "empty"
            raise UnusableColumn(f"is {what}, so it tells nothing", name)
        found = replace(_kind(name, counts), label=label(column))
        if found.numeric:
            numbers = list(map(float, counts))
            largest = max(map(abs, numbers))
            if largest > GREATEST:
                raise DataError("holds a number too large to compute with", name)
            if found.kind == "integer" and largest > GREATEST_WHOLE:
                raise UnusableColumn("holds whole numbers too long to tell apart exactly", name)
            if min(numbers) == max(numbers):
                raise UnusableColumn(f"is always {numbers[0]:g}, so it tells nothing", name)
            found = replace(found, low=min(numbers), high=max(numbers))
        if gaps and found.kind == "yes/no" and (fill is None or not found._knows(fill)):
            found = found._three_valued()
        if fill is not None:
            return replace(found, missing=found._fill(fill))
        if not gaps:
            return found
        return replace(found, missing=_stand_in(counts) if found.numeric else MISSING)

    @property
    def numeric(self) -> bool:
        """Whether the model reads the field as a number: its points are a curve, not a table."""
        return self.kind in ("integer", "number") or self.values == (0, 1)

    @property
    def example(self) -> Value:
        """A value that is allowed."""
        if self.values:
            return self.values[0]
        return 0 if self.low is None else self.low

    @property
    def allowed(self) -> tuple[str | int, ...] | str:
        """What may come: the values, or the numbers in words."""
        if self.values:
            return self.values
        words = "a whole number" if self.kind == "integer" else "a number"
        if self.low is not None and self.low >= 0:
            words += " of 0 or more"
        if self.low is not None and self.high is not None:
            words += f" (training saw {self.low:g} to {self.high:g})"
        return words

    def clean(self, value: Any) -> Value:
        """Return ``value`` in the model's own spelling.

        :raises CustomerError: the field does not know the value; holds the one problem.
        """
        try:
            return self._clean(value)
        except _Refused as refused:
            problem = Problem(self.name, refused.message, value, self.allowed, refused.did_you_mean)
            raise CustomerError([problem]) from None

    def outside(self, value: Value) -> bool:
        """Whether a clean number lies outside what training saw, where that is known."""
        if self.low is None or self.high is None or value == self.missing:
            return False
        return not self.low <= float(value) <= self.high

    def to_json(self) -> dict[str, Any]:
        """Return the field as the manifest keeps it."""
        told: dict[str, Any] = {"name": self.name, "kind": self.kind}
        for key in ("label", "values", "low", "high", "missing"):
            value = getattr(self, key)
            if value not in (None, (), ""):
                told[key] = list(value) if isinstance(value, tuple) else value
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Field:
        """Return the field that :meth:`to_json` told of; keys it doesn't know are left out."""
        known = {key: told[key] for key in cls.__dataclass_fields__ if key in told}
        return cls(**{**known, "values": tuple(told.get("values", ()))})

    @cached_property
    def spellings(self) -> dict[str, Value]:
        """Every spelling that is one of the values, in the model's spelling."""
        known: list[Value] = [*self.values, *([] if self.missing is None else [self.missing])]
        exact = {str(value): value for value in known}
        normal: dict[str, Value] = {}
        for value in known:
            normal.setdefault(normalise(str(value)), value)
        return {**normal, **exact}

    def _clean(self, value: Any) -> Value:
        if value is None or (isinstance(value, str) and normalise(value) in GAPS):
            return self._gap(value)
        if isinstance(value, bool):
            return self._flag(value)
        if isinstance(value, str | int | float):
            return self._number(value) if self.numeric else self._category(value)
        raise _Refused(f"is {'an object' if isinstance(value, dict) else 'a list'}, not one value")

    def _gap(self, value: str | None) -> Value:
        if self.missing is not None:
            return self.missing
        if value is not None and not self.numeric:
            # a vectorizer from elsewhere may know "na" as a value
            found = self.spellings.get(value, self.spellings.get(normalise(value)))
            if found is not None:
                return found
        raise _Refused("is empty, and training never saw it empty")

    def _flag(self, value: bool) -> Value:
        # a yes/no with gaps is a category, and its values are still no and yes
        if tuple(normalise(str(known)) for known in self.values) in YES_NO:
            return self.values[value]
        raise _Refused(f"is {str(value).lower()}, but the field is not a yes/no")

    def _category(self, value: str | float) -> Value:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = _digits(value) if isinstance(value, int) else str(value)
        found = self.spellings.get(text)
        if found is None:
            found = self.spellings.get(normalise(text))
        if found is None:
            raise _Refused("is not a value the model knows", closest(text, self.spellings))
        return found

    def _number(self, value: str | float) -> Value:
        number = _parsed(value)
        if self.values and number not in (0, 1):
            raise _Refused("is neither 0 nor 1")
        if self.kind != "number":
            if not number.is_integer():
                raise _Refused("is not a whole number", round(number))
            number = int(number)
            if abs(number) > GREATEST_WHOLE:
                raise _Refused("is too large to compute with")
        if number < 0 and self.low is not None and self.low >= 0:
            raise _Refused("is negative, and training never saw it below 0")
        return number

    def _knows(self, text: str) -> bool:
        return normalise(text) in self.spellings

    def _three_valued(self) -> Field:
        """Return a yes/no whose gaps are a third possibility as the field it really is."""
        return replace(
            self, kind="category", values=tuple(map(str, self.values)), low=None, high=None
        )

    def _fill(self, text: str) -> Value:
        """Return the stand-in a user asked for; a new category is as good as a known one."""
        if normalise(text) in GAPS:
            raise DataError(f"can't be filled with {text!r}, which is a gap itself", self.name)
        if not self.numeric:
            return normalise(text)
        try:
            return self._clean(text)
        except _Refused as refused:
            raise DataError(
                f"can't be filled with {text!r}: it {refused.message}", self.name
            ) from None


def _parsed(value: str | float) -> float:
    """Return a finite number from what JSON or CSV held."""
    if isinstance(value, str):
        text = normalise(value)
        if not _NUMBER.fullmatch(text):
            hint = "; write it without thousands separators, with a point" if "," in text else ""
            slip = _yes_or_no(text)
            raise _Refused(f"is text, not a number{hint}", slip)
        value = float(text)
    try:
        number = float(value)
    except OverflowError:
        raise _Refused("is too large to compute with") from None
    if not math.isfinite(number):
        raise _Refused("is not a finite number")
    if abs(number) > GREATEST:
        raise _Refused("is too large to compute with")
    return number


def _yes_or_no(text: str) -> int | None:
    for no, yes in YES_NO:
        if text in (no, yes):
            return int(text == yes)
    return None


def _digits(number: int) -> str:
    """Return the digits, without tripping over Python's limit for very long ones."""
    return str(number) if abs(number) < 10**40 else "a very long number"


def repeated(names: Iterable[str]) -> Iterator[str]:
    """Yield each name that came before, in time that grows no faster than their number."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


def closest(text: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or ``None``."""
    import difflib  # only a refusal needs it, and start-up counts

    wanted = normalise(text)[:80]
    words = {normalise(word): word for word in known}
    near = difflib.get_close_matches(wanted, list(words), n=1)
    if not near and wanted:
        near = [word for word in words if word[:ALIKE] == wanted[:ALIKE]]
    return words[near[0]] if len(near) == 1 else None


def _kind(name: str, counts: Mapping[str, int]) -> Field:
    """Return a field of the right kind for these normalised spellings, ranges not yet known."""
    for no, yes in YES_NO[:2]:
        if set(counts) == {no, yes}:
            return Field(name, "yes/no", (no, yes))
    if all(map(_INTEGER.fullmatch, counts)):
        is_flag = set(map(float, counts)) == {0, 1}
        return Field(name, "yes/no", (0, 1)) if is_flag else Field(name, "integer")
    slips = [text for text in counts if not _NUMBER.fullmatch(text)]
    if not slips:
        return Field(name, "number")
    rows, slipped = sum(counts.values()), sum(counts[text] for text in slips)
    if slipped <= (1 - MOSTLY_NUMBERS) * rows and len(counts) > len(slips) + 2:
        raise DataError(
            f"holds numbers, but also {listed([repr(slip) for slip in slips])} "
            f"({slipped} of {rows} rows): correct or empty these cells, or --drop the column",
            name,
        )
    if sum(counts[text] for text in counts if _DATE.fullmatch(text)) >= MOSTLY_NUMBERS * rows:
        raise UnusableColumn("holds dates; give a number instead, such as days since then", name)
    if len(counts) > MOST_CATEGORIES:
        if all(map(_COMMAS.fullmatch, slips)):
            raise DataError(
                f"holds numbers with commas, such as {slips[0]!r}: write them with a decimal point "
                "and no thousands separators, or --drop the column",
                name,
            )
        if len(counts) == rows:
            raise UnusableColumn("is text that differs in every row, as an identifier does", name)
        raise UnusableColumn(
            f"is text with {len(counts)} different values, more than {MOST_CATEGORIES} to learn "
            "from; group them first",
            name,
        )
    return Field(name, "category", tuple(sorted(counts)))


def _stand_in(counts: Mapping[str, int]) -> int | float:
    """Return what a gap stands for: 0 among numbers that start near nothing, else the median."""
    numbers = sorted(float(text) for text, count in counts.items() for _ in range(count))
    if 0 <= numbers[0] <= NEAR_NOTHING * numbers[-1]:
        return 0
    median = numbers[len(numbers) // 2]
    return int(median) if median.is_integer() else median


@dataclass(frozen=True)
class Schema:
    """The fields of a model's customers, in the order their points are added up."""

    fields: tuple[Field, ...]
    _by_name: dict[str, Field] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({normalise(each.name): each for each in self.fields})
        self._by_name.update({each.name: each for each in self.fields})

    @classmethod
    def recovered(cls, feature_names: Sequence[str], separator: str) -> Schema:
        """Return the schema that a vectorizer's feature names tell of; ranges are not known."""
        values: dict[str, list[str]] = {}
        for feature in feature_names:
            name, cut, value = feature.partition(separator)
            values.setdefault(name, []).extend([value] if cut else [])
        return cls(tuple(_recovered(name, tuple(known)) for name, known in values.items()))

    def named(self, name: str) -> Field | None:
        """Return the field of that name, however it is spelt, or ``None``."""
        return self._by_name.get(name) or self._by_name.get(normalise(name))

    def check(self, record: Mapping[str, Any], *, strict: bool = False) -> Customer:
        """Return the customer that ``record`` tells of.

        Keys that are no field are left out, or refused where ``strict``.

        :raises CustomerError: with every problem there is.
        """
        keys, problems = self._matched(record, strict)
        customer: Customer = {}
        for name, key in keys.items():
            try:
                customer[name] = self._by_name[name].clean(record[key])
            except CustomerError as error:
                problems.extend(error.problems)
        if problems:
            raise CustomerError(problems)
        return customer

    def check_columns(self, header: Sequence[str], *, strict: bool = False) -> dict[str, str]:
        """Return the column of each field, in the schema's order, whatever a table's rows hold.

        :raises CustomerError: with every column that is missing or stands twice.
        """
        columns, problems = self._matched(dict.fromkeys(header), strict)
        problems += [Problem(name, "stands twice in the header") for name in repeated(header)]
        if problems:
            raise CustomerError(problems)
        return columns

    def outside(self, customer: Customer) -> list[str]:
        """Return the fields whose numbers lie outside what training saw."""
        return [each.name for each in self.fields
                if each.low is not None and each.outside(customer[each.name])]  # fmt: skip

    def to_json(self) -> list[dict[str, Any]]:
        """Return the schema as the manifest keeps it."""
        return [each.to_json() for each in self.fields]

    @classmethod
    def from_json(cls, told: Sequence[Mapping[str, Any]]) -> Schema:
        """Return the schema that :meth:`to_json` told of."""
        return cls(tuple(map(Field.from_json, told)))

    def _matched(
        self, record: Mapping[str, Any], strict: bool
    ) -> tuple[dict[str, str], list[Problem]]:
        """Return the record's key of each field, in the schema's order, and what is amiss."""
        found: dict[str, str] = {}
        strangers: list[str] = []
        problems: list[Problem] = []
        for key in record:
            each = self.named(key)
            if each is None:
                strangers.append(key)
            elif each.name in found:
                problems.append(Problem(each.name, "came twice, in two spellings", record[key]))
            else:
                found[each.name] = key
        if strict:
            problems += [
                self._stranger(key, record[key], guess=at < MOST_GUESSES)
                for at, key in enumerate(strangers)
            ]
        if len(found) < len(self.fields):
            absent = [each for each in self.fields if each.name not in found]
            problems += [_absent(each, strangers[:MOST_GUESSES]) for each in absent]
        return {each.name: found[each.name] for each in self.fields if each.name in found}, problems

    def _stranger(self, key: str, value: Any, *, guess: bool) -> Problem:
        near = closest(key, [each.name for each in self.fields]) if guess else None
        return Problem(key, "is not a field of the model", value, did_you_mean=near)


def _absent(known: Field, strangers: Sequence[str]) -> Problem:
    """Return the problem of a field that did not come, perhaps because it is misspelt."""
    near = closest(known.name, strangers)
    message = "is missing" if near is None else f"is missing; {shortened(near)!r} came instead"
    return Problem(known.name, message, allowed=known.allowed)


def _recovered(name: str, known: tuple[str, ...]) -> Field:
    if not known:
        return Field(name, "number", label=label(name))
    for pair in YES_NO[:2]:
        if set(map(normalise, known)) == set(pair):
            ordered = tuple(sorted(known, key=normalise))  # no < yes, false < true
            return Field(name, "yes/no", ordered, label=label(name))
    return Field(name, "category", known, label=label(name))
