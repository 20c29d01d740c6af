"""The simulator's heart: requests in, answers out, every movement of money in a ledger.  Pure.

Invariant: one key moves money at most once, whatever is sent, lost, or sent again; and never is more
given back than was taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from gateways.codes import RESULTS, classify
from gateways.simulator.behaviour import CHARGES, REFUNDS, Behaviour, ScriptRule, choose
from gateways.simulator.notifying import named_by

SETTLE_SECONDS = 2.0
"""How long an acknowledged operation stays pending."""
REVERSE_SECONDS = 2.0
AUTHORIZATION_DAYS = 7
DATA_MISMATCH = "amount_details_amount_mismatch"
"""What Level 2 and 3 data are refused with."""
DEPOSITS, DESCRIPTOR_CODE = (32, 45), "SM11AA"
"""What every bank account was sent, as with Stripe's test accounts."""


@dataclass
class Entry:
    """One operation, as the gateway knows it; a line of its ledger."""

    key: str
    digest: str
    operation: str
    amount_minor: int
    currency: str
    token: str
    ref: str
    at: str
    status: str
    """EXECUTED, DECLINED, PENDING_OK, PENDING_FAIL, REVIEW, ACTION, REVERSED."""
    code: str = ""
    of: str = ""
    """The reference of the charge or the authorization that it builds on."""
    reversal_at: str = ""
    merchant_reference: str = ""
    mood: str = ""
    """How it is told of; empty: as everything is."""
    notify_url: str = ""
    first: bool = False
    """Whether its card is kept from now on, to be charged again."""
    level: int = 1
    """How much detail came with it: Level 2 or 3, or none."""
    advice: str = ""
    """What its network says about trying it again."""


@dataclass
class Reply:
    """`kind`: ANSWER, LOST (no answer, whatever happened), BUSY (certainly not processed)."""

    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    delay_seconds: float = 0.0


class Simulator:
    def __init__(
        self,
        seed: int = 7,
        script: list[ScriptRule] | None = None,
        write: Callable[[Entry], None] = lambda _: None,
        tell: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        """`write` keeps an operation as it is now; `tell` is told of each change of one, after that."""
        self.seed, self.script = seed, script or []
        self.entries: dict[str, Entry] = {}
        self._tell, self._changing = tell, set[str]()
        self._by_ref: dict[str, str] = {}
        self._behaviours: dict[str, Behaviour] = {}
        self._sends: dict[str, int] = {}
        self._write = write

    def restore(self, entry: Entry) -> None:
        """Take up a line of the ledger again; a later line of a key replaces the earlier."""
        self.entries[entry.key] = entry
        self._by_ref[entry.ref] = entry.key
        self._watch(entry)

    def request(self, request: Mapping[str, Any], now: datetime, notify_url: str = "") -> Reply:
        """Carry out an operation, once per key; another body under the same key is refused."""
        key, digest = request["idempotency_key"], _digest(request)
        known = self.entries.get(key)
        if known is not None:
            if known.digest != digest:
                return Reply("ANSWER", {"result": "ValidationError", "code": "idempotency_key_in_use"})
            return Reply("ANSWER", self.answer(known, now))
        self._sends[key] = self._sends.get(key, 0) + 1
        behaviour = self._behaviour(request)
        match behaviour.name:
            case "timeout_before" if self._sends[key] == 1:
                return Reply("LOST")
            case "rate_limit" | "system_error" if self._sends[key] <= behaviour.count:
                return Reply("BUSY", {"retry_after": 1 if behaviour.name == "rate_limit" else 0})
        entry = self._execute(request, digest, behaviour, now, notify_url)
        if behaviour.name == "timeout_after":
            return Reply("LOST")
        delay = behaviour.count / 1000 if behaviour.name == "slow" else 0.0
        return Reply("ANSWER", self.answer(entry, now), delay)

    def query(self, key: str, now: datetime) -> dict[str, Any] | None:
        entry = self.entries.get(key)
        return None if entry is None else self.answer(entry, now)

    def answer(self, entry: Entry, now: datetime) -> dict[str, Any]:
        """What the gateway says about an operation now; time may have settled or reversed it."""
        self._let_time_pass(entry, now)
        return self._said(entry)

    def news(self, entry: Entry, mood: str) -> dict[str, Any]:
        """A notification of an operation as it is now: the same id for the same state."""
        place = f"{self.seed}/{entry.ref}/{entry.status}"
        names = named_by(mood, place)
        given = {"key": entry.key, "merchant_reference": entry.merchant_reference}
        event_id = f"evt_{hashlib.sha256(place.encode()).hexdigest()[:24]}"
        told = {"event_id": event_id, "operation": entry.operation, "answer": self._said(entry)}
        return told | {name: given[name] for name in names if given.get(name)}

    def let_time_pass(self, now: datetime) -> None:
        """Settle and reverse what is due, so that it is told without being asked for."""
        for key in list(self._changing):
            self._let_time_pass(self.entries[key], now)

    def next_change(self) -> datetime | None:
        """When the next of them is settled or reversed."""
        return min((_changes_at(self.entries[key]) for key in self._changing), default=None)

    def _said(self, entry: Entry) -> dict[str, Any]:
        common = {
            "ref": entry.ref,
            "amount_minor": entry.amount_minor,
            "currency": entry.currency,
            "at": entry.at,
            **({"level": entry.level} if entry.level > 1 else {}),
        }
        match entry.status:
            case "EXECUTED":
                more = (
                    {"expires_at": _after(entry.at, days=AUTHORIZATION_DAYS)}
                    if entry.operation == "AUTHORIZE"
                    else {}
                )
                if entry.first:
                    more["network_transaction_id"] = f"nti_{entry.ref}"
                return {"result": "Success", **common, **more}
            case "PENDING_OK" | "PENDING_FAIL":
                return {"result": "Pending", **common}
            case "REVIEW":
                return {"result": "RequiresReview", "code": "manual_review", **common}
            case "ACTION":
                return {"result": "ActionRequired", "code": "authentication_required", **common}
            case "REVERSED":
                return {"result": "Reversed", "code": "account_closed", **common}
            case _:
                advice = {"network_advice": entry.advice} if entry.advice else {}
                return {"result": result_of(entry.code), "code": entry.code, **advice, **common}

    def entries_of(self, keys: str) -> list[Entry]:
        """Those whose keys begin so: one tenant's, of several that share the simulator."""
        return [entry for entry in self.entries.values() if entry.key.startswith(keys)]

    def moved(self, keys: str = "") -> dict[str, dict[str, int]]:
        """By currency: what was taken, and what was given back, in minor units."""
        totals: dict[str, dict[str, int]] = {}
        for entry in self.entries_of(keys):
            of = totals.setdefault(entry.currency, {"taken": 0, "given_back": 0})
            if entry.status == "EXECUTED" and entry.operation in ("SALE", "CAPTURE"):
                of["taken"] += entry.amount_minor
            if entry.status == "EXECUTED" and entry.operation in REFUNDS | {"VOID"}:
                of["given_back"] += entry.amount_minor
        return totals

    def _behaviour(self, request: Mapping[str, Any]) -> Behaviour:
        key, token = request["idempotency_key"], request.get("token") or ""
        if key not in self._behaviours:
            amount, operation = request["amount_minor"], request["operation"]
            self._behaviours[key] = choose(operation, token, key, amount, self.seed, self.script)
        return self._behaviours[key]

    def _execute(
        self, request: Mapping[str, Any], digest: str, behaviour: Behaviour, now: datetime, notify_url: str
    ) -> Entry:
        status, code = self._judge(request, behaviour)
        amount = request["amount_minor"] - (behaviour.name == "short")
        key = request["idempotency_key"]
        entry = Entry(
            key=key,
            digest=digest,
            operation=request["operation"],
            amount_minor=amount,
            currency=request["currency"],
            token=request.get("token") or "",
            ref=f"sim_{hashlib.sha256(f'{self.seed}/{key}'.encode()).hexdigest()[:24]}",
            at=now.isoformat(),
            status=status,
            code=code,
            of=request.get("of") or "",
            merchant_reference=request.get("merchant_reference") or "",
            mood=behaviour.mood,
            notify_url=notify_url,
            first=request.get("is_first_in_series", False),
            level=_level(request),
            advice=behaviour.advice,
        )
        if behaviour.name == "reversed" and status == "EXECUTED":
            entry.reversal_at = _after(entry.at, seconds=REVERSE_SECONDS)
        self._keep(entry)
        return entry

    def _judge(self, request: Mapping[str, Any], behaviour: Behaviour) -> tuple[str, str]:
        refusal = self._refusal(request)
        if refusal:
            return "DECLINED", refusal
        if not _adds_up(request):
            return "DECLINED", DATA_MISMATCH
        match behaviour.name:
            case "decline":
                return "DECLINED", behaviour.code
            case "data_rejected" if request.get("enhanced"):
                return "DECLINED", DATA_MISMATCH
            case "soft" if self._soft_failures(request) < behaviour.count:
                return "DECLINED", "processing_error"
            case "async_ok" | "async":
                return "PENDING_OK", ""
            case "async_fail":
                return "PENDING_FAIL", "insufficient_funds"
            case "review":
                return "REVIEW", ""
            case "action":
                return "ACTION", ""
            case _:
                return "EXECUTED", ""

    def _soft_failures(self, request: Mapping[str, Any]) -> int:
        """How often a refund of the same charge has failed softly already."""
        of = request.get("of") or request.get("token")
        return sum(
            1
            for entry in self.entries.values()
            if entry.operation in REFUNDS
            and of in (entry.of, entry.token)
            and entry.code == "processing_error"
        )

    def _refusal(self, request: Mapping[str, Any]) -> str:
        """Never more captured than is held, and never more given back than was taken."""
        operation, of = request["operation"], request.get("of") or ""
        if operation == "VERIFY":
            return self._mismatch(request, of)
        if operation in ("SALE", "AUTHORIZE", "UNREFERENCED_REFUND", "TOKENIZE"):
            return ""
        base = self.entries.get(self._by_ref.get(of, ""))
        if base is None or base.status != "EXECUTED":
            return "no_such_charge"
        if base.currency != request["currency"]:
            return "currency_not_supported"
        used = sum(e.amount_minor for e in self.entries.values() if e.of == of and _counts(e))
        return "amount_too_large" if used + request["amount_minor"] > base.amount_minor else ""

    def _mismatch(self, request: Mapping[str, Any], of: str) -> str:
        """Micro-deposits are these, of whatever was saved and waits for them."""
        base = self.entries.get(self._by_ref.get(of, ""))
        if base is None or base.operation != "TOKENIZE":
            return "no_such_charge"
        if code := request.get("descriptor_code"):
            right = code == DESCRIPTOR_CODE
            return "" if right else "payment_method_microdeposit_verification_descriptor_code_mismatch"
        right = sorted(request.get("amounts") or ()) == sorted(DEPOSITS)
        return "" if right else "payment_method_microdeposit_verification_amounts_mismatch"

    def _let_time_pass(self, entry: Entry, now: datetime) -> None:
        if entry.status.startswith("PENDING") and now >= _changes_at(entry):
            entry.status = "EXECUTED" if entry.status == "PENDING_OK" else "DECLINED"
            self._keep(entry)
        if entry.reversal_at and entry.status == "EXECUTED" and now >= _changes_at(entry):
            entry.status = "REVERSED"
            self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        self.entries[entry.key] = entry
        self._by_ref[entry.ref] = entry.key
        self._watch(entry)
        self._write(entry)
        self._tell(entry)

    def _watch(self, entry: Entry) -> None:
        """Time will change what is pending, and what is to be reversed."""
        changes = entry.status.startswith("PENDING") or (entry.reversal_at and entry.status == "EXECUTED")
        (self._changing.add if changes else self._changing.discard)(entry.key)


def _level(request: Mapping[str, Any]) -> int:
    """How much detail came with a charge: 1 for none."""
    detail = request.get("enhanced")
    return 1 if detail is None else 3 if detail["lines"] else 2


def _adds_up(request: Mapping[str, Any]) -> bool:
    """Whether the lines that came with a charge, if any did, are the charge."""
    if _level(request) < 3:
        return True
    detail = request["enhanced"]
    net = sum(
        int(line["quantity"]) * line["unit_price_minor"] - line["discount_minor"] for line in detail["lines"]
    )
    tax = sum(line["tax_minor"] for line in detail["lines"])
    return tax == detail["tax_minor"] and net + tax + detail["besides_minor"] == request["amount_minor"]


def dumped(entry: Entry) -> bytes:
    return orjson.dumps(asdict(entry))


def loaded(line: bytes) -> Entry:
    return Entry(**orjson.loads(line))


def _counts(entry: Entry) -> bool:
    """What uses up the charge or the hold that it builds on."""
    return entry.status in ("EXECUTED", "PENDING_OK") and entry.operation not in CHARGES - {"CAPTURE"}


def result_of(code: str) -> str:
    if special := RESULTS.get(("stripe", code)):
        return special
    meaning = classify("stripe", code)
    if meaning.hard:
        return "PermanentFail"
    return "ValidationError" if meaning.category == "PaymentInformation" else "Decline"


def _digest(request: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(dict(request), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _changes_at(entry: Entry) -> datetime:
    """Of one that is pending, or is to be reversed."""
    if entry.status.startswith("PENDING"):
        return datetime.fromisoformat(entry.at) + timedelta(seconds=SETTLE_SECONDS)
    return datetime.fromisoformat(entry.reversal_at)


def _after(at: str, **span: float) -> str:
    return (datetime.fromisoformat(at) + timedelta(**span)).isoformat()
