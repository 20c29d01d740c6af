"""Questions about retries over HTTP: which rule, why next then, which caps, and what if.

A rule set that is nowhere kept is asked about by POST: it changes nothing either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response

from projections.asking import BadQuery, value
from projections.queries import QUERIES
from projections.recovery import BY, FILTERS, recovery
from projections.rows import PostgresRows
from services import hindsight
from services.commands import COMMAND_BYTES_MAX
from services.http.bodies import bounded
from services.http.reads import answer_json
from services.retries.drafting import drafted
from services.retries.making import HardDeclinePolicy, RetryCategory, StaggerBasis
from services.retries.precedence import About
from services.retries.whatif import Policy
from services.store.postgres import PostgresStore

ACCOUNTS_MAX = 2_000
"""So many accounts are simulated in one request; `tender retry-policy simulate` takes all."""

CATEGORIES: tuple[str, ...] = get_args(RetryCategory)
BASES: tuple[str, ...] = get_args(StaggerBasis)
HARD: tuple[str, ...] = get_args(HardDeclinePolicy)


SIMULATED = (
    "rule_set_id", "version", "stagger_basis", "hard_decline_policy", "network_caps", "account_id",
)  # fmt: skip


class Retries:
    def __init__(self, store: PostgresStore, rows: PostgresRows, now: Callable[[], datetime]) -> None:
        self._store, self._rows, self._now = store, rows, now

    async def match(self, request: Request) -> Response:
        """Which rule of a set a failure of this category, gateway and code meets."""
        asked = _given(request, ("category", "gateway_id", "raw_code", "version"))
        category = _one_of(asked, "category", CATEGORIES)
        if category is None:
            raise BadQuery("category", "a failure has a category", "MALFORMED_REQUEST")
        about = About(category, asked.get("gateway_id"), asked.get("raw_code"))
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        return answer_json(await hindsight.match(self._store, tenant, id, about, _version(asked)))

    async def caps(self, request: Request) -> Response:
        """The caps of card networks, as they are in effect."""
        _given(request, ())
        return answer_json(await hindsight.network_caps(self._store, request.path_params["tenant"]))

    async def with_caps(self, tenant: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of the retry queue, with what their cards' networks still allow."""
        return await hindsight.queue_with_caps(self._store, tenant, rows, self._now())

    async def why_next(self, request: Request) -> Response:
        _given(request, ())
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        told = await hindsight.why_next_attempt(
            self._store, self._rows, tenant, id, self._now(), request.state.sight
        )
        return answer_json(told)

    async def recovery(self, request: Request) -> Response:
        """What retries have recovered, summed by one thing."""
        asked = _given(request, ("by", *FILTERS))
        by = _one_of(asked, "by", BY) or "attempt"
        request.state.sight.narrowed(QUERIES["collection-performance"], {})
        kept = {name: value for name, value in asked.items() if name != "by"}
        return answer_json({"items": await recovery(self._rows, request.path_params["tenant"], by, kept)})

    async def simulation(self, request: Request) -> Response:
        """The recorded declines under a rule set; without one, under what was in force."""
        asked, tenant, policy = _given(request, SIMULATED), request.path_params["tenant"], None
        if "rule_set_id" in asked:
            policy = await hindsight.policy_of(
                self._store,
                tenant,
                asked["rule_set_id"],
                _version(asked),
                stagger_basis=_one_of(asked, "stagger_basis", BASES),
                hard_decline_policy=_one_of(asked, "hard_decline_policy", HARD),
                keeps_caps=_one_of(asked, "network_caps", ("KEEP", "IGNORE")) != "IGNORE",
            )
        elif rest := asked.keys() - {"account_id"}:
            raise BadQuery(min(rest), "this belongs to a rule_set_id", "MALFORMED_REQUEST")
        return await self._simulated(request, policy, asked.get("account_id"))

    async def draft_simulation(self, request: Request) -> Response:
        """The recorded declines under the rule set in the body, which is kept nowhere."""
        _given(request, ())
        asked = drafted(await bounded(request, COMMAND_BYTES_MAX))
        policy = await hindsight.policy_drafted(self._store, request.path_params["tenant"], asked)
        return await self._simulated(request, policy, asked.account_id)

    async def _simulated(self, request: Request, policy: Policy | None, account_id: str | None) -> Response:
        seen = request.state.sight
        if account_id is not None:
            seen.check_account(account_id)
        told = await hindsight.simulate(
            self._store,
            self._rows,
            request.path_params["tenant"],
            policy,
            accounts={account_id} if account_id is not None else seen.accounts,
            accounts_max=ACCOUNTS_MAX,
        )
        return answer_json(told)


def _given(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    for name, given in request.path_params.items():
        value("text", given, name)
    for name in request.query_params:
        if name not in known:
            raise BadQuery(name, f"this takes no {name[:80]}", "UNKNOWN_FIELD")
    return {name: value("text", given, name) for name, given in request.query_params.items()}


def _one_of(asked: dict[str, str], name: str, known: tuple[str, ...]) -> str | None:
    if name in asked and asked[name] not in known:
        raise BadQuery(name, f"one of {', '.join(known)}", "MALFORMED_REQUEST")
    return asked.get(name)


def _version(asked: dict[str, Any]) -> int | None:
    return value("int", asked["version"], "version") if "version" in asked else None
