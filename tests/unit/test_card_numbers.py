"""No card number is kept anywhere; and what only looks like one is left alone."""

from __future__ import annotations

import csv
import logging
import string
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import services.demo
from events.card_numbers import found_in, masked, masked_bytes, masked_json, may_hold, place_in
from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import ActionRequired, Outcome
from gateways.codes import NO_MAP, CodeMap
from gateways.mapped import MappedGateway
from services.commands import Actor, Command, decode, encode
from services.errors import Rejected, Undecodable
from services.handler import Handler
from services.importing.posting import of_retail, read_retail
from services.intake import Intake, Partition
from services.messages import dead_letter_message
from services.payments.arriving import RecordPaymentOutcome
from services.running.logs import NoCardNumbers
from services.store.memory import MemoryStore
from services.subjects import SUBJECTS
from tests.spec import Spec

VISA = "4111111111111111"
RETAIL = Path(services.demo.__file__).parent / "online-retail-2010-12-01--08.csv"

KNOWN = (
    VISA, "4222222222222", "5555555555554444", "2223003122003222", "378282246310005", "371449635398431",
    "6011111111111117", "30569309025904", "38520000023237", "3530111333300000", "6200000000000005",
    "6304000000000000", "5019717010103742", "6759649826438453", "2200000000000004",
)  # fmt: skip
"""Numbers that processors publish for tests, of every scheme that we know."""


# -- what a card number looks like


def _with_check_digit(body: str) -> str:
    doubled = [sum(divmod(int(d) * 2, 10)) for d in body[::-2]]
    rest = sum(doubled) + sum(int(d) for d in body[-2::-2])
    return body + str(-rest % 10)


LENGTHS = {
    "4": (13, 16, 19),
    "51": (16,),
    "2720": (16,),
    "37": (15,),
    "6011": (16, 19),
    "36": (14,),
    "3528": (16,),
}


@st.composite
def numbers(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(sorted(LENGTHS)))
    missing = draw(st.sampled_from(LENGTHS[prefix])) - len(prefix) - 1
    return _with_check_digit(prefix + draw(st.text("0123456789", min_size=missing, max_size=missing)))


def _grouped(number: str, separator: str) -> str:
    sizes = (4, 6, 5) if len(number) == 15 else (4, 6, 4) if len(number) == 14 else (4,) * 5
    parts, at = list[str](), 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return separator.join(part for part in parts if part)


words = st.text(string.ascii_letters + " ,:;/()#", max_size=30).filter(lambda text: not text.endswith((" ",)))


@pytest.mark.parametrize("number", KNOWN)
def test_every_schemes_numbers_are_found(number: str) -> None:
    assert found_in(number)
    assert found_in(f"please charge {number}, thanks")
    assert not any(digit in masked(number) for digit in string.digits)


@given(numbers(), st.sampled_from(["", " ", "-", ".", " - "]), words, words)
def test_a_card_number_is_found_wherever_it_stands(
    number: str, separator: str, before: str, after: str
) -> None:
    text = f"{before}({_grouped(number, separator)}){after}"
    assert found_in(text)
    hidden = masked(text)
    assert not any(digit in hidden for digit in string.digits)
    assert len(hidden) == len(text)
    body = orjson.dumps({"data": {"note": [{"deep": text}]}})
    assert may_hold(body)
    assert place_in(orjson.loads(body)) == "data.note.0.deep"
    assert not any(digit in masked_bytes(body).decode() for digit in string.digits)


@given(numbers(), st.lists(st.integers(1, 5), min_size=4, max_size=18), st.sampled_from(" -."))
def test_alone_it_is_found_however_it_is_cut(number: str, sizes: list[int], separator: str) -> None:
    parts, at = list[str](), 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    text = separator.join(part for part in [*parts, number[at:]] if part)
    assert found_in(text) or (separator == "." and text.count(".") == 1)


@given(numbers(), st.integers(0, 12), st.integers(1, 9))
def test_one_wrong_digit_is_no_card_number(number: str, place: int, more: int) -> None:
    wrong = str((int(number[place]) + more) % 10)
    assert not found_in(number[:place] + wrong + number[place + 1 :])


def test_around_it_may_be_more_digits() -> None:
    assert masked("12 4111 1111 1111 1111 12/29") == "12 **** **** **** **** 12/29"
    assert masked("4111111111111111=29121010000") == "****************=29121010000"
    assert masked("a 4111111111111111 b 5555-5555-5555-4444") == "a **************** b ****-****-****-****"


def test_digits_may_be_written_otherwise() -> None:
    wide = "".join(chr(0xFF10 + int(d)) for d in VISA)
    assert found_in(wide)
    assert not found_in(wide[:-1] + "2")
    assert place_in(orjson.loads(orjson.dumps({"data": {"a": wide}}))) == "data.a"
    escaped = b'{"a":"' + b"".join(b"\\u00%02x" % byte for byte in VISA.encode()) + b'"}'
    assert may_hold(escaped)
    assert b"1" not in masked_bytes(escaped)


def test_names_and_whole_numbers_are_looked_at_too() -> None:
    assert place_in({"data": {VISA: 1}}) == f"data.{'*' * 16}"
    assert place_in({"data": {"token": int(VISA)}}) == "data.token"
    assert place_in({"data": {"amount": {"amount_minor": 4222222222222}}}) is None
    assert masked_json({"a": [int(VISA), VISA, 7, True, None]}) == {"a": ["*" * 16, "*" * 16, 7, True, None]}


# -- what is none


@given(st.uuids())
def test_a_uuid_is_no_card_number(id: UUID) -> None:
    assert not found_in(str(id))
    assert not found_in(f"see {id}, {id.hex} and ~gateway/{id}:2")
    assert place_in({"command_id": str(id), "data": {"id": f"spm-{id}"}}) is None


@pytest.mark.parametrize(
    "uuid", ["41111111-1111-4111-8111-111111111111", "55555555-5555-4444-9999-999999999999"]
)
def test_nor_is_one_all_of_digits(uuid: str) -> None:
    assert not found_in(uuid)
    assert masked(f"the id {uuid}") == f"the id {uuid}"


_ALL_DIGITS = "41111111-1111-1111-1111-411111111111"
pieces = st.one_of(
    st.sampled_from([_ALL_DIGITS, VISA, "-", " ", ".", "\n", '"', "\\", "a", "0", "PSI-", "41111111-1111"]),
    st.uuids().map(str),
    numbers(),
)


@given(st.lists(pieces, max_size=6).map("".join), st.lists(pieces, max_size=6).map("".join))
def test_what_holds_one_is_looked_at_whatever_stands_beside_it(name: str, text: str) -> None:
    body = orjson.dumps({name: [text, {"at": text + name}]})
    assert may_hold(body) or (place_in(orjson.loads(body)) is None and masked_bytes(body) == body)


@given(st.lists(st.uuids().map(str) | st.just(_ALL_DIGITS), min_size=1))
def test_uuids_alone_call_for_no_closer_look(ids: list[str]) -> None:
    assert not may_hold(orjson.dumps({"items": ids, "run": f"run:{ids[0]}/{ids[-1]}"}))
    assert may_hold(orjson.dumps({"items": ids, "note": VISA}))


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_is_no_card_number(digest: bytes) -> None:
    assert not found_in(digest.hex())


@given(st.decimals(min_value=-(10**12) + 1, max_value=10**12 - 1, places=6))
def test_an_amount_is_no_card_number(amount: Any) -> None:
    assert not found_in(f"{amount:f}")
    assert place_in({"unit_price": f"{amount:f}"}) is None


@given(st.integers(-(10**15), 10**15))
def test_an_amount_in_minor_units_is_none(amount: int) -> None:
    assert place_in({"data": {"amount": {"amount_minor": amount, "currency": "JPY"}}}) is None


@given(st.integers(0, 7_258_118_399), st.integers(0, 99_999_999))
def test_nor_are_invoice_numbers_and_times(seconds: int, number: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    for text in (
        f"INV-{number:06d}",
        f"C{number}",
        f"INV-{at:%Y}-{number:08d}",
        f"{at:%Y%m%d}{number:08d}",
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"{at:%Y-%m-%d} {at:%Y-%m-%d}",
    ):
        assert not found_in(text), text


def test_ids_that_gateways_and_schemes_give_are_none() -> None:
    for text in ("8816178952380553", "8316182237154231", "ch_3NqvJ82eZvKYlo2C1V4tyAbc", "1772442000000123"):
        assert not found_in(text), text
    assert place_in({"data": {"network_transaction_id": "676767676767675"}}) is None
    assert place_in({"data": {"network_transaction_id": VISA}}) == "data.network_transaction_id"


def test_the_retail_file_holds_none() -> None:
    with RETAIL.open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert len(cells) > 100_000
    assert [cell for cell in cells if found_in(cell)] == []
    assert not found_in("\n".join(cells))
    for invoice in read_retail(RETAIL).invoices:
        assert place_in(orjson.loads(orjson.dumps(of_retail(invoice)))) is None, invoice.invoice_no


# -- commands


def _body(data: Any, **more: Any) -> bytes:
    return orjson.dumps(
        {"tenant_id": "t", "account_id": "A", "command_id": str(UUID(int=1)), "data": data} | more
    )


def _refused(type: str, data: Any, **more: Any) -> Command:
    command = decode(type, _body(data, **more))
    assert isinstance(command.data, Rejected), command.data
    assert command.data.code == "CARD_DATA_FORBIDDEN"
    assert VISA not in str(command)
    return command


@pytest.mark.parametrize(
    ("type", "data", "field"),
    [
        ("payments.account.register.v1", {"name": f"Ada {VISA}"}, "data.name"),
        ("payments.account.register.v1", {"name": "Ada", VISA: 1}, f"data.{'*' * 16}"),
        ("payments.account.close.v1", {"reason": {"deep": ["", VISA]}}, "data.reason.deep.1"),
        ("payments.payment.process.v1", {"payment_id": VISA}, "data.payment_id"),
        ("payments.tenant_settings.change.v1", {"changes": {"x": VISA}}, "data.changes.x"),
        ("payments.gateway.register.v1", {"settings": {"a": "4111 1111 1111 1111"}}, "data.settings.a"),
        ("payments.payment_method.save.v1", {"token_ref": int(VISA)}, "data.token_ref"),
    ],
)
def test_no_command_holds_one_anywhere(type: str, data: Any, field: str) -> None:
    assert _refused(type, data).data.field == field


def test_not_even_its_actor_does() -> None:
    command = _refused("payments.account.register.v1", {"name": "Ada"}, actor={"type": "USER", "id": VISA})
    assert command.actor.id == "anonymous"


def test_what_is_kept_of_a_refused_command_does_not_tell_it() -> None:
    type = "payments.account.register.v1"
    one, other = _refused(type, {"name": VISA}), _refused(type, {"name": "5555555555554444"})
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != _refused(type, {"name": f"x {VISA}"}).fingerprint


@pytest.mark.parametrize("name", ["account_id", "idempotency_key", "tenant_id"])
def test_a_command_that_would_be_known_by_one_is_none(name: str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode("payments.account.register.v1", _body({"name": "Ada"}, **{name: VISA}))
    assert refused.value.code == "CARD_DATA_FORBIDDEN"


def test_an_answer_of_a_gateway_is_never_lost_for_its_reference() -> None:
    result = {"result_code": "Success", "gateway_ref": VISA}
    data = {"operation_key": "t:sale:P1:1", "source": "GATEWAY", "result": result}
    command = decode("payments.payment.record_outcome.v1", _body(data))
    assert not isinstance(command.data, Rejected)


async def test_a_refused_command_is_not_kept_behind_a_parked_one() -> None:
    clock = Spec()
    store = MemoryStore(now=clock.now)
    handler = Handler(store, SUBJECTS, clock)
    poison = decode("payments.account.close.v1", _body({}))._replace(data=object())
    refused = _refused("payments.account.register.v1", {"name": VISA}, command_id=str(UUID(int=2)))
    answers = await handler.handle([poison, refused])
    assert [answer.status for answer in answers] == ["PARKED", "REJECTED"]
    assert VISA.encode() not in b"".join(one.body for one in await store.parked_commands("t/A"))


# -- what is no command, what gateways say, what is logged


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


async def test_a_dead_letter_is_kept_without_it() -> None:
    clock = Spec()
    store = MemoryStore(now=clock.now)

    async def no_offset(*_: object) -> None:
        return None

    async def answer(messages: Any) -> None:
        assert not messages

    intake = Intake(
        Handler(store, SUBJECTS, clock), no_offset, clock, cluster_id="c", results_topic="r", answer=answer
    )

    class Nowhere:
        def seek(self, partition: Partition, offset: int | None) -> None:
            pass

    await intake.assigned([Partition("commands", 0)], Nowhere())
    named = [("ce_type", b"payments.account.register.v1"), ("correlationid", VISA.encode())]
    unknown = [("ce_type", b"payments.x.v1"), (VISA, VISA.encode())]
    records = [
        Record("commands", 0, 0, VISA.encode(), b"not JSON: 4111-1111-1111-1111", unknown),
        Record("commands", 0, 1, b"k", b"\xff plain", [("ce_type", f"payments.{VISA}.v1".encode())]),
        Record("commands", 0, 2, b"t/A", _body({"name": "Ada"}), named),
    ]
    await intake.take(records, Nowhere())
    letters = [letter for _, letter in await store.dead_letters(0, 10)]
    assert [letter.code for letter in letters] == ["UNKNOWN_TYPE", "UNKNOWN_TYPE", "CARD_DATA_FORBIDDEN"]
    assert letters[0].value == b"not JSON: ****-****-****-****"
    assert letters[1].value == b"\xff plain"
    for letter in letters:
        assert VISA not in str(letter)
        assert "masked" in letter.reason
        assert VISA.encode() not in b"".join(dead_letter_message(letter, "dead")[1:3])


class Talkative:
    capabilities = Capabilities(())

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        return Outcome(
            "Decline", raw_code="x", raw_message=f"the card {VISA} was declined", gateway_ref="ch_1"
        )


async def test_what_a_gateway_says_of_it_is_masked() -> None:
    async def nothing() -> CodeMap:
        return NO_MAP

    planned = GatewayCallPlanned(
        "SALE", "k", 1, "payment", "P", "A", "gw", Money(1, "USD"), "digest", "PAY-1"
    )
    told = await MappedGateway(Talkative(), nothing).call(planned)  # type: ignore[arg-type]
    assert told.raw_message == f"the card {'*' * 16} was declined"
    assert (told.raw_code, told.gateway_ref) == ("x", "ch_1")


async def test_no_answer_of_a_gateway_is_refused_for_its_looks() -> None:
    """Whatever its texts are: the money has moved, and an answer that were refused would be lost."""
    texts = [each.name for each in fields(Outcome) if each.type in ("str | None", "str")]
    action = ActionRequired("redirect", f"https://bank.example/{VISA}")
    words = dict.fromkeys(set(texts) - {"result_code", "category"}, VISA)

    class Looks(Talkative):
        async def call(self, request: GatewayCallPlanned) -> Outcome:
            return Outcome("Success", action=action, **words)  # type: ignore[arg-type]

    async def nothing() -> CodeMap:
        return NO_MAP

    planned = GatewayCallPlanned(
        "SALE", "k", 1, "payment", "P", "A", "gw", Money(1, "USD"), "digest", "PAY-1"
    )
    told = await MappedGateway(Looks(), nothing).call(planned)  # type: ignore[arg-type]
    kept = {name for name in words if getattr(told, name) == VISA}
    assert kept == {"gateway_ref", "network_transaction_id"}
    assert told.action == action
    report = RecordPaymentOutcome("k", "GATEWAY", told)
    type, body = encode(
        report, tenant="t", account_id="A", actor=Actor("SYSTEM", "gateway"), idempotency_key="k"
    )
    assert isinstance(decode(type, body).data, RecordPaymentOutcome)


def test_what_is_logged_of_it_is_masked() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "charged %s and %d", (VISA, int(VISA)), None)
    assert NoCardNumbers().filter(record)
    assert record.getMessage() == f"charged {'*' * 16} and {'*' * 16}"
    try:
        raise ValueError(VISA)
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "failed", (), (ValueError, error, error.__traceback__)
        )
    assert NoCardNumbers().filter(record)
    assert VISA not in logging.Formatter().format(record)
