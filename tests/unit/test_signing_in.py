"""Who comes in: by a token, by an API key, by a topic; and who does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from services.access.api_key import CreateApiKey, RevokeApiKey
from services.access.api_key import home as key_home
from services.accounts.account import RegisterAccount
from services.answers import Answer
from services.commands import Actor, decode, encode
from services.errors import Undecodable
from services.handler import Handler
from services.intake import command_of
from services.keys import KeyEncryption
from services.messages import command_message
from services.settings import Settings
from services.signing_in import api_keys, callers, joining
from services.signing_in.api_keys import ApiKeys
from services.signing_in.callers import Callers
from services.signing_in.credentials import LOCAL, SignIn
from services.signing_in.identity import NotSignedIn
from services.signing_in.key_sets import KeysByFile, KeysByUrl
from services.signing_in.seals import Seals
from services.signing_in.tokens import Claims, Tokens
from services.store.memory import MemoryStore
from services.store.protocol import OutboxCommand
from services.subjects import SUBJECTS
from tests.keys import PEPPER, give
from tests.spec import NOW, Spec

ISSUER, AUDIENCE = "https://login.example", "tender"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, id: str) -> dict[str, Any]:
    algorithm = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": id, "use": "sig"}


KEY_SET = {"keys": [public(RSA, "one"), public(EC, "two")]}


def token(key: Any = RSA, id: str = "one", algorithm: str = "RS256", **claims: Any) -> str:
    now = datetime.now(UTC)
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": now + timedelta(minutes=5),
        "roles": ["PAYMENT_ADMIN"],
        "tenants": ["t"],
        **claims,
    }
    sent = {name: value for name, value in told.items() if value is not None}
    return jwt.encode(sent, key, algorithm=algorithm, headers={"kid": id})


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEY_SET))
    return file


@pytest.fixture
def tokens(key_file: Path) -> Tokens:
    return Tokens(KeysByFile(key_file), ISSUER, AUDIENCE)


# -- tokens


@pytest.mark.parametrize(("key", "id", "algorithm"), [(RSA, "one", "RS256"), (EC, "two", "ES256")])
async def test_a_token_says_who_and_what_he_may(tokens: Tokens, key: Any, id: str, algorithm: str) -> None:
    identity = await tokens.identity(token(key, id, algorithm))
    assert identity.actor == Actor("USER", "ada", ("PAYMENT_ADMIN",))
    assert identity.tenants == ("t",)


SECRET = "a secret that both would have to know"
WRONG: dict[str, Callable[[], str]] = {
    "expired": lambda: token(exp=datetime.now(UTC) - timedelta(minutes=5)),
    "not yet": lambda: token(nbf=datetime.now(UTC) + timedelta(minutes=5)),
    "of another issuer": lambda: token(iss="https://other.example"),
    "for another audience": lambda: token(aud="shop"),
    "without an end": lambda: token(exp=None),
    "without an audience": lambda: token(aud=None),
    "of nobody": lambda: token(sub=None),
    "under another key": lambda: token(OTHER),
    "under a key that is not there": lambda: token(OTHER, "three"),
    "by a shared secret": lambda: token(SECRET, algorithm="HS256"),
    "unsigned": lambda: token("", algorithm="none"),
    "by an algorithm that is not allowed": lambda: token(algorithm="RS384"),
    "no token": lambda: "ey.no.token",
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_token_that_is_not_right_signs_nobody_in(tokens: Tokens, what: str) -> None:
    with pytest.raises(NotSignedIn):
        await tokens.identity(WRONG[what]())


async def test_clocks_may_differ_by_the_leeway(tokens: Tokens) -> None:
    late = token(exp=datetime.now(UTC) - timedelta(seconds=10))
    assert (await tokens.identity(late)).actor.id == "ada"


async def test_roles_have_the_providers_names_where_it_has_others(key_file: Path) -> None:
    claims = Claims(roles="realm_access.roles", role_names={"tender-ops": "PAYMENT_OPERATIONS"})
    tokens = Tokens(KeysByFile(key_file), ISSUER, AUDIENCE, claims=claims)
    sent = token(realm_access={"roles": ["tender-ops", "PAYMENT_ADMIN"]}, accounts="A-1 A-2")
    actor = (await tokens.identity(sent)).actor
    assert (actor.roles, actor.accounts) == (("PAYMENT_OPERATIONS",), ("A-1", "A-2"))


async def test_nobody_is_given_what_only_tender_is(tokens: Tokens) -> None:
    assert (await tokens.identity(token(roles=["SYSTEM", "READ_ONLY"]))).actor.roles == ("READ_ONLY",)


async def test_who_names_no_tenant_has_none(tokens: Tokens) -> None:
    assert not (await tokens.identity(token(tenants=None))).belongs_to("t")
    assert (await tokens.identity(token(tenants="*"))).belongs_to("whatever")


class Provider:
    """An OpenID provider that counts how often it is asked."""

    def __init__(self) -> None:
        self.keys, self.asked, self.away = KEY_SET, 0, False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("away")
        if request.url.path.endswith("/openid-configuration"):
            return httpx.Response(200, json={"jwks_uri": f"{ISSUER}/keys"})
        self.asked += 1
        return httpx.Response(200, json=self.keys)


async def test_fetched_keys_are_kept_and_fetched_again_when_one_is_new() -> None:
    provider, time = Provider(), [NOW]
    async with httpx.AsyncClient(transport=httpx.MockTransport(provider)) as client:
        keys = KeysByUrl(client, lambda: time[0], issuer=ISSUER, fresh_seconds=600)
        assert await keys.find("one")
        assert await keys.find("two")
        assert provider.asked == 1
        assert await keys.find("three") is None  # so soon it is not asked again
        assert provider.asked == 1
        provider.keys = {"keys": [public(OTHER, "three")]}
        time[0] += timedelta(seconds=31)
        assert await keys.find("three")
        assert await keys.find("one") is None
        provider.away = True
        time[0] += timedelta(hours=1)
        assert await keys.find("three"), "what was known is used while the provider is away"


# -- API keys


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


async def test_a_key_signs_in_as_whom_it_was_given_to() -> None:
    store, clock = MemoryStore(now=Clock().now), Clock()
    shown = await give(store, "READ_ONLY", accounts=("A-1",), commands=("invoice.*",))
    identity = await ApiKeys(store, [b"new", PEPPER], clock.now).identity(shown)
    assert identity.actor == Actor("SERVICE", "ada", ("READ_ONLY",), ("A-1",))
    assert identity.tenants == ("t",)
    assert identity.out_of_scope("payments.invoice.post.v1") is None
    denied = identity.out_of_scope("payments.refund.issue.v1")
    assert denied is not None
    assert denied.code == "FORBIDDEN"


async def test_nothing_that_is_kept_opens_anything() -> None:
    store = MemoryStore(now=Clock().now)
    shown = api_keys.parsed(await give(store, "READ_ONLY"))
    assert shown is not None
    kept = b"".join(event.data + event.meta for event in await store.read(0, 100))
    assert shown.secret.encode() not in kept
    with pytest.raises(NotSignedIn):
        await ApiKeys(store, [b"another pepper"], Clock().now).identity(str(shown))
    assert shown.secret not in repr(shown)


@pytest.mark.parametrize(
    "text", ["", "tender.t", "tender.t.abcdefghabcdefgh", "tender.t.abcdefghabcdefgh." + "p" * 48]
)
async def test_a_key_that_nobody_gave_opens_nothing(text: str) -> None:
    with pytest.raises(NotSignedIn):
        await ApiKeys(MemoryStore(now=Clock().now), [PEPPER], Clock().now).identity(text)


async def test_a_key_of_another_tenant_or_with_another_secret_opens_nothing() -> None:
    store = MemoryStore(now=Clock().now)
    shown, other = api_keys.parsed(await give(store, "READ_ONLY")), await give(store, "READ_ONLY")
    assert shown is not None
    keys = ApiKeys(store, [PEPPER], Clock().now)
    for wrong in (shown._replace(tenant="other"), shown._replace(secret=other.rpartition(".")[2])):
        with pytest.raises(NotSignedIn):
            await keys.identity(str(wrong))


async def test_a_key_ends_when_it_was_to_end() -> None:
    store, clock = MemoryStore(now=Clock().now), Clock()
    shown = await give(store, "READ_ONLY", expires_at=NOW + timedelta(days=1))
    keys = ApiKeys(store, [PEPPER], clock.now)
    assert await keys.identity(shown)
    clock.time += timedelta(days=1)
    with pytest.raises(NotSignedIn):
        await keys.identity(shown)


async def test_a_revoked_key_opens_nothing_within_seconds() -> None:
    clock = Clock()
    store = MemoryStore(now=clock.now)
    text = await give(store, "READ_ONLY")
    keys, shown = ApiKeys(store, [PEPPER], clock.now), api_keys.parsed(text)
    assert shown is not None
    assert await keys.identity(text)
    command = RevokeApiKey(shown.key_id, "lost")
    type, body = encode(
        command, tenant="t", account_id=key_home(command, "t"), actor=Actor(), idempotency_key="revoke"
    )
    await _handled(store, clock, type, body)
    clock.time += timedelta(seconds=api_keys.FRESH_SECONDS)
    with pytest.raises(NotSignedIn):
        await keys.identity(text)


async def test_that_a_key_was_used_is_told_once_an_hour() -> None:
    clock = Clock()
    store = MemoryStore(now=clock.now)
    shown = await give(store, "READ_ONLY")
    keys = ApiKeys(store, [PEPPER], clock.now)
    for minutes in (0, 10, 20, 61):
        clock.time = NOW + timedelta(minutes=minutes)
        await keys.identity(shown)
    due = await store.due_commands(clock.time, 30.0, 100)
    assert [command.type for command in due] == ["payments.api_key.record_use.v1"] * 2


async def _handled(store: Any, clock: Any, type: str, body: bytes) -> list[Answer]:
    return await Handler(store, SUBJECTS, clock).handle([decode(type, body)])


def test_a_customers_key_names_his_accounts_and_roles_exist() -> None:
    made = api_keys.make("t", PEPPER)
    for roles in ((), ("EMPEROR",), ("SYSTEM",), ("PORTAL",)):
        command = CreateApiKey(made.shown.key_id, "x", "ada", roles, made.salt, made.digest)
        Spec().when(command).then_rejected("MALFORMED_REQUEST")


async def test_who_shows_nothing_is_at_this_machine_unless_all_must_sign_in() -> None:
    keys = ApiKeys(MemoryStore(now=Clock().now), [PEPPER], Clock().now)
    assert await SignIn(keys).identity({}) is LOCAL
    with pytest.raises(NotSignedIn):
        await SignIn(keys, required=True).identity({})
    for shown in ({"authorization": "Basic YTpi"}, {"authorization": "Bearer "}, {"x-api-key": "no"}):
        with pytest.raises(NotSignedIn):
            await SignIn(keys).identity(shown)


# -- records of Kafka


@dataclass
class Record:
    topic: str
    value: bytes
    headers: list[tuple[str, bytes]]
    key: bytes = b"t/A"
    partition: int = 0
    offset: int = 0


def record(actor: Actor, topic: str = "payments.commands.v1", tenant: str = "t") -> Record:
    type, body = encode(
        RegisterAccount("Ada"), tenant=tenant, account_id="A", actor=actor, idempotency_key="k"
    )
    return Record(topic, body, [("ce_type", type.encode())], f"{tenant}/A".encode())


SEALS = Seals([b"new key", b"old key"])
UPSTREAM = callers.Principal("upstream", ("BILLING_OPERATIONS",), ("t",), None, ("invoice.*",)).identity
CALLERS = Callers(SEALS, signed_in=True, known={"payments.commands.upstream": UPSTREAM})


def sealed(actor: Actor, seals: Seals = SEALS) -> Record:
    sent = record(actor)
    row = OutboxCommand(
        command_of(sent).command_id, "t/A", "payments.account.register.v1", sent.value, b"{}", NOW
    )
    message = command_message(row, "payments.commands.v1", seals.made)
    return Record(message.topic, message.value, message.headers, message.key)


def test_what_the_relay_has_sealed_is_from_whom_it_says() -> None:
    for seals in (SEALS, Seals([b"old key"])):
        for actor in (Actor("SYSTEM", "process:refunding"), Actor("USER", "ada", ("PAYMENT_ADMIN",))):
            assert command_of(sealed(actor, seals), CALLERS).actor == actor


def test_a_seal_is_of_one_record_only() -> None:
    sent, other = sealed(Actor("SYSTEM", "process:refunding")), sealed(Actor("USER", "eve"))
    forged = Record(sent.topic, other.value.replace(b"USER", b"SYSTEM"), other.headers, other.key)
    stranger = sealed(Actor(), Seals([b"a key of somebody's"]))
    for wrong in (forged, stranger, Record(sent.topic, sent.value, sent.headers, b"t/B")):
        with pytest.raises(Undecodable) as why:
            command_of(wrong, CALLERS)
        assert why.value.code == "UNAUTHENTICATED"


def test_a_record_that_nobody_stands_for_is_no_command() -> None:
    with pytest.raises(Undecodable) as why:
        command_of(record(Actor("SYSTEM", "process:refunding")), CALLERS)
    assert why.value.code == "UNAUTHENTICATED"


def test_a_producer_is_known_by_his_topic_whatever_he_says() -> None:
    claimed = Actor("SYSTEM", "process:refunding", ("PAYMENT_ADMIN",))
    command = command_of(record(claimed, "payments.commands.upstream"), CALLERS)
    assert command.actor == Actor("SERVICE", "upstream", ("BILLING_OPERATIONS",))
    assert orjson.loads(command.meta)["actor"]["id"] == "upstream"
    assert command.data.code == "FORBIDDEN"  # his topic is for invoices


def test_a_producer_has_nothing_to_do_with_other_tenants() -> None:
    with pytest.raises(Undecodable) as why:
        command_of(record(Actor(), "payments.commands.upstream", "other"), CALLERS)
    assert why.value.code == "FORBIDDEN"


def test_where_nobody_signs_in_nobody_passes_for_tender_itself() -> None:
    nobody = Callers(SEALS)
    assert command_of(record(Actor("SYSTEM", "demo")), nobody).actor == Actor("SERVICE", "demo")
    assert command_of(record(Actor("USER", "ada")), nobody).actor == Actor("USER", "ada")


def test_the_file_of_principals_is_read_or_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "principals.json"
    file.write_text('{"a": {"id": "x", "roles": ["READ_ONLY"], "tenants": ["t"]}}')
    assert callers.read(file)["a"].actor == Actor("SERVICE", "x", ("READ_ONLY",))
    for wrong in ('{"a": {"id": "x", "roles": ["EMPEROR"]}}', '{"a": {"id": "x"}}', "no json"):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=r"principals\.json"):
            callers.read(file)


def test_keys_for_other_purposes_follow_from_the_one_that_is_given() -> None:
    new, old = b"n" * 32, b"o" * 32
    both = KeyEncryption([new, old])
    assert both.derived("seals")[1:] == KeyEncryption([old]).derived("seals")
    assert both.derived("seals") != both.derived("api keys")


# -- what may not be


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "tender.example"])
def test_nobody_listens_for_others_who_asks_nobody_to_sign_in(host: str) -> None:
    with pytest.raises(joining.OpenToAll, match="TENDER_SIGN_IN"):
        joining.check_listening(Settings(http_host=host))
    joining.check_listening(Settings(http_host=host, sign_in="required"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "127.8.8.8", "localhost"])
def test_this_machine_needs_no_sign_in(host: str) -> None:
    joining.check_listening(Settings(http_host=host))


def test_no_shared_secret_may_sign_tokens() -> None:
    for algorithms in (("HS256",), ("none",), ()):
        with pytest.raises(ValueError, match="oidc_algorithms"):
            Settings(oidc_algorithms=algorithms)


async def test_an_issuer_without_an_audience_is_no_setting() -> None:
    async with httpx.AsyncClient() as client:
        store = MemoryStore(now=Clock().now)
        with pytest.raises(ValueError, match="TENDER_OIDC_AUDIENCE"):
            joining.sign_in(
                Settings(oidc_issuer=ISSUER), store, KeyEncryption([b"k" * 32]), client, Clock().now
            )


async def test_a_file_of_keys_that_is_gone_or_broken_leaves_what_was_read(key_file: Path) -> None:
    keys = KeysByFile(key_file)
    assert await keys.find("one")
    key_file.write_text("no json")
    assert await keys.find("one")
    key_file.unlink()
    assert await keys.find("two")
    assert await KeysByFile(key_file).find("one") is None
