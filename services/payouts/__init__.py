"""Payouts: what gateways pay to the bank, line by line, and how it fits what we know."""
