"""How the simulator behaves to a request: chosen by a script, else by the token, else it approves.

`gateways/README.md` lists the tokens.  `tok_…+{mood}` says how it tells of it besides: see `notifying`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateways.codes import classify

CHARGES = frozenset({"SALE", "AUTHORIZE", "CAPTURE"})
REFUNDS = frozenset({"REFUND", "UNREFERENCED_REFUND"})


@dataclass(frozen=True)
class Behaviour:
    """`name` is what happens; `code` a raw code, `advice` a network's, `count` how often, where they matter.

    `mood` is how it is told of, where something has chosen that.
    """

    name: str = "ok"
    code: str = ""
    count: int = 0
    mood: str = ""
    advice: str = ""


@dataclass
class ScriptRule:
    """The next `times` requests that match behave so; what is None matches everything."""

    behaviour: str
    operation: str | None = None
    token: str | None = None
    key: str | None = None
    amount_minor: int | None = None
    times: int = 1
    mood: str = ""


OK = Behaviour()

MIX: tuple[tuple[int, str], ...] = (
    (900, "ok"),
    (30, "decline_insufficient_funds"),
    (15, "decline_do_not_honor"),
    (10, "decline_expired_card"),
    (5, "decline_lost_card"),
    (15, "timeout_after"),
    (10, "timeout_before"),
    (10, "async_ok"),
    (5, "system_error_1"),
)
"""Of 1,000 charges: what happens to how many."""

_ALIASES = {
    "soft_funds": "decline_insufficient_funds",
    "hard_lost": "decline_lost_card",
    "timeout_then_success": "timeout_after",
    "unmapped": "decline_zz_unheard_of",
    "refund_closed": "refund_decline_account_closed",
}


def choose(
    operation: str, token: str, key: str, amount_minor: int, seed: int, script: Iterable[ScriptRule]
) -> Behaviour:
    """What happens to a request.  A script rule that matches is used up by one."""
    for rule in script:
        if rule.times > 0 and _matches(rule, operation, token, key, amount_minor):
            rule.times -= 1
            return replace(_parsed(rule.behaviour), mood=rule.mood)
    token, _, mood = token.partition("+")
    return replace(_of_token(operation, token, key, seed), mood=mood)


def _of_token(operation: str, token: str, key: str, seed: int) -> Behaviour:
    if operation == "TOKENIZE" and token.startswith("hdl_"):
        handle = token.removeprefix("hdl_")
        return _parsed(_ALIASES.get(handle, handle))
    name = token.removeprefix("tok_") if token.startswith("tok_") else "ok"
    if name.startswith("mix"):
        name = _mixed(f"{seed}/{key}") if operation in CHARGES else "ok"
    name = _ALIASES.get(name, name)
    if operation == "TOKENIZE":
        proved = _parsed(name)
        return proved if proved.name == "decline" and classify("stripe", proved.code).hard else OK
    if name.startswith("refund_"):
        return _parsed(name.removeprefix("refund_")) if operation in REFUNDS else OK
    return _parsed(name) if operation in CHARGES else OK


def _matches(rule: ScriptRule, operation: str, token: str, key: str, amount_minor: int) -> bool:
    asked = (
        (rule.operation, operation),
        (rule.token, token),
        (rule.key, key),
        (rule.amount_minor, amount_minor),
    )
    return all(wanted is None or wanted == given for wanted, given in asked)


def _mixed(place: str) -> str:
    """The same for the same key and seed, in every process."""
    point = int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big") % sum(
        weight for weight, _ in MIX
    )
    for weight, name in MIX:
        point -= weight
        if point < 0:
            return name
    raise AssertionError("the weights cover every point")


def _parsed(name: str) -> Behaviour:
    if name.startswith("decline_"):
        return Behaviour("decline", code=name.removeprefix("decline_"))
    if name.startswith("advice_"):
        return Behaviour("decline", code="insufficient_funds", advice=name.removeprefix("advice_"))
    counted = re.fullmatch(r"(rate_limit|system_error|soft|slow)_(\d+)", name)
    if counted:
        return Behaviour(counted[1], count=int(counted[2]))
    return Behaviour(name)
