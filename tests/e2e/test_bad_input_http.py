"""Bad input over HTTP: the bytes of Kafka, a problem document with a code for each, and all goes on."""

from __future__ import annotations

from uuid import uuid4

import httpx
import orjson
import pytest

from services.errors import STATUS
from tests.bad_input import BAD, REGISTER, Bad, twice
from tests.fixtures.tender import Tender


def post(tender: Tender, type: str, content: bytes, **headers: str) -> httpx.Response:
    given = {"content-type": "application/json", **headers}
    return httpx.post(f"{tender.url}/v1/commands/{type}", content=content, headers=given, timeout=30)


@pytest.mark.parametrize("bad", [bad for bad in BAD if not bad.kafka_only], ids=lambda bad: bad.name)
def test_each_has_a_code(tender: Tender, bad: Bad) -> None:
    assert isinstance(bad.type, str)
    assert bad.body is not None
    answer = post(tender, bad.type, bad.body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (STATUS[bad.code], bad.code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["message"]
    assert "4242" not in answer.text
    assert "4111" not in answer.text


def test_and_the_next_command_is_taken(tender: Tender) -> None:
    good = {"tenant_id": f"t-{uuid4().hex[:8]}", "account_id": "A", "data": {"name": "Ada"}}
    assert post(tender, REGISTER, orjson.dumps(good)).status_code == 200


def test_a_verdict_that_there_is_not(tender: Tender) -> None:
    answer = httpx.get(f"{tender.url}/v1/commands/{uuid4()}", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (404, "COMMAND_NOT_FOUND")


def test_a_key_in_the_header_must_be_the_one_in_the_body(tender: Tender) -> None:
    answer = post(tender, REGISTER, twice(), **{"Idempotency-Key": "another"})
    assert (answer.status_code, answer.json()["field"]) == (400, "idempotency_key")


def test_a_body_that_never_ends_is_read_no_further_than_it_may_go(tender: Tender) -> None:
    def endless():  # type: ignore[no-untyped-def]
        for _ in range(1000):
            yield b"x" * 65536

    try:
        answer = httpx.post(f"{tender.url}/v1/commands/{REGISTER}", content=endless(), timeout=30)
    except httpx.WriteError:
        return  # it was refused before all of it was sent
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
