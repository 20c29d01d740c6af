"""Raw code map, version 1: what the words mean that gateways, card networks and banks' schemes publish.

Hardness: S soft, H hard, N never to be retried, A needs the customer.  Codes are matched trimmed and
in lower case; one that is in no map is `Unknown`, soft, and shown to a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

VERSION = 1


class Meaning(NamedTuple):
    category: str
    hardness: str

    @property
    def hard(self) -> bool:
        return self.hardness in ("H", "N")

    @property
    def never_retry(self) -> bool:
        return self.hardness == "N"


UNKNOWN = Meaning("Unknown", "S")

_LIMIT, _PROCESSING, _DETAILS = "CardLimit", "PaymentProcessing", "PaymentInformation"
_SECURITY, _CONNECTION = "Security", "GatewayConnection"

_TABLES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "stripe": (
        (
            _LIMIT,
            "S",
            "insufficient_funds withdrawal_count_limit_exceeded card_velocity_exceeded amount_too_large",
        ),
        (_LIMIT, "H", "restricted_card"),
        (
            _PROCESSING,
            "S",
            "generic_decline do_not_honor call_issuer no_action_taken try_again_later issuer_not_available "
            "processing_error reenter_transaction approve_with_id not_permitted service_not_allowed "
            "duplicate_transaction",
        ),
        (
            _PROCESSING,
            "H",
            "invalid_account account_closed card_not_supported transaction_not_allowed "
            "currency_not_supported do_not_try_again stop_payment_order new_account_information_available",
        ),
        (_PROCESSING, "N", "revocation_of_authorization revocation_of_all_authorizations pickup_card"),
        (
            _DETAILS,
            "H",
            "expired_card incorrect_number invalid_number invalid_expiry_month invalid_expiry_year "
            "invalid_amount payment_method_invalid_parameter",
        ),
        (_DETAILS, "A", "incorrect_cvc invalid_cvc incorrect_zip incorrect_pin invalid_pin pin_try_exceeded"),
        (
            _DETAILS,
            "A",
            "payment_method_microdeposit_verification_amounts_invalid "
            "payment_method_microdeposit_verification_amounts_mismatch "
            "payment_method_microdeposit_verification_descriptor_code_mismatch",
        ),
        (
            _DETAILS,
            "H",
            "payment_method_microdeposit_failed payment_method_microdeposit_verification_attempts_exceeded "
            "payment_method_microdeposit_verification_timeout",
        ),
        (_PROCESSING, "S", "payment_method_microdeposit_processing_error"),
        (
            _DETAILS,
            "S",
            "amount_details_amount_mismatch amount_details_tax_shipping_discount_greater_than_amount",
        ),
        (_SECURITY, "N", "lost_card stolen_card fraudulent merchant_blacklist highest_risk_level"),
        (_SECURITY, "H", "security_violation"),
        (_SECURITY, "A", "authentication_required offline_pin_required online_or_offline_pin_required"),
        (_CONNECTION, "S", "rate_limit lock_timeout api_connection_error api_error"),
    ),
    "adyen": (
        (_LIMIT, "S", "12 28 29"),
        (_LIMIT, "H", "25"),
        (_PROCESSING, "S", "2 3 4 27 15 21 44"),
        (_PROCESSING, "H", "5 10 23 34 35"),
        (_PROCESSING, "N", "26 46 50"),
        (_DETAILS, "H", "6 7 8"),
        (_DETAILS, "A", "17 18 19 24 32"),
        (_SECURITY, "N", "14 20 22 31"),
        (_SECURITY, "A", "11 33 36 43 38 39 41 42"),
        (_SECURITY, "H", "16"),
        (_CONNECTION, "S", "9"),
        ("Unknown", "S", "0 40 45"),
    ),
    "braintree": (
        (_LIMIT, "S", "2001 2002 2003"),
        (_PROCESSING, "S", "2000 2016 2034 2038 2041 2044 2046 2057"),
        (
            _PROCESSING,
            "H",
            "2007 2009 2015 2017 2018 2019 2020 2022 2024 2043 2023 2025 2026 2027 2028 2029 2030",
        ),
        (_PROCESSING, "N", "2047"),
        (_DETAILS, "H", "2004 2005 2006 2008 2048 2051"),
        (_DETAILS, "A", "2010 2060"),
        (_SECURITY, "N", "2012 2013 2014 2053"),
        (_SECURITY, "H", "2021"),
        (_SECURITY, "A", "2011 2099"),
        (_CONNECTION, "S", "3000"),
    ),
    "authorize_net": (
        (_LIMIT, "H", "49"),
        (_PROCESSING, "S", "2 3 11 200"),
        (_PROCESSING, "N", "4"),
        (_PROCESSING, "H", "17 28 54"),
        (_DETAILS, "H", "5 6 37 7 8 9 10"),
        (_DETAILS, "A", "27 44 45 65 78"),
        (_SECURITY, "N", "41 250 251 254"),
        (_SECURITY, "S", "252 253"),
        (_CONNECTION, "S", "19 20 21 22 23 25 26 57 58 59 60 61 62 63 13 30"),
    ),
    "iso8583": (
        (_LIMIT, "S", "51 61 65"),
        (_PROCESSING, "S", "05 01 96"),
        (_CONNECTION, "S", "91"),
        (_DETAILS, "H", "14 15 54"),
        (_PROCESSING, "N", "04 07 r0 r1 r3"),
        (_SECURITY, "N", "41 43"),
        (_PROCESSING, "H", "57 62"),
        (_SECURITY, "H", "59 63"),
        (_SECURITY, "A", "1a"),
    ),
    "ach": (
        (_LIMIT, "S", "r01 r09"),
        (_PROCESSING, "H", "r02 r03 r04 r16 r20"),
        (_SECURITY, "N", "r05 r07 r08 r10 r11 r29"),
    ),
    "sepa": (
        (_LIMIT, "S", "am04"),
        (_DETAILS, "H", "ac01"),
        (_PROCESSING, "H", "ac04 ac06"),
        (_SECURITY, "N", "md01 md06"),
        (_PROCESSING, "S", "ms02 ms03"),
    ),
    "gocardless": (
        (_LIMIT, "S", "insufficient_funds refer_to_payer"),
        (_PROCESSING, "S", "failed other test_failure payment_cancelled cancelled"),
        (
            _PROCESSING,
            "H",
            "bank_account_closed bank_account_transferred direct_debit_not_enabled mandate_expired "
            "mandate_is_inactive",
        ),
        (_DETAILS, "H", "invalid_bank_details"),
        (
            _SECURITY,
            "N",
            "mandate_cancelled authorisation_disputed customer_approval_denied refund_requested "
            "return_on_odfi_request",
        ),
    ),
    "mastercard_advice": (
        (_PROCESSING, "N", "03 21"),
        (_PROCESSING, "S", "02 24 25 26 27 28 29 30"),
    ),
    "bacs": ((_LIMIT, "S", "0"), (_SECURITY, "N", "1 6"), (_PROCESSING, "H", "2 3 5 b")),
}


def mapped(table: Iterable[tuple[str, str, str]]) -> dict[str, Meaning]:
    """A map from lines of (category, hardness, codes with spaces between)."""
    return {
        code: Meaning(category, hardness) for category, hardness, codes in table for code in codes.split()
    }


MASTERCARD_WAITS: dict[str, int] = {
    "02": 72,
    "24": 1,
    "25": 24,
    "26": 2 * 24,
    "27": 4 * 24,
    "28": 6 * 24,
    "29": 8 * 24,
    "30": 10 * 24,
}
"""Hours to wait before a card is tried again, by merchant advice code.

24 to 30 say so themselves
(https://developer.paypal.com/braintree/docs/reference/general/merchant-responses/merchant-advice-codes);
02 says "later", which acquirers read as 72 hours
(https://docs.everonet.com/en-us/gateway/developer-portal/appendix/mastercard-merchant-advice-code).
"""


def advised_seconds(network_advice: str | None) -> int | None:
    """How long a network says to wait before the same card is tried again; None where it does not."""
    hours = MASTERCARD_WAITS.get((network_advice or "").strip())
    return hours * 3600 if hours else None


_OF_ONE_PAYMENT = frozenset({"r0", "stop_payment_order"})


def is_of_one_payment(raw_code: str | None) -> bool:
    """Whether a refusal stops that payment and no other: the customer has stopped it at his bank.

    Visa's R0; R1 and R3 take back what he had agreed to altogether.
    """
    return (raw_code or "").strip().lower() in _OF_ONE_PAYMENT


MAPS: dict[str, dict[str, Meaning]] = {family: mapped(table) for family, table in _TABLES.items()}


RESULTS: dict[tuple[str, str], str] = {
    ("authorize_net", "252"): "RequiresReview",
    ("authorize_net", "253"): "RequiresReview",
    ("authorize_net", "13"): "SystemError",
    ("authorize_net", "30"): "SystemError",
    ("stripe", "amount_details_amount_mismatch"): "EnhancedDataRejected",
    ("stripe", "amount_details_tax_shipping_discount_greater_than_amount"): "EnhancedDataRejected",
}
"""Codes that are no refusal of a customer's: held for a person, credentials that were not accepted, or
Level 2 and 3 data that were not."""

FAMILIES = {
    "stripe": "Stripe (`decline_code`, else `code`)",
    "adyen": "Adyen (`refusalReasonCode`)",
    "braintree": "Braintree (processor response code)",
    "authorize_net": "Authorize.net (response reason code)",
    "gocardless": "GoCardless (`cause`, else `reason`)",
    "iso8583": "ISO 8583 and networks (response code)",
    "mastercard_advice": "Mastercard (merchant advice code)",
    "ach": "ACH (return code)",
    "sepa": "SEPA (reason code)",
    "bacs": "Bacs (reason code)",
}
"""Each map, and what its codes are called where they come from."""


class CodeMap(NamedTuple):
    """A map that a tenant published: it comes before ours."""

    version: int
    codes: Mapping[str, Meaning]


NO_MAP = CodeMap(0, {})


def classify(family: str | Mapping[str, Meaning], raw_code: str) -> Meaning:
    """What a gateway's code means, by one of our maps or by an adapter's own."""
    known = MAPS[family] if isinstance(family, str) else family
    return known.get(raw_code.strip().lower(), UNKNOWN)
