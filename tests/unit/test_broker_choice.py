"""One choice of the broker that the tests talk to, and never a silent second one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fixtures.broker_choice import BrokerKind, NoKafka, choose_broker


def machine_with(*programs: str) -> Callable[[str], bool]:
    return lambda program: program in programs


def docker_answers() -> bool:
    return True


def docker_is_silent() -> bool:
    return False


def docker_must_not_be_asked() -> bool:
    raise AssertionError("Docker was asked")


@pytest.mark.parametrize("wanted", [None, "", "embedded"])
def test_the_embedded_broker_is_the_default_and_docker_is_not_asked(wanted: str | None) -> None:
    assert choose_broker(wanted, docker_must_not_be_asked, machine_with("java", "mvn")) is BrokerKind.EMBEDDED


def test_kafka_is_a_container_where_docker_answers() -> None:
    assert choose_broker("kafka", docker_answers, machine_with("java", "mvn")) is BrokerKind.CONTAINER


def test_kafka_is_its_jars_where_docker_is_silent() -> None:
    assert choose_broker("kafka", docker_is_silent, machine_with("java", "mvn")) is BrokerKind.JARS


@pytest.mark.parametrize("programs", [(), ("java",), ("mvn",)])
def test_kafka_that_cannot_be_had_is_an_error_and_no_other_broker(programs: tuple[str, ...]) -> None:
    with pytest.raises(NoKafka, match="Docker engine"):
        choose_broker("kafka", docker_is_silent, machine_with(*programs))


def test_an_unknown_wish_is_an_error() -> None:
    with pytest.raises(ValueError, match="'rabbit'"):
        choose_broker("rabbit", docker_must_not_be_asked, machine_with())
