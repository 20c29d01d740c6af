"""The language of Tender: every fact, in every version, by its permanent topic."""

from events import (  # importing a module enters its facts in the catalog
    account,
    authorization,
    credit_memo,
    dispute,
    gateway,
    gateway_call,
    invoice,
    notification,
    operations,
    orchestration,
    payment,
    payment_method,
    refund,
    settings,
    subscription,
    token_migration,
)

__all__ = [
    "account",
    "authorization",
    "credit_memo",
    "dispute",
    "gateway",
    "gateway_call",
    "invoice",
    "notification",
    "operations",
    "orchestration",
    "payment",
    "payment_method",
    "refund",
    "settings",
    "subscription",
    "token_migration",
]
