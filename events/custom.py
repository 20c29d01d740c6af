"""Custom fields: what a tenant keeps of its own about an object, by name."""

from __future__ import annotations

CustomFields = dict[str, str | int | float | bool]
"""Nothing is worked out from them: they are filtered by, and told.  No place for personal data, which would
not be sealed here."""
