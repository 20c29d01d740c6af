"""JSON Web Tokens of an OpenID provider: who signed them, for whom, until when, and who is meant.

Only asymmetric signatures are believed, of algorithms that are allowed by name, under keys of the
provider's own set; a token that names no key of it is nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from services.access.permissions import unknown
from services.commands import Actor
from services.signing_in.identity import Identity, NotSignedIn, listed

ALGORITHMS = frozenset("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA".split())
"""All that may be allowed: whoever can check one of these cannot sign by it."""


class Keys(Protocol):
    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The provider's key of that id; its only one where a token names none."""
        ...


@dataclass(frozen=True)
class Claims:
    """Which claim says what; a dot leads into an object: `realm_access.roles`."""

    id: str = "sub"
    roles: str = "roles"
    tenants: str = "tenants"
    accounts: str = "accounts"
    contact: str = "contact"
    role_names: Mapping[str, str] | None = None
    """The provider's names of roles or groups, and ours; without it they are the same."""


@dataclass(frozen=True)
class Tokens:
    keys: Keys
    issuer: str
    audience: str
    algorithms: tuple[str, ...] = ("RS256", "ES256", "PS256", "EdDSA")
    leeway_seconds: float = 30.0
    claims: Claims = Claims()

    async def identity(self, token: str) -> Identity:
        """Raises `NotSignedIn`."""
        try:
            head = jwt.get_unverified_header(token)
            if head.get("alg") not in self.algorithms:
                raise NotSignedIn("the token is signed by an algorithm that is not allowed")
            key = await self.keys.find(head.get("kid"))
            if key is None:
                raise NotSignedIn("the token is signed under a key that its provider does not have")
            told = jwt.decode(
                token,
                key,
                algorithms=list(self.algorithms),
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise NotSignedIn("the token has expired: get a new one") from None
        except jwt.PyJWTError as invalid:
            raise NotSignedIn(f"the token is not one for this service: {type(invalid).__name__}") from None
        return self._named(told)

    def _named(self, told: Mapping[str, Any]) -> Identity:
        id = _claim(told, self.claims.id)
        if not isinstance(id, str) or not 0 < len(id) <= 120:
            raise NotSignedIn(f"the token names nobody: it has no claim {self.claims.id}")
        names = self.claims.role_names
        given = listed(_claim(told, self.claims.roles)) or ()
        roles = [names.get(role, "") if names else role for role in given]
        known = tuple(dict.fromkeys(role for role in roles if role and role not in set(unknown(roles))))
        tenants = listed(_claim(told, self.claims.tenants)) or ()
        accounts = listed(_claim(told, self.claims.accounts))
        contact = _claim(told, self.claims.contact)
        actor = Actor("USER", id, known, accounts, contact if isinstance(contact, str) else None)
        return Identity(actor, None if tenants == ("*",) else tenants)


def _claim(told: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, or by its path; names with dots in them are tried first."""
    if path in told:
        return told[path]
    value: Any = told
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
