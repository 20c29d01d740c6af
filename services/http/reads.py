"""Questions over HTTP: to the read models, as they are or as they stood, and to the log itself."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response

from projections import answering, as_of
from projections.asking import LIMIT_MAX, Asked, BadQuery, Query, as_of_of, fields_of, value
from projections.explain import explain, why_balance, why_this_payment
from projections.feed import feed
from projections.queries import QUERIES
from projections.rows import PostgresRows
from projections.sight import Sight
from projections.statement import as_csv, group, statement
from projections.timeline import timeline
from services.errors import ReadModelBehind, Rejected, not_found
from services.forecasting import KNOWN, forecast
from services.http.gate import Endpoint, Gate
from services.http.sending import verdict_json
from services.schedulers import preview
from services.store.postgres import PostgresStore

MIN_POSITION_SECONDS = 2.0
ACCOUNTS_MAX = 50
"""On one statement, besides its own account: each is folded from its own history."""


Besides = Callable[[str, Sequence[dict[str, Any]]], Awaitable[list[dict[str, Any]]]]
"""What whole rows of a tenant are told with that no read model keeps."""


class Reads:
    """Each answers what the gate lets its asker see: `request.state.sight`."""

    def __init__(
        self, store: PostgresStore, rows: PostgresRows, now: Callable[[], datetime], gate: Gate
    ) -> None:
        self._store, self._rows, self._now, self._gate = store, rows, now, gate

    def one(self, query: Query, besides: Besides | None = None) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            tenant, id = request.path_params["tenant"], request.path_params["id"]
            asked, seen = await self._asked(request, {"fields", "as_of"}), _sight(request)
            fields = fields_of(query, asked)
            found = await self._one(query, tenant, id, asked)
            if found is None:
                raise _not_found_in(query, id)
            if "account_id" in found:
                seen.check_row(found)
            if not seen.keeps(found):
                raise _not_found_in(query, id)
            if fields is None and besides is not None:
                [found] = await besides(tenant, [found])
            kept = found if fields is None else {name: found[name] for name in fields}
            return answer_json(seen.shown(kept))

        return endpoint

    async def _one(self, query: Query, tenant: str, id: str, asked: Asked) -> dict[str, Any] | None:
        at = as_of_of(query, asked)
        if at is not None:
            return await as_of.one(self._store, query, tenant, id, at)
        return await answering.one(self._rows, query, tenant, id, now=self._now(), log=self._store)

    def page(self, query: Query, besides: Besides | None = None) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            tenant, seen = request.path_params["tenant"], _sight(request)
            asked = seen.narrowed(query, await self._asked(request))
            if asked.get("as_of"):
                return answer_json(seen.shown(await as_of.page(self._store, query, tenant, asked)))
            fields = fields_of(query, asked)
            whole = {name: given for name, given in asked.items() if name != "fields" or seen.contact is None}
            found = await answering.page(self._rows, query, tenant, whole, now=self._now(), log=self._store)
            kept = _kept(seen, found["items"], fields)
            if fields is None and besides is not None:
                kept = await besides(tenant, kept)
            return answer_json(seen.shown({**found, "items": kept}))

        return endpoint

    async def timeline(self, request: Request) -> Response:
        tenant, asked = request.path_params["tenant"], await self._asked(request)
        return answer_json(await timeline(self._store, tenant, asked, _sight(request)))

    async def events(self, request: Request) -> Response:
        tenant, asked = request.path_params["tenant"], await self._asked(request)
        return answer_json(await feed(self._store, tenant, asked, _sight(request)))

    async def statement(self, request: Request) -> Response:
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        asked = dict(await self._asked(request))
        form = _form(request, asked.pop("format", []))
        others = await self._others(tenant, id, asked, _sight(request))
        if others:
            told = await group(self._store, tenant, [id, *others], asked, self._now(), _sight(request))
        else:
            told = await statement(self._store, tenant, id, asked, self._now(), _sight(request))
        if told is None:
            raise not_found("ACCOUNT", ", ".join([id, *others]))
        if form == "json":
            return answer_json(told)
        named = _attached(f"statement-{id}.{form}")
        if form == "pdf":
            from projections.statement_pdf import as_pdf  # what draws pages takes a while to come

            return Response(await to_thread(as_pdf, told), media_type="application/pdf", headers=named)
        return Response(as_csv(told), media_type="text/csv", headers=named)

    async def _others(self, tenant: str, id: str, asked: dict[str, Any], sight: Sight) -> list[str]:
        """The accounts that `also` names, and, with `related`, those that have this one for their parent."""
        others = [name for given in asked.pop("also", ()) for name in given.split(",") if name]
        if value("bool", asked.pop("related", ["false"])[-1], "related"):
            wanted = {"parent_account_id": [id], "limit": [str(LIMIT_MAX)]}
            found = await answering.page(self._rows, QUERIES["accounts"], tenant, wanted, now=self._now())
            children = [row["account_id"] for row in found["items"]]
            others += [child for child in children if sight.accounts is None or child in sight.accounts]
        unique = [other for other in dict.fromkeys(others) if other != id]
        if len(unique) > ACCOUNTS_MAX:
            raise BadQuery("also", f"a statement is of at most {ACCOUNTS_MAX} other accounts")
        return unique

    async def settings(self, request: Request) -> Response:
        """Every setting, changed or not."""
        await self._asked(request, ())
        settings = await self._gate.settings_of(request.path_params["tenant"])
        return answer_json({"version": settings.version, "settings": settings.values})

    async def verdict(self, request: Request) -> Response:
        command_id: UUID = request.path_params["command_id"]
        known = (await self._store.verdicts([command_id])).get(command_id)
        if known is None:
            await self._gate.identity(request)
            raise Rejected("COMMAND_NOT_FOUND", f"no command {command_id} has a verdict yet")
        await self._gate.check_verdict(request, known.home)
        return answer_json(verdict_json(known))

    async def explain(self, request: Request) -> Response:
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        asked = await self._asked(request, {"related"})
        related = "related" in asked and value("bool", asked["related"][-1], "related")
        facts = await explain(
            self._store, tenant, id, related=related, sight=_sight(request), rows=self._rows
        )
        if not facts:
            raise Rejected("NOT_FOUND", f"nothing is called {id}")
        return answer_json({"id": id, "facts": facts})

    async def next_runs(self, request: Request) -> Response:
        """When a scheduler fires next; one that rests, if it was activated now."""
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        asked = await self._asked(request, {"count"})
        count = value("int", asked["count"][-1], "count") if "count" in asked else 10
        if not 1 <= count <= preview.COUNT_MAX:
            raise BadQuery("count", f"from 1 to {preview.COUNT_MAX}")
        query, now = QUERIES["payment-schedulers"], self._now()
        row = await answering.one(self._rows, query, tenant, id, now=now, log=self._store)
        if row is None:
            raise not_found("SCHEDULER", id)
        told = {name: row[name] for name in ("scheduler_id", "status", "cadence_in_words")}
        return answer_json({**told, "items": preview.next_runs(tenant, row, now, count)})

    async def forecast(self, request: Request) -> Response:
        """What will be collected, day by day."""
        tenant, asked = request.path_params["tenant"], await self._asked(request, KNOWN)
        return answer_json(await forecast(self._rows, tenant, asked, self._now(), _sight(request)))

    async def why_balance(self, request: Request) -> Response:
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        answer = await why_balance(self._store, tenant, id, _sight(request), self._rows)
        if answer is None:
            raise not_found("INVOICE", id)
        return answer_json(answer)

    async def why_payment(self, request: Request) -> Response:
        tenant, id = request.path_params["tenant"], request.path_params["id"]
        answer = await why_this_payment(self._store, tenant, id, _sight(request))
        if answer is None:
            raise not_found("ORCHESTRATION", id)
        return answer_json(answer)

    async def _asked(self, request: Request, known: Collection[str] | None = None) -> Asked:
        """The parameters; once the read models have reached the caller's position, if it names one."""
        for name, given in request.path_params.items():
            if isinstance(given, str):
                value("text", given, name)
        asked = {name: request.query_params.getlist(name) for name in request.query_params}
        text = asked.pop("min_position", [""])[-1]
        for name in asked:
            if known is not None and name not in known:
                raise BadQuery(name, f"this takes no {name[:80]}", "UNKNOWN_FIELD")
        if text:
            position = value("bigint", text, "min_position")
            if not await self._rows.wait_for(position, MIN_POSITION_SECONDS):
                raise ReadModelBehind(f"the read models have not reached position {position} yet")
        return asked


_FORMS = {"json": "application/json", "csv": "text/csv", "pdf": "application/pdf"}


def _form(request: Request, given: Sequence[str]) -> str:
    """As the parameter says; without one, as the first of what the caller accepts that is one of ours."""
    if given:
        if given[-1] not in _FORMS:
            raise BadQuery("format", f"a statement is {', '.join(_FORMS)}")
        return given[-1]
    accepted = [kind.partition(";")[0].strip() for kind in request.headers.get("accept", "").split(",")]
    forms = {kind: form for form, kind in _FORMS.items()}
    return next((forms[kind] for kind in accepted if kind in forms), "json")


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _kept(seen: Sight, rows: Sequence[dict[str, Any]], fields: tuple[str, ...] | None) -> list[Any]:
    """The rows that he sees; a page of methods may be shorter for it."""
    kept = [row for row in rows if seen.keeps(row)]
    return kept if fields is None else [{name: row[name] for name in fields} for row in kept]


def _sight(request: Request) -> Sight:
    return request.state.sight


_NOT_FOUND = {
    "invoices": "INVOICE",
    "payments": "PAYMENT",
    "unapplied-cash": "PAYMENT",
    "authorizations": "AUTHORIZATION",
    "credit-memos": "CREDIT_MEMO",
    "open-credits": "CREDIT_MEMO",
    "refunds": "REFUND",
    "refund-orchestrations": "ORCHESTRATION",
    "payment-methods": "METHOD",
    "accounts": "ACCOUNT",
    "gateways": "GATEWAY",
    "token-migrations": "TOKEN_MIGRATION",
    "exceptions": "EXCEPTION",
    "payment-links": "PAYMENT_LINK",
    "retry-rule-sets": "RULE_SET",
    "retry-queue": "ITEM",
    "failed-collections": "ITEM",
    "payment-batch-runs": "RUN",
    "payouts": "PAYOUT",
    "payout-lines": "PAYOUT_LINE",
    "bank-lines": "BANK_LINE",
    "settlement-reports": "SETTLEMENT_REPORT",
    "payment-schedulers": "SCHEDULER",
}


def _not_found_in(query: Query, id: str) -> Rejected:
    if query.name in _NOT_FOUND:
        return not_found(_NOT_FOUND[query.name], id)
    return Rejected("NOT_FOUND", f"there is no {id} in {query.name}")


def answer_json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content, default=str), status, media_type="application/json")
