"""The gate of HTTP: who asks, whether he may, what he sees; and what he was not let do is kept."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from projections.sight import Sight, Unseen
from services.access.denial import CODES, RecordDenial
from services.access.guarding import Guard, not_visible
from services.commands import ANONYMOUS, Actor, Command
from services.errors import Rejected
from services.signing_in.credentials import LOCAL, SignIn
from services.signing_in.denying import to_record
from services.signing_in.identity import Identity, NotSignedIn, wanted
from services.signing_in.seeing import sight
from services.states import state_of
from services.store.protocol import Batch, Store, StoreUnavailable
from services.tenants.tenant_settings import TenantSettings
from services.watching.metrics import DENIALS

log = logging.getLogger("tender")

Endpoint = Callable[[Request], Awaitable[Response]]

DENIALS_PER_MINUTE = 60
"""Of one actor as events; more are counted only: nobody must be able to fill a log that never forgets."""
FRESH_SECONDS = 5.0


class Gate:
    def __init__(self, sign_in: SignIn, guard: Guard, store: Store, now: Callable[[], datetime]) -> None:
        self._sign_in, self._guard, self._store, self._now = sign_in, guard, store, now
        self._settings: dict[str, tuple[TenantSettings, datetime]] = {}
        self._denied: dict[str, deque[datetime]] = {}

    # -- questions

    def reads(self, name: str, endpoint: Endpoint) -> Endpoint:
        """An endpoint that is let through to who may read it, and told what he sees."""

        async def guarded(request: Request) -> Response:
            identity, tenant = await self.identity(request), request.path_params["tenant"]
            try:
                self._check_tenant(identity, tenant)
                request.state.sight = await self._sight(identity, tenant, name)
                return await endpoint(request)
            except Unseen as unseen:
                denied = _denial_of(unseen)
                await self.keep(identity, tenant, denied, f"{request.method} {name}", unseen.account_id)
                raise denied from None
            except Rejected as rejected:
                await self.keep(identity, tenant, rejected, f"{request.method} {name}", None)
                raise

        return guarded

    def operators(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint for who runs this deployment."""

        async def guarded(request: Request) -> Response:
            identity = await self.identity(request)
            if identity is not LOCAL and "OPERATOR" not in identity.actor.roles:
                raise Rejected("FORBIDDEN", "this page is for operators")
            return await endpoint(request)

        return guarded

    async def identity(self, request: Request) -> Identity:
        """Raises `Rejected` with UNAUTHENTICATED."""
        try:
            return await self._sign_in.identity(request.headers)
        except NotSignedIn as nobody:
            DENIALS.labels("UNAUTHENTICATED").inc()
            raise Rejected("UNAUTHENTICATED", str(nobody)) from None

    def _check_tenant(self, identity: Identity, tenant: str) -> None:
        if (stranger := wanted(identity, tenant)) is not None:
            raise stranger

    async def _sight(self, identity: Identity, tenant: str, name: str) -> Sight:
        restricted = identity.actor.accounts is not None
        settings = await self.settings_of(tenant) if restricted else TenantSettings()
        return sight(self._guard, identity.actor, name, settings)

    async def settings_of(self, tenant: str) -> TenantSettings:
        """As they were seconds ago."""
        known, now = self._settings.get(tenant), self._now()
        if known and now - known[1] < timedelta(seconds=FRESH_SECONDS):
            return known[0]
        settings = await state_of(self._store, tenant, TenantSettings, tenant)
        self._settings[tenant] = settings, now
        return settings

    async def check_verdict(self, request: Request, home: str) -> None:
        """Whether what became of a command is for who asks.  Raises `Rejected`."""
        identity = await self.identity(request)
        tenant, _, account_id = home.partition("/")
        accounts = identity.actor.accounts
        try:
            self._check_tenant(identity, tenant)
            if accounts is not None and account_id not in accounts:
                raise not_visible(account_id)
        except Rejected as rejected:
            await self.keep(identity, tenant, rejected, "GET commands", account_id)
            raise

    # -- commands

    async def sender(self, request: Request, type: str, tenant: object, claimed: object) -> Actor | None:
        """Who sends a command, as the door shall know him; None: as whom he says, where nobody signs in.

        Raises `Rejected`.  What his roles allow is decided with the command.
        """
        identity = await self.identity(request)
        if identity is LOCAL:
            if isinstance(claimed, dict) and claimed.get("type") == "SYSTEM":
                raise Rejected("FORBIDDEN", "only Tender itself is SYSTEM", field="actor.type")
            return None
        denied = wanted(identity, tenant) if isinstance(tenant, str) else None
        denied = denied or identity.out_of_scope(type)
        if denied is not None:
            await self.keep(identity, str(tenant), denied, type, None)
            raise denied
        return identity.actor

    async def permitted(self, request: Request, type: str, tenant: str) -> Actor:
        """Who sends many commands at once, where his roles let him.  Raises `Rejected`."""
        actor = await self.sender(request, type, tenant, None) or ANONYMOUS
        if (denied := self._guard.denied(actor, type)) is not None:
            await self.keep(Identity(actor, (tenant,)), tenant, denied, type, None)
            raise denied
        return actor

    async def keep_of(self, command: Command, denied: Rejected) -> None:
        """A denial of what was only tried."""
        await self.keep(
            Identity(command.actor, None), command.tenant, denied, command.type, command.account_id
        )

    # -- what is kept

    async def keep(
        self, identity: Identity, tenant: str, denied: Rejected, action: str, account_id: str | None
    ) -> None:
        """A denial as an event of the actor's own tenant: a stranger writes into nobody else's log."""
        if denied.code not in CODES:
            return
        DENIALS.labels(denied.code).inc()
        log.info("denied: %s, %s to %s", denied.code, action, identity.actor.id)
        if not identity.belongs_to(tenant):
            tenant = identity.tenants[0] if identity.tenants else ""
        if not tenant or not self._may_keep(identity.actor.id):
            return
        who = replace(identity.actor, accounts=None, contact=None)
        told = RecordDenial(uuid4(), denied.code, action, who, denied.message, account_id or None)
        try:
            await self._store.commit(Batch(outbox=[to_record(tenant, told, self._now())]))
        except StoreUnavailable:
            log.warning("a denial could not be kept: the store is away")

    def _may_keep(self, actor_id: str) -> bool:
        now = self._now()
        recent = self._denied.setdefault(actor_id, deque())
        while recent and recent[0] <= now - timedelta(minutes=1):
            recent.popleft()
        if len(recent) >= DENIALS_PER_MINUTE:
            return False
        recent.append(now)
        return True


def _denial_of(unseen: Unseen) -> Rejected:
    if unseen.account_id is not None:
        return not_visible(unseen.account_id)
    return Rejected("FORBIDDEN", str(unseen))
