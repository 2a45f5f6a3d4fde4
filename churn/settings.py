"""The settings of the service, from environment variables, checked before anything starts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from churn.errors import SettingsError

#: The port the service listens on where nobody says: the one its users have always typed.
PORT = 9696

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Settings:
    """What an operator may choose. Each stands for the variable named beside it."""

    #: CHURN_MODEL: the model's .bin; its manifest lies beside it.
    model: Path = Path("churn-model.bin")
    #: CHURN_THRESHOLD: probability from which ``churn`` is true; ``None``: the manifest's.
    threshold: float | None = None
    #: CHURN_TRUST_SHA256: files that may be unpickled for real, by SHA-256, with commas between.
    trusted: frozenset[str] = frozenset()
    #: CHURN_STRICT: refuse keys that are no field of the model.
    strict: bool = False
    #: CHURN_MAX_CUSTOMERS: most customers in one request.
    max_customers: int = 10_000
    #: CHURN_MAX_BODY: most bytes in one request's body.
    max_body: int = 2_000_000
    #: CHURN_API_KEYS: keys that open /predict and /metrics, with commas between; none: all is open.
    api_keys: tuple[str, ...] = ()
    #: CHURN_METRICS_DIR: folder in which the workers of one server add up what they count.
    metrics_dir: Path | None = None
    #: CHURN_TRUSTED_PROXIES: how many proxies in front are ours and may be believed.
    trusted_proxies: int = 0
    #: PORT: where ``python predict.py`` listens.
    port: int = PORT

    @classmethod
    def from_env(cls, environ: Mapping[str, str], home: Path) -> Settings:
        """Return the settings in ``environ``; the default model lies in ``home``.

        :raises SettingsError: a variable holds a value that can't be used.
        """
        read = _Reader(environ)
        return cls(
            model=Path(environ.get("CHURN_MODEL") or home / "churn-model.bin"),
            threshold=read.probability("CHURN_THRESHOLD"),
            trusted=read.digests("CHURN_TRUST_SHA256"),
            strict=read.flag("CHURN_STRICT"),
            max_customers=read.whole("CHURN_MAX_CUSTOMERS", cls.max_customers, 1),
            max_body=read.whole("CHURN_MAX_BODY", cls.max_body, 1_000),
            api_keys=read.keys("CHURN_API_KEYS"),
            metrics_dir=Path(shared) if (shared := read.text("CHURN_METRICS_DIR")) else None,
            trusted_proxies=read.whole("CHURN_TRUSTED_PROXIES", cls.trusted_proxies, 0, 10),
            port=read.whole("PORT", cls.port, 0, 65_535),
        )


class _Reader:
    """Reads typed values from environment variables; an empty one counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def listed(self, name: str) -> list[str]:
        return [part.strip() for part in self.text(name).split(",") if part.strip()]

    def whole(self, name: str, default: int, least: int, most: int = 10**9) -> int:
        text = self.text(name)
        if not text:
            return default
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not least <= int(text) <= most:
            raise SettingsError(name, text, f"it must be a whole number from {least} to {most}")
        return int(text)

    def probability(self, name: str) -> float | None:
        text = self.text(name)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 1:
            raise SettingsError(
                name, text, "it must be a probability between 0 and 1, such as 0.35"
            )
        return number

    def flag(self, name: str) -> bool:
        text = self.text(name).lower()
        if text not in _TRUE | _FALSE:
            raise SettingsError(name, text, "it must be true or false")
        return text in _TRUE

    def digests(self, name: str) -> frozenset[str]:
        found = [digest.lower() for digest in self.listed(name)]
        for digest in found:
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise SettingsError(name, digest, "it must be a SHA-256: 64 hexadecimal digits")
        return frozenset(found)

    def keys(self, name: str) -> tuple[str, ...]:
        found = self.listed(name)
        if self.text(name) and not found:  # perhaps a list put together from variables not set
            raise SettingsError(name, self.text(name), "there is no key in it")
        for key in found:
            if not key.isascii() or not key.isprintable() or " " in key or len(key) < 8:
                hidden = key[:2] + "…"
                raise SettingsError(
                    name, hidden, "a key needs 8 or more printable ASCII characters"
                )
        return tuple(found)
