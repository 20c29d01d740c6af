"""Hearing gateways: kept before it is answered, sent in once, and what is not theirs refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from events import ids
from events.gateway import Capabilities
from events.shapes import Outcome
from gateways.protocol import Gateway, InvalidSignature, Notification, StaleNotification
from services.commands import decode
from services.errors import Rejected, Undecodable
from services.hearing import REJECTIONS_PER_MINUTE, Hearing
from services.http.notifications import Notifications
from services.http.problems import from_error
from services.notifications.notification import ReceiveNotification, RejectNotification
from services.store.memory import MemoryStore
from services.store.protocol import StoreUnavailable

PATH = "/v1/t/gateways/gw/notifications"
SUCCESS = Outcome("Success", gateway_ref="ch_1")


class Talking:
    """A gateway whose deliveries are lists of event ids; `x-signature: mine` is its signature."""

    capabilities = Capabilities(())

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        if headers.get("x-signature") != "mine":
            raise InvalidSignature("it is not signed by me")
        if headers.get("x-timestamp") == "old":
            raise StaleNotification("it is an old one")
        return [Notification(id, "SALE", None, "ch_1", SUCCESS) for id in orjson.loads(body)]


class World:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.store = MemoryStore(now=self.now)
        self.hearing = Hearing(self.store, self.now)

    def now(self) -> datetime:
        return self.time

    async def gateway_of(self, tenant: str, gateway_id: str) -> Gateway | None:
        return Talking() if (tenant, gateway_id) == ("t", "gw") else None  # type: ignore[return-value]

    async def commands(self) -> list[object]:
        due = await self.store.due_commands(self.time, 30, 1000)
        return [decode(row.type, row.body).data for row in due]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def gateway(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway's end of the line."""
    endpoint = Notifications(world.hearing, world.gateway_of, bytes_max=1000)
    route = Route("/v1/{tenant}/gateways/{gateway_id}/notifications", endpoint.post, methods=["POST"])
    handlers = dict.fromkeys((Rejected, Undecodable, StoreUnavailable), from_error)
    app = Starlette(routes=[route], exception_handlers=handlers)  # type: ignore[arg-type]
    headers = {"x-signature": "mine"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://tender", headers=headers
    ) as client:
        yield client


async def test_a_delivery_is_kept_with_the_commands_that_it_becomes(
    world: World, gateway: httpx.AsyncClient
) -> None:
    answer = await gateway.post(PATH, content=b'["evt_1", "evt_2"]', headers={"authorization": "Basic x"})
    assert (answer.status_code, answer.json()) == (200, {"notifications": 2})
    first, second = await world.commands()
    assert isinstance(first, ReceiveNotification)
    assert isinstance(second, ReceiveNotification)
    assert [first.provider_event_id, second.provider_event_id] == ["evt_1", "evt_2"]
    kept = await world.store.raw_notification("t", first.raw_ref)
    assert kept is not None
    assert (kept.body, kept.standing, kept.headers) == (
        b'["evt_1", "evt_2"]',
        "VERIFIED",
        (("x-signature", b"mine"),),
    )


async def test_told_ten_times_it_is_one_command(world: World, gateway: httpx.AsyncClient) -> None:
    for _ in range(10):
        assert (await gateway.post(PATH, content=b'["evt_1"]')).status_code == 200
    (command,) = await world.commands()
    assert isinstance(command, ReceiveNotification)
    kept = await world.store.raw_notification("t", command.raw_ref)
    assert kept is not None
    assert kept.deliveries == 10


@pytest.mark.parametrize(
    ("headers", "reason"),
    [({"x-signature": "forged"}, "SIGNATURE"), ({"x-timestamp": "old"}, "STALE")],
)
async def test_what_the_gateway_did_not_sign_now_is_refused_and_recorded(
    headers: dict[str, str], reason: str, world: World, gateway: httpx.AsyncClient
) -> None:
    answer = await gateway.post(PATH, content=b'["evt_1"]', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "SIGNATURE_INVALID")
    assert answer.headers["content-type"] == "application/problem+json"
    (command,) = await world.commands()
    assert isinstance(command, RejectNotification)
    assert command.reason == reason
    kept = await world.store.raw_notification("t", command.raw_ref)
    assert kept is not None
    assert kept.standing == reason


async def test_what_cannot_be_read_is_kept_and_taken(world: World, gateway: httpx.AsyncClient) -> None:
    answer = await gateway.post(PATH, content=b"{broken")
    assert (answer.status_code, answer.json()) == (200, {"notifications": 0})
    (command,) = await world.commands()
    assert isinstance(command, RejectNotification)
    assert command.reason == "UNREADABLE"


async def test_a_card_number_is_kept_nowhere(world: World, gateway: httpx.AsyncClient) -> None:
    await gateway.post(PATH, content=b'{"number": "4242 4242 4242 4242"')
    (command,) = await world.commands()
    assert isinstance(command, RejectNotification)
    kept = await world.store.raw_notification("t", command.raw_ref)
    assert kept is not None
    assert kept.body == b'{"number": "**** **** **** ****"'


async def test_an_unknown_gateway_is_not_found(world: World, gateway: httpx.AsyncClient) -> None:
    answer = await gateway.post("/v1/t/gateways/nobody/notifications", content=b"[]")
    assert (answer.status_code, answer.json()["code"]) == (404, "GATEWAY_NOT_FOUND")
    assert await world.commands() == []


async def test_a_delivery_beyond_the_limit_is_read_no_further(
    world: World, gateway: httpx.AsyncClient
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for n in range(1_000_000):
            assert n < 100, "it is still being read"
            yield b" " * 100

    answer = await gateway.post(PATH, content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
    assert await world.commands() == []


async def test_a_stranger_cannot_fill_the_log(world: World, gateway: httpx.AsyncClient) -> None:
    forged = {"x-signature": "forged"}
    for n in range(REJECTIONS_PER_MINUTE + 20):
        answer = await gateway.post(PATH, content=orjson.dumps([n]), headers=forged)
        assert answer.status_code == 401
    assert len(await world.commands()) == REJECTIONS_PER_MINUTE
    assert (await gateway.post(PATH, content=b"{broken")).status_code == 503
    assert (await gateway.post(PATH, content=b'["evt_1"]')).status_code == 200
    world.time += timedelta(minutes=2)
    assert (await gateway.post(PATH, content=b"{broken")).status_code == 200


async def test_nothing_is_answered_for_what_could_not_be_kept(
    world: World, gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(batch: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(world.store, "commit", lost)
    answer = await gateway.post(PATH, content=b'["evt_1"]')
    assert (answer.status_code, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")


async def test_without_an_id_it_is_known_by_what_it_says(world: World) -> None:
    class Nameless(Talking):
        def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
            pending = Outcome("Pending", gateway_ref="ch_1")
            return [
                Notification("", "SALE", None, "ch_1", outcome) for outcome in (SUCCESS, SUCCESS, pending)
            ]

    nameless: Gateway = Nameless()  # type: ignore[assignment]
    for body in (b"1", b"2"):
        await world.hearing.take("t", "gw", nameless, {"x-signature": "mine"}, body)
    told = [command for command in await world.commands() if isinstance(command, ReceiveNotification)]
    assert len(told) == 4, "each bytes' command is decided, where the first version wins"
    assert len({command.inbox_id for command in told}) == 2
    assert all(ids.notification_home(command.inbox_id).startswith("~notification/") for command in told)


async def test_the_bytes_are_swept_after_their_days(world: World) -> None:
    await world.hearing.take("t", "gw", Talking(), {"x-signature": "mine"}, b"[]")  # type: ignore[arg-type]
    (place,) = world.store._raw
    world.time += timedelta(days=31)
    sweeping = world.hearing.sweep(30)
    sweeping.send(None)  # until it pauses
    sweeping.close()
    assert await world.store.raw_notification(*place) is None
