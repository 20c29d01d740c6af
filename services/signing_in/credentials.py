"""What somebody shows to sign in, and who that makes him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.commands import ANONYMOUS
from services.signing_in.api_keys import PREFIX, ApiKeys
from services.signing_in.identity import Identity, NotSignedIn
from services.signing_in.tokens import Tokens

LOCAL = Identity(ANONYMOUS, tenants=None)
"""Whoever is at this machine, where nobody needs to sign in."""

HOW = "sign in with `Authorization: Bearer` and a token, or an API key"


@dataclass(frozen=True)
class SignIn:
    """`required`: who shows nothing is nobody; else he is whoever sits at this machine."""

    keys: ApiKeys
    tokens: Tokens | None = None
    required: bool = False

    async def identity(self, headers: Mapping[str, str]) -> Identity:
        """Raises `NotSignedIn`, `StoreUnavailable`.  What is shown must be good, required or not."""
        shown = _shown(headers)
        if shown is None:
            if self.required:
                raise NotSignedIn(HOW)
            return LOCAL
        if shown.startswith(f"{PREFIX}."):
            return await self.keys.identity(shown)
        if self.tokens is None:
            raise NotSignedIn("no tokens are known here, only API keys: set TENDER_OIDC_ISSUER")
        return await self.tokens.identity(shown)


def _shown(headers: Mapping[str, str]) -> str | None:
    if key := headers.get("x-api-key"):
        return key.strip()
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, shown = given.partition(" ")
    if scheme.lower() != "bearer" or not shown.strip():
        raise NotSignedIn(HOW)
    return shown.strip()
