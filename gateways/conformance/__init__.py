"""The conformance kit: what any adapter must do, ours included, as checks that anybody can run.

Write a `Rig` for the gateway, then `tender gateways check NAME`, or, in a test module:

    test_conformance = conformance_tests(MyRig)
"""

from gateways.conformance import checks as checks
from gateways.conformance.bank import Bank, Deed, Fate, Order, Seen, SeenLine
from gateways.conformance.check import CHECKS, Check, Result, run_all, run_check
from gateways.conformance.rig import Rig
from gateways.conformance.rigs import rig, rigs
from gateways.conformance.testing import conformance_tests
from gateways.conformance.wire import Answer, Asked

__all__ = [
    "CHECKS",
    "Answer",
    "Asked",
    "Bank",
    "Check",
    "Deed",
    "Fate",
    "Order",
    "Result",
    "Rig",
    "Seen",
    "SeenLine",
    "conformance_tests",
    "rig",
    "rigs",
    "run_all",
    "run_check",
]
