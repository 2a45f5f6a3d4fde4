"""The pages for people, made of the model alone.

Each is rendered once, when it is first asked for: a machine that starts for one prediction does
not wait for pages, and a model too odd to draw still predicts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.errors import RequestError
from churn.model import Model
from churn.schema import Field, Value
from churn.scorecard import sigmoid
from churn.service import Answer, Service
from churn.web.front import NOWHERE, PAGE_HEADERS
from churn.web.wording import day, name_of, number, percent, signed, worded

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent

HTML = "text/html; charset=utf-8"

#: The media types of what lies in static/; nothing else is served.
MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

#: A page runs this service's own scripts, in its own style, and talks to nobody else.
POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
))  # fmt: skip

HEADERS = {
    **PAGE_HEADERS,
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


class Pages:
    """The web page, the model's page, and the files they are made with."""

    def __init__(self, service: Service) -> None:
        self._files = dict(_files())
        digest = hashlib.sha256(b"".join(each.body for each in self._files.values()))
        #: Names this release's files in their addresses, so that a browser may keep them for good.
        self.release = digest.hexdigest()[:12]
        self._service = service

    def home(self) -> Answer:
        """Return the page where a person tries a customer or scores a file."""
        return self._home

    def model(self) -> Answer:
        """Return the page that shows the whole model."""
        return self._model

    @cached_property
    def _home(self) -> Answer:
        return self._rendered("home.html", _home(self._service))

    @cached_property
    def _model(self) -> Answer:
        return self._rendered("model.html", _scorecard(self._service.model))

    def _rendered(self, template: str, more: Mapping[str, Any]) -> Answer:
        model = self._service.model
        text = (
            _environment()
            .get_template(template)
            .render(
                release=self.release,
                model=model,
                manifest=model.manifest,
                threshold=self._service.threshold,
                customers=model.manifest.data.get("customers"),
                churned=model.manifest.data.get("churned"),
                **more,
            )
        )
        return Answer(text.encode(), HTML, headers=HEADERS)

    def asset(self, release: str, name: str) -> Answer:
        """Return a page's stylesheet, script or picture.

        :raises RequestError: there is none of that name.
        """
        found = self._files.get(name)
        if found is None:
            raise RequestError(404, NOWHERE)
        if release == self.release:
            return found
        # of a page from before or after an upgrade: better these than none, but not for good
        return Answer(
            found.body, found.media, headers={**found.headers, "Cache-Control": "no-cache"}
        )


def _environment() -> jinja2.Environment:
    import jinja2  # FastAPI does without it until somebody opens a page, and start-up counts

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        day=day, number=number, percent=percent, signed=signed, sigmoid=sigmoid
    )
    return environment


def wants_html(accept: str) -> bool:
    """Whether an ``Accept`` header prefers a page to JSON; a bare ``*/*`` does not."""
    return _weight(accept, "text/html") > _weight(accept, "application/json")


def _weight(accept: str, media: str) -> float:
    """Return the weight that the most fitting of an ``Accept`` header's ranges gives ``media``."""
    ranges = {}
    for part in accept.lower().split(","):
        name, *parameters = [piece.strip() for piece in part.split(";")]
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            ranges[name] = float(quality)
        except ValueError:
            ranges[name] = 0.0
    for name in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def _files() -> Iterator[tuple[str, Answer]]:
    """Return what lies in static/, by name, as it is served."""
    for path in sorted((HERE / "static").iterdir()):
        if path.suffix in MEDIA:
            body = path.read_bytes()
            yield (
                path.name,
                Answer(
                    body,
                    MEDIA[path.suffix],
                    headers={
                        "Cache-Control": "public, max-age=31536000, immutable",
                        "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
                    },
                ),
            )


@dataclass(frozen=True)
class Control:
    """A field of the form, with the example customer's value in it."""

    field: Field
    value: Value
    #: Whether the company can act on it.
    actionable: bool

    @property
    def label(self) -> str:
        """What the field is called."""
        return name_of(self.field)

    @property
    def options(self) -> list[tuple[Value, str]]:
        """The values that may be chosen, each with its words; of a number, none."""
        values: list[Value] = [*self.field.values]
        if values and self.field.missing is not None and self.field.missing not in values:
            values.append(self.field.missing)
        return [(value, worded(self.field, value)) for value in values]

    @property
    def ranged(self) -> bool:
        """Whether it is a number whose range is known."""
        return not self.field.values and self.field.low is not None and self.field.high is not None

    @property
    def hint(self) -> str:
        """What may be typed, in few words."""
        if not self.ranged:
            return "may be empty" if self.field.missing is not None else ""
        words = f"{number(self.field.low or 0)} to {number(self.field.high or 0)}"
        return words if self.field.missing is None else f"{words}, or empty"


def _home(service: Service) -> dict[str, Any]:
    """Return what the home page shows besides the model."""
    model, manifest = service.model, service.model.manifest
    controls = [
        Control(each, model.example[each.name], each.name in manifest.actionable)
        for each in model.schema.fields
    ]
    return {
        "groups": [
            ("What you can change" if actionable else "About the customer", chosen)
            for actionable in (False, True)
            if (chosen := [each for each in controls if each.actionable is actionable])
        ],
        "explains": model.scorecard is not None,
        "max_body": service.settings.max_body,
        "max_customers": service.settings.max_customers,
        "target": (manifest.target or {}).get("column", ""),
    }


@dataclass(frozen=True)
class Measure:
    """One figure of how good the model is: in words, and beside its rivals."""

    name: str
    words: str
    ours: str
    plain: str
    unseen: str
    guess: str


def _scorecard(model: Model) -> dict[str, Any]:
    """Return what the model's page shows besides the model."""
    from churn.web import drawing  # only this page needs it, and start-up counts

    card, metrics, data = model.scorecard, model.manifest.metrics, model.manifest.data
    return {
        "kind": model.manifest.model if card is None or model.manifest.trained else "scorecard",
        "panels": drawing.panels(model, card) if card else [],
        "base": None if card is None else card.base + math.fsum(card.average.values()),
        "measures": list(_measures(metrics, data)),
        "right": round(100 * metrics.get("cross_validation", {}).get("roc_auc", {}).get("mean", 0)),
        "folds": metrics.get("folds"),
        "unseen": metrics.get("test", {}).get("customers"),
        "share": _share(data),
        "fields": [(name_of(each), _may_come(each)) for each in model.schema.fields],
        "drawing": drawing,
    }


def _may_come(field: Field) -> str:
    if isinstance(field.allowed, str):
        return field.allowed
    return ", ".join(worded(field, value) for value in field.allowed)


def _share(data: Mapping[str, Any]) -> float | None:
    """Return the share of training's customers who had left, where it is known."""
    customers, churned = data.get("customers"), data.get("churned")
    return churned / customers if customers and churned else None


def _measures(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Measure]:
    """Return the figures that were recorded, each with what it means."""
    ours, plain = metrics.get("cross_validation", {}), metrics.get("plain_logistic_regression", {})
    unseen, share = metrics.get("test", {}), _share(data)
    guesses = {"roc_auc": 0.5}
    if share:
        guesses["brier"] = share * (1 - share)
    for score, name, words in (
        (
            "roc_auc",
            "Ranking (area under the ROC curve)",
            "Of two customers, one who left and one who stayed, the model ranks the one who left "
            "higher {right} times in 100. Guessing would be right 50 times.",
        ),
        (
            "brier",
            "Error of the probability (Brier score)",
            "The mean squared distance between the probability and what happened: lower is "
            "better.{saved}",
        ),
        ("log_loss", "Surprise (log loss)", "Punishes being sure and wrong: lower is better."),
    ):
        if score not in ours:
            continue
        mean = ours[score]["mean"]
        guess = guesses.get(score)
        saved = ""
        if score == "brier" and guess:
            saved = (
                f" Giving every customer the average would score {guess:.3f}; the model takes "
                f"{percent(1 - mean / guess)} of that error away."
            )
        yield Measure(
            name,
            words.format(right=round(100 * mean), saved=saved),
            _spread(ours[score]),
            _spread(plain[score]) if score in plain else "",
            f"{unseen[score]:.4f}" if score in unseen else "",
            f"{guess:.4f}" if guess else "",
        )


def _spread(score: Mapping[str, float]) -> str:
    return f"{score['mean']:.4f} ± {score['std']:.4f}"
