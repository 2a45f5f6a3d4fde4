"""Everything this project raises on purpose.

::

    ChurnError                  one sentence for a person; entry points print it and exit 1
    ├── SettingsError           an environment variable or an option has a value that can't be used
    ├── DataError               the table can't be trained on
    │   └── UnusableColumn      …or only a column of it, and training goes on without
    ├── ArtifactError           the model file is missing, altered, hostile or of another kind
    │   └── UntrustedError      …and only unpickling it for real could tell
    └── RequestError            a request can't be answered: an HTTP status, and why
        └── CustomerError       …because of the customers in it: every problem, field by field

Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What ``Problem.value`` holds where nothing came at all (``None`` is a JSON null).
ABSENT: Any = object()


class ChurnError(Exception):
    """A mistake outside the code, told in one sentence that says what to do next."""


class SettingsError(ChurnError):
    """A setting has a value that can't be used."""

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"{name} is {value!r}, but {wanted}")
        self.name = name
        self.value = value


class DataError(ChurnError):
    """A table can't be trained on; ``column`` names the column at fault, where there is one."""

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


class UnusableColumn(DataError):
    """A column can't be learnt from; training names it, says why and goes on without it."""


class ArtifactError(ChurnError):
    """A model can't be served; ``file`` is the one at fault, where it isn't the .bin."""

    def __init__(self, message: str, file: Path | None = None) -> None:
        super().__init__(message)
        self.file = file


class UntrustedError(ArtifactError):
    """A model file is not a scorecard, so reading it would mean running what it asks for."""

    def __init__(self, message: str, sha256: str, asks_for: Sequence[str]) -> None:
        super().__init__(message)
        self.sha256 = sha256
        self.asks_for = tuple(asks_for)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field of one customer."""

    field: str
    message: str
    value: Any = ABSENT
    allowed: Sequence[str | int] | str | None = None
    did_you_mean: str | int | None = None
    index: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the problem as it stands in a problem document."""
        told: dict[str, Any] = {"field": self.field, "message": self.message}
        if self.index is not None:
            told = {"index": self.index, **told}
        if self.value is not ABSENT:
            told["value"] = shortened(self.value)
        if self.allowed is not None:
            told["allowed"] = self.allowed if isinstance(self.allowed, str) else list(self.allowed)
        if self.did_you_mean is not None:
            told["did_you_mean"] = self.did_you_mean
        return told


class RequestError(ChurnError):
    """A request can't be answered; ``status`` is the HTTP status that says so."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class CustomerError(RequestError):
    """A request holds customers that the model does not know how to read."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        fields = dict.fromkeys(problem.field for problem in problems)
        super().__init__(422, f"The model can't read {listed(list(fields))}.")
        self.problems = tuple(problems)


#: Longest text, in characters, that an error repeats of what came in.
LONGEST_ECHO = 80

#: Longest text, in characters, that an error of ours repeats of a library's error.
LONGEST_REASON = 200


def shortened(value: Any) -> Any:
    """Return ``value`` as an error may repeat it: short, and always valid JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int):
        return f"a whole number of about {value.bit_length() * 0.30103:.0f} digits"
    text = str(value).encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}…"


def in_words(found: Problem) -> str:
    """Return a problem as one sentence."""
    words = f"{found.field} {found.message}"
    if found.value is not ABSENT and found.value not in (None, ""):
        words = f"{found.field} {shortened(found.value)!r} {found.message}"
    if found.did_you_mean is not None:
        words += f"; did you mean {found.did_you_mean}?"
    return words


def reason(error: Exception) -> str:
    """Return a foreign error's words in one short line that any terminal can show."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(error))
    told = text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def listed(words: Sequence[str], most: int = 5) -> str:
    """Return ``words`` as a person would list them: ``a, b and c``, or ``a, b and 7 more``."""
    shown = list(words) if len(words) <= most else [*words[: most - 1]]
    rest = len(words) - len(shown)
    if rest:
        shown.append(f"{rest} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
