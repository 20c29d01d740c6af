"""Every cell of the table of permissions, proven where it counts: at the door, and at HTTP.

The table stands here a second time, as the specification has it, and is read by other code than that which
decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import orjson
import pytest

from projections.queries import QUERIES
from services.access.guarding import Guard
from services.access.permissions import CAPABILITIES, ROLES, capability_of, sending
from services.commands import COMMANDS, decode
from services.handler import Handler
from services.hearing import Hearing
from services.http.app import create_app
from services.http.clock import ClockFace
from services.http.gate import Gate
from services.http.migrations import Migrations
from services.http.notifications import Notifications
from services.signing_in.api_keys import ApiKeys
from services.signing_in.credentials import SignIn
from services.signing_in.seeing import HISTORY
from services.store.memory import MemoryStore
from services.store.protocol import StoreUnavailable
from services.subjects import SUBJECTS
from tests.keys import PEPPER, give
from tests.spec import NOW

TABLE = """
| Gateways, credentials, code maps | W | R | R | - | - | - | - | R (no secrets) | - |
| Tenant payment settings | W | R | W | R | R | - | - | R | - |
| Schedule policies, treatments | W | R | R | - | R | - | - | R | - |
| Retry rule sets | W | R | W | - | - | R | - | R | - |
| Saved methods: create, default, delete | W | W | R | R (display) | - | R (display) | own | R (display) | - |
| Token import | W | W | - | - | - | - | - | - | - |
| Schedules, items, promises | W | W | R | - | R | W (promises) | - | R | W |
| Schedulers, batch runs | W | W | R | - | R | R | - | R | W |
| Authorize, capture, reverse, sale | W | W | - | - | - | - | sale on own invoices | R | W |
| Record external payment | W | W | - | - | - | - | - | R | - |
| Apply and unapply payments | W | W | - | - | - | - | - | R | W |
| Issue referenced refund | W | W | W | W (memo driven) | - | - | - | R | W |
| Issue unreferenced refund | W | W | - | - | - | - | - | R | - |
| Approve refund above threshold | W | - | W | - | - | - | - | - | - |
| Automate refund, choose fallback | W | - | W | W | - | - | - | R | W |
| Credit memos: create, post, apply, unapply, void | - | - | W | W | post, void | - | - | R | W |
| Post, void, write off invoices | - | - | W | write off | W | - | - | R | W |
| Resolve unknown outcomes | W | W (second person above threshold) | - | - | - | - | - | R | W |
| Gateway log | R full | R | R | - | - | - | - | R masked | - |
| Event history, timeline, exports | R | R | R | R own area | R own area | R own area | own | R | - |
"""
COLUMNS = ROLES[:9]

COMMANDS_OF = {
    "Gateways, credentials, code maps": "gateway.register gateway.rotate_credential gateway.deactivate "
    "gateway_provider.register gateway_provider.publish_raw_code_map",
    "Tenant payment settings": "tenant_settings.change tenant_settings.apply_preset",
    "Schedule policies, treatments": "schedule_policy.activate",
    "Retry rule sets": "retry_rule_set.create retry_rule_set.activate",
    "Saved methods: create, default, delete": "payment_method.save payment_method.delete "
    "account.set_default_payment_method",
    "Token import": "token_migration.start payment_method.import",
    "Schedules, items, promises": "payment_schedule.create promise.record",
    "Schedulers, batch runs": "payment_scheduler.create payment_batch_run.start",
    "Authorize, capture, reverse, sale": "payment.process authorization.authorize authorization.capture "
    "authorization.reverse payment.cancel",
    "Record external payment": "payment.record_external",
    "Apply and unapply payments": "payment.apply payment.unapply account.apply_by_rules",
    "Issue referenced refund": "refund.issue refund.apply",
    "Issue unreferenced refund": "refund.issue_unreferenced",
    "Approve refund above threshold": "refund.approve refund.reject",
    "Automate refund, choose fallback": "refund_orchestration.automate refund_orchestration.choose_fallback",
    "Credit memos: create, post, apply, unapply, void": "credit_memo.create credit_memo.post "
    "credit_memo.apply credit_memo.unapply credit_memo.void",
    "Post, void, write off invoices": "invoice.post invoice.void invoice.write_off",
    "Resolve unknown outcomes": "payment.resolve_outcome refund.resolve_outcome",
}
READS_OF = {
    "Gateways, credentials, code maps": "gateways",
    "Tenant payment settings": "tenant-settings",
    "Saved methods: create, default, delete": "payment-methods",
    "Authorize, capture, reverse, sale": "authorizations",
    "Automate refund, choose fallback": "refund-orchestrations",
    "Credit memos: create, post, apply, unapply, void": "debit-memos",
    "Gateway log": "gateway-log notifications",
    "Event history, timeline, exports": "timeline events",
}
"""Read models that no other row grants."""


def rows() -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in TABLE.strip().splitlines()]
    return {said: cells for said, *cells in lines}


CELLS = [
    (said, role, cell) for said, cells in rows().items() for role, cell in zip(COLUMNS, cells, strict=True)
]


def may_send(cell: str, command: str) -> bool:
    """How a person reads the cell."""
    verb = command.partition(".")[2]
    return {
        "sale on own invoices": command == "payment.process",
        "W (promises)": command.startswith("promise."),
        "W (memo driven)": command == "refund.apply",
        "post, void": verb in ("post", "void"),
        "write off": verb == "write_off",
    }.get(cell, cell.startswith("W") or cell == "own")


def test_the_table_that_is_asked_is_the_one_that_was_specified() -> None:
    asked = {
        each.said: [each.cells[role].said for role in COLUMNS] for each in CAPABILITIES if not each.added
    }
    assert asked == rows()


def test_every_command_belongs_to_a_capability() -> None:
    strangers = [type for type in COMMANDS if type.startswith("payments.") and capability_of(type) is None]
    assert strangers == [], "name them in services/access/permissions.py: nobody may send them yet"


def test_every_read_model_belongs_to_a_capability() -> None:
    known = {name for each in CAPABILITIES for name in each.reads}
    assert set(QUERIES) | HISTORY <= known, (
        "name them in services/access/permissions.py: nobody may read them"
    )


def test_an_operator_may_do_everything_and_a_stranger_nothing() -> None:
    for type in COMMANDS:
        assert sending(("OPERATOR",), type), type
        assert not sending((), type), type
        assert not sending(("EMPEROR",), type), type


# -- at the door


class Clock:
    def now(self) -> Any:
        return NOW


async def decided(role: str, command: str) -> str:
    """What the door says to a command without content: FORBIDDEN, or something else."""
    handler = Handler(MemoryStore(now=Clock().now), SUBJECTS, Clock(), guard=Guard(signed_in=True))
    actor = (
        {"type": "SYSTEM", "id": "x"} if role == "SYSTEM" else {"id": "x", "roles": [role], "accounts": ["A"]}
    )
    body = {"tenant_id": "t", "account_id": "A", "data": {}, "idempotency_key": command, "actor": actor}
    answers = await handler.handle([decode(f"payments.{command}.v1", orjson.dumps(body))])
    return orjson.loads(answers[0].outcome).get("code", "ACCEPTED")


@pytest.mark.parametrize(("said", "role", "cell"), CELLS)
async def test_a_cell_says_what_the_door_does(said: str, role: str, cell: str) -> None:
    for command in COMMANDS_OF.get(said, "").split():
        type = f"payments.{command}.v1"
        assert capability_of(type) is not None, command
        assert bool(sending((role,), type)) == may_send(cell, command), command
        if type in COMMANDS:
            assert (await decided(role, command) != "FORBIDDEN") == may_send(cell, command), command


# -- at HTTP


class NoRows:
    """Read models that are away: who gets this far was let through."""

    pool = None

    async def active(self) -> str:
        raise StoreUnavailable("away")

    async def wait_for(self, position: int, seconds: float) -> bool:
        return True


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore(now=Clock().now)


async def _no_gateway(tenant: str, gateway_id: str) -> None:
    return None


@pytest.fixture
async def client(store: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    sign_in = SignIn(ApiKeys(store, [PEPPER], Clock().now), required=True)
    gate = Gate(sign_in, Guard(signed_in=True), store, Clock().now)
    rows: Any = NoRows()
    told: Any = Notifications(Hearing(store, Clock().now), _no_gateway, 1024)
    door: Any = None  # nobody comes so far
    app = create_app(
        store,  # type: ignore[arg-type]
        rows,
        door,
        lambda command: None,
        told,
        Migrations(store, Clock(), gate),
        now=Clock().now,
        wait_seconds=0,
        broker=lambda: None,
        gate=gate,
        clock=ClockFace(Clock(), None),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tender") as asking:
        yield asking


def paths(said: str) -> Iterator[str]:
    for name in READS_OF.get(said, "").split():
        yield f"/v1/t/{name}" + ("" if name in ("gateways", "tenant-settings") else "?account_id=A")


@pytest.mark.parametrize(("said", "role", "cell"), [each for each in CELLS if each[1] != "SYSTEM"])
async def test_a_cell_says_what_is_read(
    said: str, role: str, cell: str, store: MemoryStore, client: httpx.AsyncClient
) -> None:
    key = await give(store, role, accounts=("A",) if role == "PORTAL" else None)
    for path in paths(said):
        answer = await client.get(path, headers={"authorization": f"Bearer {key}"})
        if cell == "-":
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN"), path
        else:
            assert answer.status_code in (200, 503), (path, answer.text)


async def test_whoever_may_do_nothing_else_of_a_row_reads_nothing_of_it(client: httpx.AsyncClient) -> None:
    for name in (*QUERIES, *HISTORY - {"explain", "why-balance", "why-payment", "why-next-attempt"}):
        answer = await client.get(f"/v1/t/{name}")
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED"), name
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_gate_is_before_every_route_of_a_tenant(client: httpx.AsyncClient) -> None:
    """A route that somebody adds without it is found here."""
    app: Any = client._transport.app  # type: ignore[attr-defined]
    open_to_all = {
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/v1/{tenant}/gateways/{gateway_id}/notifications",
    }
    for route in app.routes:
        if route.path in open_to_all:
            continue
        path = route.path
        for name in ("tenant", "id:path", "id", "type", "gateway_id"):
            path = path.replace(f"{{{name}}}", "x")
        path = path.replace("{command_id:uuid}", "0198c1c8-0000-7000-8000-000000000000")
        answer = await client.request(
            "POST" if "POST" in route.methods else "GET", path, content=b'{"tenant_id": "t"}'
        )
        assert answer.status_code == 401, route.path
