"""Adyen: the Checkout API's payments and modifications, through its official library."""
