"""What a buyer gives to be reached is checked before anything is kept or charged; the refusal names the field alone."""

from dataclasses import replace

import pytest

from flashsale.life.contact import checked_contact
from flashsale.models import Contact, DemoCharge, PaymentAttempt, Reservation, Trait
from flashsale.rules.identity import Axis, BadValue, message_address
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import PHONE, Shopper, lobby_sale, open_now, refusal, tend
from tests.life.buyers import buyer, confirmed

NO_ADDRESSES = [
    "", "   ", "bukan-alamat", "081234567890", "+62 812 3456 7890", "ani@b@example.com", "@example.com", "ani@",
    "ani@example", "ani @example.com", "ani@exam ple.com", "ani@example.com, budi@example.com", "ani@example..com",
    "ani@example.com\nBcc: all@example.com", "ani@example.com\r\n", "ani\x00@example.com", "ani@example.com\x00",
    "ani\t@example.com", "ani@example.com\u2028", "Ani <ani@example.com>", "ani..sari@example.com", ".ani@example.com",
    "ani@[127.0.0.1]", "ani@127.0.0.12", "a" * 65 + "@example.com", "a@" + "b" * 64 + ".com", "añi@example.com",
    "a" * 64 + "@" + ".".join(["b" * 60] * 4) + ".com", "ani@-example.com", "ani@example.com.", "x" * 100_000,
]  # fmt: skip
ADDRESSES = {
    "ani@example.com": "ani@example.com",
    " Ani.S+poco@Example.COM ": "Ani.S+poco@example.com",
    "ani@straße.example": "ani@xn--strae-oqa.example",
    "ａｎｉ＠example.com": "ani@example.com",
    "o'ani_2-x@mail.example.co.id": "o'ani_2-x@mail.example.co.id",
}
GOOD = {"name": "Ani", "address": "Jl. Melati 5\nBandung", "phone": "0812-3456-7890", "email": "ani@example.com"}


@pytest.mark.parametrize("typed", NO_ADDRESSES, ids=lambda typed: ascii(typed)[:40])
def test_an_address_that_no_letter_can_reach_is_refused_without_repeating_it(typed: str) -> None:
    if typed == "ani@example.com.":
        # The final dot of a domain is no mistake.
        assert message_address(Axis.EMAIL, typed) == "ani@example.com"
        return
    with pytest.raises(BadValue):
        message_address(Axis.EMAIL, typed)
    with pytest.raises(Refused) as refused:
        checked_contact(GOOD | {"email": typed})
    assert refused.value.outcome is Outcome.BAD_IDENTITY
    assert refused.value.detail in {"Missing: email.", *(f"email: email is {why}" for why in ("malformed", "too_long"))}


@pytest.mark.parametrize(("typed", "read"), ADDRESSES.items())
def test_an_address_is_kept_as_letters_need_it(typed: str, read: str) -> None:
    assert checked_contact(GOOD | {"email": typed})["email"] == read


def test_marks_that_turn_a_text_around_or_hide_are_not_kept() -> None:
    typed = {"name": "\u202eAni\u2066\u200b", "address": "\ufeffJl. Melati \u202b5\nBandung\u2069"}
    kept = checked_contact(GOOD | typed | {"phone": "\u202a0812-3456-7890\u202c"})
    assert kept == GOOD
    with pytest.raises(Refused) as refused:
        checked_contact(GOOD | {"name": "\u200b\u202e"})
    assert (refused.value.outcome, refused.value.detail) == (Outcome.BAD_IDENTITY, "Missing: name.")


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("name", ""), ("name", "Ani\n\nYour refund waits at evil.example"), ("name", "x" * 201), ("address", " \n "),
        ("address", "x" * 513), ("address", "Jl. Melati\x00"), ("phone", "ani@example.com"), ("phone", "12"),
    ],
)  # fmt: skip
def test_other_fields_are_refused_by_name_too(field: str, typed: str) -> None:
    with pytest.raises(Refused) as refused:
        checked_contact(GOOD | {field: typed})
    assert refused.value.outcome is Outcome.BAD_IDENTITY
    assert field in refused.value.detail
    assert not typed.strip() or typed not in refused.value.detail


def test_spaces_around_are_dropped_and_nothing_is_cut_off() -> None:
    long = "Jl. " + "x" * 508
    assert checked_contact(GOOD | {"name": "  Ani ", "address": long}) == GOOD | {"name": "Ani", "address": long}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("typed", ["bukan-alamat", "ani@b@example.com", "ani@example.com\nBcc: b@example.com"])
def test_a_confirmation_with_such_an_address_takes_nothing(typed: str, caplog: pytest.LogCaptureFixture) -> None:
    sale = lobby_sale(stock={PHONE: 1})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    held = ani.reserve()
    wrong = replace(buyer(), contact=dict(buyer().contact) | {"email": typed})
    assert refusal(confirmed, ani, held, buyer=wrong) is Outcome.BAD_IDENTITY
    assert Reservation.objects.get().state == "held"
    assert [table.objects.count() for table in (Contact, PaymentAttempt, DemoCharge, Trait)] == [0, 0, 0, 0]
    assert typed not in caplog.text
    assert confirmed(ani, held).state == "confirmed"
