"""Stripe: payment intents, setup intents and refunds, through its official library."""
