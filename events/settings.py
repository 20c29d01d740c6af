"""What can happen to a tenant's settings (stream `settings-{tenant}`)."""

from __future__ import annotations

from events.catalog import fact
from events.money import Money


@fact("tenant_settings.changed.v1")
class TenantSettingsChanged:
    """Settings that differ now, and what they are."""

    changes: dict[
        str, bool | int | str | tuple[str, ...] | tuple[int, ...] | Money | tuple[Money, ...] | None
    ]
    """Setting to its new value; settings that are not named keep theirs."""
    preset: str | None = None
    """The preset that set them; nothing, where they were named."""


SettingsEvent = TenantSettingsChanged
