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
    idempotency_key_hours: int = 24
    query_by_reference: bool = True
    read_your_writes_seconds: int | None = None
    """After this long "not found" means "not executed"; None where the gateway promises nothing."""
    multi_capture: bool = False
    partial_capture: bool = True
    partial_reversal: bool = True
    partial_refund: bool = True
    currencies: tuple[str, ...] = ()
    """Empty: all."""
    method_types: tuple[str, ...] = ()
    """Empty: all."""
    refund_window_days: dict[str, int] | None = None
    """By method type; None or a missing type: no limit."""
    overcapture_percent: int = 0
    level2: bool = False
    level3: bool = False
    level3_max_lines: int | None = None
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


@fact("gateway_provider.raw_code_map_published.v1")
class RawCodeMapPublished:
    """What its raw answer codes mean; it holds for answers from now on."""

    map_version: int
    codes: dict[str, tuple[str, str]]
    """Raw code (lower-case) to (category, one of S, H, N, A)."""


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


@fact("gateway.credential_rotated.v1")
class GatewayCredentialRotated:
    """Calls use another credential from now on."""

    credential_ref: str


@fact("gateway.circuit_opened.v1")
class GatewayCircuitOpened:
    """It does not answer: no new money is begun there until `until`; after that, a few try it out."""

    reason: str
    until: datetime


@fact("gateway.circuit_closed.v1")
class GatewayCircuitClosed:
    """It answers again."""

    reason: str | None = None


GatewayEvent = (
    GatewayProviderRegistered
    | RawCodeMapPublished
    | GatewayRegistered
    | GatewayActivated
    | GatewayDeactivated
    | GatewayRestricted
    | GatewayCredentialRotated
    | GatewayCircuitOpened
    | GatewayCircuitClosed
)
