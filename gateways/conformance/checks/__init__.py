"""The checks, one module a subject; importing this declares them all.  They are shown in this order."""

from gateways.conformance.check import CHECKS
from gateways.conformance.checks import (
    amounts,
    broken,
    capabilities,
    conduct,
    detail,
    inquiries,
    keys,
    notifications,
    operations,
    refusals,
    secrets,
)

SUBJECTS = (
    keys,
    amounts,
    operations,
    refusals,
    broken,
    inquiries,
    notifications,
    secrets,
    detail,
    conduct,
    capabilities,
)
_PLACES = {subject.__name__: place for place, subject in enumerate(SUBJECTS)}

CHECKS.sort(key=lambda check: _PLACES[check.run.__module__])
