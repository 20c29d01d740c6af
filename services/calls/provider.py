"""Gateway providers: kinds of gateways, what each can do, and what its own codes and names mean.

Invariant: what a provider's map says holds for answers, and for methods, from then on; nothing that was
recorded is read anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field

from events.gateway import (
    Capabilities,
    GatewayEvent,
    GatewayProviderRegistered,
    MethodTypesMapped,
    RawCodeMapPublished,
)
from events.ids import tenant_home
from services.commands import FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected

Category = Literal[
    "CardLimit", "PaymentProcessing", "PaymentInformation", "Security", "GatewayConnection", "Unknown"
]
"""Of a gateway's refusals."""

MethodType = Literal[
    "card",
    "us_bank_account",
    "sepa_debit",
    "bacs_debit",
    "au_becs_debit",
    "ideal",
    "bancontact",
    "extd_wallet",
    "extd_apm",
]


@dataclass(slots=True)
class GatewayProvider:
    """A kind of gateway: the adapter that speaks to it, what it can do, and what its raw codes mean."""

    KIND: ClassVar[str] = "gwprov"

    version: int = 0
    adapter_key: str = ""
    capabilities: Capabilities | None = None
    map_version: int = 1
    method_types: dict[str, MethodType] = field(default_factory=dict[str, MethodType])
    """Its own names of payment methods, in lower case, to our types."""

    @property
    def open(self) -> bool:
        return False


def evolve(provider: GatewayProvider, event: GatewayEvent) -> None:
    match event:
        case GatewayProviderRegistered():
            provider.adapter_key, provider.capabilities = event.adapter_key, event.capabilities
        case RawCodeMapPublished():
            provider.map_version = event.map_version
        case MethodTypesMapped():
            provider.method_types = cast("dict[str, MethodType]", event.types)
        case _:
            raise AssertionError(event)


@command("payments.gateway_provider.register.v1")
class RegisterGatewayProvider:
    """Make a kind of gateway known: which adapter speaks to it, and what it can do."""

    provider_id: Id
    """An id of the caller's own, which gateways name: `stripe`."""
    name: FreeText
    adapter_key: Id
    """The name of an adapter's entry point: `simulator`."""
    capabilities: Capabilities
    """What the adapter can do. `tender gateways add` asks the adapter itself, and registers all of it."""


@command("payments.gateway_provider.publish_raw_code_map.v1")
class PublishRawCodeMap:
    """Say what a provider's raw answer codes mean; answers from now on are read by it."""

    provider_id: Id
    codes: dict[Text, tuple[Category, Literal["S", "H", "N", "A"]]]
    """Raw code to its category, and S (soft), H (hard), N (never again) or A (ask the customer), such as
    `{"51": ["CardLimit", "S"]}`; it goes before the built-in map."""


@command("payments.gateway_provider.map_method_types.v1")
class MapMethodTypes:
    """Say what a provider's own names of payment methods are here: methods are saved and imported by them.

    All of them: a name that is left out is known no more, methods that were saved by it stay.
    """

    provider_id: Id
    types: Annotated[dict[Text, MethodType], Field(max_length=500)]
    """Its name to our type: `{"ACH": "us_bank_account"}`; capitals do not count."""


def _needs(
    states: States,
    command: RegisterGatewayProvider | PublishRawCodeMap | MapMethodTypes,
    context: Context,
) -> Needs:
    yield Need(GatewayProvider, command.provider_id)


def register(states: States, command: RegisterGatewayProvider, context: Context) -> Changes:
    if states.get(GatewayProvider, command.provider_id).adapter_key:
        raise Rejected("GATEWAY_EXISTS", f"the provider {command.provider_id} is registered already")
    fact = GatewayProviderRegistered(
        command.provider_id, command.name, command.adapter_key, command.capabilities
    )
    return [Change(GatewayProvider, command.provider_id, fact)]


def publish_codes(states: States, command: PublishRawCodeMap, context: Context) -> Changes:
    provider = _known_provider(states, command.provider_id)
    codes = {code.strip().lower(): (meaning[0], meaning[1]) for code, meaning in command.codes.items()}
    return [
        Change(GatewayProvider, command.provider_id, RawCodeMapPublished(provider.map_version + 1, codes))
    ]


def map_types(states: States, command: MapMethodTypes, context: Context) -> Changes:
    provider = _known_provider(states, command.provider_id)
    types: dict[str, str] = {spoken(name): type for name, type in command.types.items()}
    if types == provider.method_types:
        return []
    return [Change(GatewayProvider, command.provider_id, MethodTypesMapped(types))]


def no_provider(provider_id: str) -> Rejected:
    return Rejected(
        "GATEWAY_NOT_FOUND",
        f"there is no gateway provider {provider_id}: register it first, or `tender gateways add` does both",
        provider_id=provider_id,
    )


def _known_provider(states: States, provider_id: str) -> GatewayProvider:
    provider = states.get(GatewayProvider, provider_id)
    if not provider.adapter_key:
        raise no_provider(provider_id)
    return provider


def spoken(name: str) -> str:
    """A name as the map has it."""
    return name.strip().lower()


def _home(command: RegisterGatewayProvider | PublishRawCodeMap | MapMethodTypes, tenant: str) -> str:
    return tenant_home("gateway_provider", command.provider_id)


SUBJECT = Subject(
    GatewayProvider,
    evolve,
    (
        Rule(RegisterGatewayProvider, _needs, register, _home),
        Rule(PublishRawCodeMap, _needs, publish_codes, _home),
        Rule(MapMethodTypes, _needs, map_types, _home),
    ),
)
