"""`tender gateways …`: adapters that are installed, whether one does what each must, and adding a gateway."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal
from uuid import uuid4

import httpx
import orjson
from cyclopts import App, Parameter

from events.ids import tenant_home
from gateways import registry
from gateways.conformance import CHECKS, Result, rig, rigs, run_check
from gateways.conformance.rigs import UnknownRig
from gateways.credentials import Credential
from gateways.registry import names
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.cli.output import Output, console, errors, show
from services.cli.sending import asked_over_http
from services.cli.session import DataDir, Tenant, fail
from services.commands import Actor, encode

OPERATOR = Actor("USER", "operator")

gateways = App(name="gateways", help="Adapters of payment gateways, and the checks that each must pass.")


@gateways.command
def add(
    gateway: Annotated[str, Parameter(help="What it is called here: stripe-eu.")],
    *,
    adapter: Annotated[str, Parameter(help="One of `tender gateways list`.")],
    merchant_account: Annotated[str, Parameter(help="What the gateway calls your account.")],
    credential: Annotated[
        str, Parameter(help="Where its secret is, never the secret: env:STRIPE_KEY, or file:/run/key.")
    ] = "env:NONE",
    mode: Annotated[Literal["TEST", "CONNECTED", "LIVE"], Parameter(help="TEST moves no money.")] = "TEST",
    setting: Annotated[list[str] | None, Parameter(help="Of the adapter: base_url=https://…")] = None,
    tenant: Tenant = "acme",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Register a gateway with all that its adapter can do, and its provider where it is the first.

    Examples:

        tender gateways add gw --adapter simulator --merchant-account m1
        tender gateways add stripe-eu --adapter stripe --merchant-account acct_1 --credential env:STRIPE_KEY
    """
    settings = dict(_setting(given) for given in setting or ())
    try:
        made = registry.adapter(adapter)({"base_url": NOWHERE, **settings}, 1, 1, Credential(credential))
    except (registry.UnknownAdapter, registry.AdapterNotInstalled) as unknown:
        fail(str(unknown))
    provider = RegisterGatewayProvider(adapter, adapter, adapter, made.capabilities)
    registered = RegisterGateway(
        gateway, gateway, adapter, credential, merchant_account, mode, settings=settings or None
    )
    there = _sent(provider, tenant_home("gateway_provider", adapter), tenant, data_dir)
    if there.is_success or there.json()["code"] == "GATEWAY_EXISTS":
        there = _sent(registered, tenant_home("gateway", gateway), tenant, data_dir)
    told = there.json()
    if "code" in told:
        fail(f"{told['code']}: {told['message']}")
    row = {"gateway": gateway, "adapter": adapter, "mode": mode, "position": told["position"]}
    show([row | {"operations": ", ".join(made.capabilities.operations)}], output)


NOWHERE = "http://127.0.0.1"
"""No adapter says anything to its gateway before it is asked to."""


def _setting(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        fail(f"a setting is name=value, not {given}")
    return name, value


def _sent(command: object, home: str, tenant: str, data_dir: DataDir) -> httpx.Response:
    type, body = encode(command, tenant=tenant, account_id=home, actor=OPERATOR, command_id=uuid4())
    return asked_over_http("POST", f"/v1/commands/{type}", data_dir, orjson.loads(body))


@gateways.command(name="list")
def list_adapters(*, output: Output = "table") -> None:
    """Adapters that are installed, and whether they bring what it takes to check them."""
    checked = set(rigs())
    show([{"adapter": name, "can_be_checked": name in checked} for name in names()], output)


@gateways.command
def checks(*, output: Output = "table") -> None:
    """What every adapter must do, and why."""
    show([{"id": one.id, "check": one.sentence, "because": one.reason} for one in CHECKS], output)


@gateways.command
def check(adapter: str, *only: str, output: Output = "table") -> None:
    """Run the conformance kit on an adapter; ends with 1 where it fails.

    ADAPTER is the name of a rig's entry point, or `package.module:Class`.  ONLY are beginnings of ids, such
    as NET, or INQ-6.
    """
    try:
        of = rig(adapter)
    except UnknownRig as unknown:
        errors.print(f"[red]{unknown}[/red]")
        sys.exit(2)
    told: list[Result] = []
    for one in CHECKS:
        if not only or one.id.startswith(only):
            told.append(run_check(one, of))
    show([_row(each) for each in told if output == "json" or each.verdict != "passed"], output)
    counts = {verdict: sum(each.verdict == verdict for each in told) for verdict in VERDICTS}
    if output == "table":
        console.print(f"{adapter}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if counts["failed"] or not told:
        sys.exit(1)


VERDICTS = ("passed", "failed", "not applicable")


def _row(told: Result) -> dict[str, Any]:
    return {
        "id": told.check.id,
        "verdict": told.verdict,
        "check": told.check.sentence,
        "detail": told.detail,
    }
