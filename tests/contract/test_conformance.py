"""Every adapter that ships passes the conformance kit; and so does the template in its documentation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from events.gateway import Capabilities
from gateways import registry
from gateways.adyen.rig import AdyenRig
from gateways.conformance import CHECKS, conformance_tests, rigs, run_all
from gateways.conformance.rig import Rig
from gateways.conformance.rigs import UnknownRig, rig
from gateways.gocardless.rig import GoCardlessRig
from gateways.matrix import shipped
from gateways.simulator.rig import SimulatorRig
from gateways.stripe.rig import StripeRig
from services.cli.app import app as cli
from tests.fixtures.template import AcmePay, AcmePayRig, template

RIGS: tuple[type[Rig], ...] = (AdyenRig, GoCardlessRig, SimulatorRig, StripeRig, AcmePayRig)

test_adyen = conformance_tests(AdyenRig)
test_gocardless = conformance_tests(GoCardlessRig)
test_simulator = conformance_tests(SimulatorRig)
test_stripe = conformance_tests(StripeRig)
test_the_template = conformance_tests(AcmePayRig)


def test_every_adapter_that_ships_can_be_checked() -> None:
    assert rigs() == registry.names()
    assert {rig(name) for name in rigs()} == set(RIGS) - {AcmePayRig}
    with pytest.raises(UnknownRig, match="adyen, gocardless, simulator, stripe"):
        rig("no_such")


def test_every_check_says_what_and_why_under_an_id_of_its_own() -> None:
    assert len({each.id for each in CHECKS}) == len(CHECKS) > 60
    for each in CHECKS:
        assert each.sentence, each.id
        assert each.reason, each.id


def test_every_check_applies_to_some_adapter() -> None:
    """One that nobody runs says nothing."""
    can = {
        **shipped(),
        "acmepay": template.CAPABILITIES,
        "mute": replace(template.CAPABILITIES, notifications=False),
    }
    of = {rig.name: rig for rig in RIGS} | {"mute": MuteRig}
    for each in CHECKS:
        assert any(all(need(of[name](), can[name]) is None for need in each.needs) for name in of), each.id


def test_who_sends_no_news_takes_none() -> None:
    (told,) = run_all(MuteRig, ["NOT-13"])
    assert (told.verdict, told.detail) == ("passed", "")


def test_what_is_not_declared_is_not_applicable_and_says_why() -> None:
    (told,) = run_all(GoCardlessRig, ["OPS-2"])
    assert (told.verdict, told.detail) == ("not applicable", "it does not declare AUTHORIZE")


class Mute(AcmePay):
    @property
    def capabilities(self) -> Capabilities:
        return replace(template.CAPABILITIES, notifications=False)


class MuteRig(AcmePayRig):
    adapter = Mute


@pytest.mark.parametrize(
    ("told", "ends_with"),
    [(["gocardless", "CAP"], 0), (["no_such"], 2), (["gocardless", "NO_SUCH_CHECK"], 1)],
)
def test_the_command_line_says_how_it_went(told: list[str], ends_with: int) -> None:
    """A run without a check is no pass."""
    with pytest.raises(SystemExit) as ended:
        cli(["gateways", "check", *told])
    assert (ended.value.code or 0) == ends_with
