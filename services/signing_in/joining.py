"""From settings to who may come in: the guard, the callers on Kafka, the sign-in of HTTP."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime

import httpx

from services.access.guarding import Guard
from services.keys import KeyEncryption
from services.settings import Settings
from services.signing_in import callers
from services.signing_in.api_keys import ApiKeys
from services.signing_in.callers import Callers
from services.signing_in.credentials import SignIn
from services.signing_in.identity import Identity
from services.signing_in.key_sets import KeysByFile, KeysByUrl
from services.signing_in.seals import Seals
from services.signing_in.tokens import Claims, Tokens
from services.store.protocol import Store


class OpenToAll(RuntimeError):
    """HTTP shall listen where others reach it, and nobody needs to sign in."""


def check_listening(settings: Settings) -> None:
    """Raises `OpenToAll`."""
    if settings.sign_in == "off" and not _is_loopback(settings.http_host):
        raise OpenToAll(
            f"TENDER_HTTP_HOST={settings.http_host} is no loopback address, and nobody needs to sign in: "
            "set TENDER_SIGN_IN=required (deploy/sign-in.md says how), or listen on 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def guard(settings: Settings) -> Guard:
    return Guard(signed_in=settings.sign_in == "required")


def seals(keys: KeyEncryption) -> Seals:
    return Seals(keys.derived("command seals"))


def peppers(keys: KeyEncryption) -> tuple[bytes, ...]:
    return keys.derived("api keys")


def principals(settings: Settings) -> Mapping[str, Identity]:
    """Who produces commands, by topic.  Raises `ValueError`, `OSError`."""
    return callers.read(settings.kafka_principals_file) if settings.kafka_principals_file else {}


def callers_of(settings: Settings, keys: KeyEncryption) -> Callers:
    return Callers(seals(keys), signed_in=settings.sign_in == "required", known=principals(settings))


def sign_in(
    settings: Settings,
    store: Store,
    keys: KeyEncryption,
    client: httpx.AsyncClient,
    now: Callable[[], datetime],
) -> SignIn:
    """Raises `ValueError` for settings that do not fit together."""
    known = ApiKeys(store, peppers(keys), now)
    return SignIn(known, _tokens(settings, client, now), required=settings.sign_in == "required")


def _tokens(settings: Settings, client: httpx.AsyncClient, now: Callable[[], datetime]) -> Tokens | None:
    if settings.oidc_issuer is None:
        return None
    if settings.oidc_audience is None:
        raise ValueError("TENDER_OIDC_AUDIENCE is missing: for whom the tokens of TENDER_OIDC_ISSUER must be")
    claims = Claims(
        settings.oidc_id_claim,
        settings.oidc_roles_claim,
        settings.oidc_tenants_claim,
        settings.oidc_accounts_claim,
        settings.oidc_contact_claim,
        settings.oidc_role_names or None,
    )
    return Tokens(
        _keys(settings, client, now),
        settings.oidc_issuer,
        settings.oidc_audience,
        settings.oidc_algorithms,
        settings.oidc_leeway_seconds,
        claims,
    )


async def provider_keys(
    settings: Settings, client: httpx.AsyncClient, now: Callable[[], datetime]
) -> int | None:
    """How many keys the provider has to sign with; None where there is no provider."""
    if settings.oidc_issuer is None:
        return None
    keys = _keys(settings, client, now)
    await keys.find("")
    return len(keys)


def _keys(
    settings: Settings, client: httpx.AsyncClient, now: Callable[[], datetime]
) -> KeysByFile | KeysByUrl:
    if settings.oidc_jwks_file is not None:
        return KeysByFile(settings.oidc_jwks_file)
    return KeysByUrl(
        client,
        now,
        url=settings.oidc_jwks_url,
        issuer=settings.oidc_issuer,
        fresh_seconds=settings.oidc_jwks_seconds,
    )
