"""Amounts of money as people read them."""

from decimal import Decimal

from babel.numbers import format_currency


def format_money(amount: int | Decimal, currency: str) -> str:
    """An amount in whole units, as the currency's country writes it: Rp 1.799.000. `currency` is an ISO 4217 code."""
    country = "id_ID" if currency == "IDR" else "en"
    return format_currency(amount, currency, "¤\u00a0#,##0", locale=country, currency_digits=False)
