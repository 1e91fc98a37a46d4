"""Which bank accounts can be right, and their one spelling."""

import pytest

from flashsale.rules.bank_accounts import BANKS, Account, BadAccount

RIGHT = {"bank": "BCA", "number": "5471190033", "holder": "Ani Wijaya"}


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("5471190033", "5471190033"),
        (" 547-119.0033 ", "5471190033"),
        ("\u200e0012 345\u00a0678\u202c", "0012345678"),
        ("123456", "123456"),
        ("9" * 20, "9" * 20),
    ],
)
def test_a_number_keeps_its_digits_and_nothing_else(typed: str, number: str) -> None:
    assert Account.typed(**RIGHT | {"number": typed}).number == number


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("number", ["", "12345", "9" * 21, "54711x90033", "=5471190033", "-", "５４７１１９００３３", "547119003³"]),
        ("bank", ["", " ", "1234", "B" * 41, "BCA\nBNI", "BCA\u2028x", "BCA\x00", "..."]),
        ("holder", ["", " ", "=1+1", "A" * 71, "Ani\tWijaya", "Ani\r\nBudi", "Ani\ud800"]),
    ],
)
def test_a_field_that_cannot_be_right_is_named(field: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(BadAccount) as refused:
            Account.typed(**RIGHT | {field: value})
        assert (refused.value.fields, str(refused.value)) == ([field], field)


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(BadAccount) as refused:
        Account.typed(bank="", number="", holder="")
    assert refused.value.fields == ["bank", "number", "holder"]


def test_one_account_has_one_spelling_and_strangers_see_its_end_only() -> None:
    account = Account.typed(bank="  Bank  Jago ", number="5471 1900 33", holder="Ａni   Wijaya\u200b ")
    assert account == Account("Bank Jago", "5471190033", "Ani Wijaya")
    assert account.shown == "Bank Jago …033"


def test_every_bank_that_the_page_suggests_is_accepted() -> None:
    assert sorted(BANKS, key=str.lower) == list(BANKS)
    assert [Account.typed(**RIGHT | {"bank": bank}).bank for bank in BANKS] == list(BANKS)
