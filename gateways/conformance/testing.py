"""The checks as tests of pytest's: one test each, by its id; what does not apply is skipped, and says why."""

from __future__ import annotations

from collections.abc import Callable

from gateways.conformance.check import CHECKS, Check, run_check
from gateways.conformance.rig import Rig


def conformance_tests(rig: type[Rig]) -> Callable[[Check], None]:
    """Assign it to a name that begins with `test_`."""
    import pytest  # only who tests needs it

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
    def conforms(check: Check) -> None:
        told = run_check(check, rig)
        if told.verdict == "not applicable":
            pytest.skip(f"not applicable: {told.detail}")
        if told.verdict == "failed":
            pytest.fail(
                f"{check.id}: {check.sentence}.\nBecause {check.reason}.\n{told.detail}", pytrace=False
            )

    return conforms
