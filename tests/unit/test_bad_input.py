"""Bad input, as a record of the commands topic is read: a clear code for each, and no exception but ours."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest

from services.errors import Rejected, Undecodable
from services.intake import command_of
from tests.bad_input import BAD, Bad, twice
from tests.spec import Spec


@dataclass
class Record:
    value: bytes | None
    headers: list[tuple[str, bytes]]
    key: bytes | None = None
    topic: str = "commands"
    partition: int = 0
    offset: int = 0


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_each_has_a_code(bad: Bad) -> None:
    record = Record(bad.body, bad.record_headers)
    if bad.dead:
        with pytest.raises(Undecodable) as undecodable:
            command_of(record)
        assert undecodable.value.code == bad.code
        return
    rejected = command_of(record).data
    assert isinstance(rejected, Rejected)
    assert (rejected.code, bool(rejected.message)) == (bad.code, True)


@pytest.mark.parametrize("bad", [bad for bad in BAD if not bad.dead], ids=lambda bad: bad.name)
def test_what_has_an_identity_gets_a_verdict_and_changes_nothing(bad: Bad) -> None:
    spec = Spec()
    spec.answers += spec._run(spec.handler.handle([command_of(Record(bad.body, bad.record_headers))]))
    spec.then_rejected(bad.code)
    assert spec.events() == []


def test_of_a_key_twice_the_last_one_counts() -> None:
    command = command_of(Record(twice(), [("ce_type", b"payments.account.register.v1")]))
    assert command.data.name == "Ada"
    assert orjson.loads(command.value)["data"] == {"name": "Ada"}
