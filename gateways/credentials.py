"""Where a gateway's secrets are kept: `env:NAME` or `file:/path`, read at each use and shown to nobody.

A secret is one text, or a JSON object of several (`{"api_key": "…", "webhook_secret": "…"}`).
Because it is read at each use, a file that is replaced takes effect with the next call.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson


class CredentialMissing(LookupError):
    """Names the place, never what is kept there."""


class Credential:
    __slots__ = ("_ref",)

    def __init__(self, ref: str) -> None:
        self._ref = ref

    def __repr__(self) -> str:
        return f"Credential({self._ref!r})"

    def secret(self, name: str = "api_key") -> str:
        """Raises `CredentialMissing`."""
        text = _read(self._ref).strip()
        if text.startswith("{"):
            kept = _parsed(text, self._ref)
            if name not in kept:
                raise CredentialMissing(f"{self._ref} holds no {name!r}")
            return str(kept[name])
        if name != "api_key":
            raise CredentialMissing(f"{self._ref} holds one text, and no {name!r}")
        return text

    def hidden(self, text: str) -> str:
        """The text, with every secret that is kept here blacked out."""
        try:
            kept = _read(self._ref).strip()
            secrets = [str(each) for each in _parsed(kept, self._ref).values()] if kept[:1] == "{" else [kept]
        except CredentialMissing:
            return text
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text


def _read(ref: str) -> str:
    kind, _, place = ref.partition(":")
    if kind == "env" and place in os.environ:
        return os.environ[place]
    if kind == "file" and Path(place).is_file():
        return Path(place).read_text(encoding="utf-8")
    raise CredentialMissing(f"there is no credential at {ref}")


def _parsed(text: str, ref: str) -> dict[str, object]:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise CredentialMissing(f"{ref} is neither one text nor a JSON object") from None
