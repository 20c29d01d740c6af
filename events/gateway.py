"""What can happen to gateway providers (`gwprov-{id}`) and gateways (`gw-{id}`)."""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact
from events.frozen import frozen


@frozen
class Capabilities:
    """What a provider can do; operations that it lacks are refused before any call."""

    operations: tuple[str, ...]
    """AUTHORIZE, CAPTURE, SALE, REVERSE, VOID, REFUND, UNREFERENCED_REFUND, TOKENIZE, VERIFY."""
    idempotency: bool = True
    """A request that is sent again under the same key is carried out once."""
    idempotency_key_hours: int = 24
    """For how many hours it remembers a key: nothing is sent again after that."""
    query_by_reference: bool = True
    """It answers what became of an operation, asked by our key or by its own id."""
    read_your_writes_seconds: int | None = None
    """After so many seconds "not found" means "not executed"; null, where the gateway promises nothing."""
    multi_capture: bool = False
    """One authorization can be captured several times."""
    partial_capture: bool = True
    """Less than was authorized can be captured."""
    partial_reversal: bool = True
    """A part of an authorization can be let go."""
    partial_refund: bool = True
    """A part of a payment can be given back."""
    currencies: tuple[str, ...] = ()
    """Those that it takes, ISO 4217; empty: all."""
    method_types: tuple[str, ...] = ()
    """The kinds of instrument that it takes, such as `card` and `sepa_debit`; empty: all."""
    refund_window_days: dict[str, int] | None = None
    """By kind of instrument, for how many days after a payment it can be refunded; a kind that is missing:
    ever."""
    overcapture_percent: int = 0
    """By so many percent a capture may exceed its authorization, as for tips."""
    level2: bool = False
    """It takes Level 2 data of a card payment: the tax in it, and what the buyer calls it."""
    level3: bool = False
    """It takes Level 3 data, too: the lines of what was bought."""
    level3_max_lines: int | None = None
    """With more lines than this, Level 2 data alone is sent; without it, there is no limit."""
    notifications: bool = False
    """It sends signed news of its own."""
    asynchronous: tuple[str, ...] = ()
    """Operations whose first answer is only an acknowledgement."""


@fact("gateway_provider.registered.v1")
class GatewayProviderRegistered:
    """A kind of gateway: the adapter that speaks to it, and what it can do."""

    provider_id: str
    name: str
    adapter_key: str
    capabilities: Capabilities
    """What its adapter can do."""


@fact("gateway_provider.raw_code_map_published.v1")
class RawCodeMapPublished:
    """What its raw answer codes mean; it holds for answers from now on."""

    map_version: int
    """Which version of the map: failures name the one that they were read by."""
    codes: dict[str, tuple[str, str]]
    """Raw code (lower-case) to (category, one of S, H, N, A)."""


@fact("gateway_provider.method_types_mapped.v1")
class MethodTypesMapped:
    """What its own names of payment methods are here; it holds for what is saved from now on."""

    types: dict[str, str]
    """Its name (lower-case) to our type.  All of them."""


@fact("gateway.registered.v1")
class GatewayRegistered:
    """A contract with a provider: a merchant account, a credential by reference, limits and settings."""

    gateway_id: str
    name: str
    provider_id: str
    credential_ref: str
    merchant_account_id: str
    mode: str
    """TEST, CONNECTED or LIVE."""
    adapter_key: str
    capabilities: Capabilities
    """The provider's, as they were at registration."""
    external_reference: str | None = None
    connect_timeout_ms: int = 5_000
    read_timeout_ms: int = 120_000
    rate_limit_per_second: int | None = None
    minor_unit_overrides: dict[str, int] | None = None
    """Currency to the granularity of its minor units: `{"KWD": 10}` takes only tens of fils."""
    settings: dict[str, str] | None = None
    """What the adapter needs besides, such as a base URL; never a secret."""


@fact("gateway.activated.v1")
class GatewayActivated:
    """It may be asked for new payments."""

    reason: str | None = None


@fact("gateway.deactivated.v1")
class GatewayDeactivated:
    """It is asked for nothing new; what it has begun it ends."""

    reason: str | None = None


@fact("gateway.restricted.v1")
class GatewayRestricted:
    """The provider limits what it does; `RESTRICTED` takes no new payments."""

    status: str
    """RESTRICTED_SOON, RESTRICTED or REJECTED."""
    reason: str | None = None


@fact("gateway.switched.v1")
class GatewaySwitched:
    """What its provider lets the merchant account do, from now on."""

    payments_enabled: bool
    """Whether it may take new payments."""
    payouts_enabled: bool
    """Whether money may be paid out of it, to whom it did not come from."""
    reason: str | None = None


@fact("gateway.credential_rotated.v1")
class GatewayCredentialRotated:
    """Calls use another credential from now on."""

    credential_ref: str


@fact("gateway.circuit_opened.v1")
class GatewayCircuitOpened:
    """It does not answer: no new money is begun there until `until`; after that, a few try it out."""

    reason: str
    until: datetime
    """After this a few calls try it out."""


@fact("gateway.circuit_closed.v1")
class GatewayCircuitClosed:
    """It answers again."""

    reason: str | None = None


GatewayEvent = (
    GatewayProviderRegistered
    | RawCodeMapPublished
    | MethodTypesMapped
    | GatewayRegistered
    | GatewayActivated
    | GatewayDeactivated
    | GatewayRestricted
    | GatewaySwitched
    | GatewayCredentialRotated
    | GatewayCircuitOpened
    | GatewayCircuitClosed
)
