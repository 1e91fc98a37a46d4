"""What every payment provider does, whichever it is: the same scenarios for each.

A new provider comes in with a class in `banks.py`. Nothing here names a provider.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from flashsale.gate import bridge
from flashsale.providers import payments
from flashsale.providers.payments.base import NotBelieved, PaymentProvider, ProviderBusy, ProviderDown
from flashsale.rules.states import StandingState
from tests.providers.banks import AMOUNT, BANKS, Bank, banks

OVER = {StandingState.CLOSED, StandingState.EXPIRED, StandingState.FAILED}


@pytest.fixture
def bank(request: pytest.FixtureRequest) -> Bank:
    """One bank after the other."""
    return BANKS[request.param](request)


def every(*needed: str, finds: bool | None = None) -> Any:
    """Runs a test with each bank that can play it."""
    return pytest.mark.parametrize("bank", banks(*needed, finds=finds), indirect=True)


def believed(bank: Bank, body: bytes, headers: Mapping[str, str]) -> Sequence[Any]:
    named = {name.lower(): value for name, value in headers.items()}
    wanted = {name: named[name.lower()] for name in bank.provider.headers if name.lower() in named}
    return list(bank.provider.believe(body, wanted))


# --- Its form ---------------------------------------------------------------------------------------------------------


@every()
def test_it_has_every_call_and_methods_that_fit_the_tables(bank: Bank) -> None:
    calls = [name for name in vars(PaymentProvider) if not name.startswith("_")]
    assert [name for name in calls if not callable(getattr(bank.provider, name, None))] == []
    assert payments.ACCOUNT.fullmatch(bank.provider.account)
    assert bank.provider.pace > 0
    methods = bank.provider.methods()
    assert len({method.name for method in methods}) == len(methods) > 0
    for method in methods:
        assert payments.ACCOUNT.fullmatch(method.name)
        assert 0 < method.amount_min < method.amount_max
        assert method.life_min <= method.life_max


@every()
def test_a_check_of_the_account_finds_no_problem(bank: Bank) -> None:
    checked = bridge.run(bank.provider.check())
    assert (list(checked.problems), checked.where != "") == ([], True)


# --- Beginning --------------------------------------------------------------------------------------------------------


@every()
def test_what_was_never_begun_is_unknown(bank: Bank) -> None:
    assert bank.look(bank.asked()).state is StandingState.UNKNOWN


@every()
def test_beginning_twice_gives_one_code(bank: Bank) -> None:
    asked = bank.asked()
    first = bank.begin(asked)
    assert (first.state, first.paid) == (StandingState.WAITING, Decimal(0))
    assert first.instructions is not None
    second = bank.again(asked._replace(provider_id=first.provider_id))
    assert (second.state, second.provider_id, bank.codes(asked)) == (StandingState.WAITING, first.provider_id, 1)


@every()
def test_two_processes_that_begin_at_once_give_one_code(bank: Bank) -> None:
    asked = bank.asked()

    async def at_once() -> list[Any]:
        calls = [bank.provider.begin(asked._replace(fresh=fresh)) for fresh in (True, False, False)]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = bridge.run(at_once())
    # One that came while another was at work may be told to ask again.
    assert [one for one in answers if not isinstance(one, ProviderDown) and one.state != "waiting"] == []
    assert any(not isinstance(one, Exception) and one.instructions for one in answers)
    assert bank.codes(asked) == 1


@every("faults", finds=True)
@pytest.mark.parametrize("fault", ["drop", "cut", "huge"])
def test_a_lost_answer_comes_back_and_the_buyer_gets_one_code(bank: Bank, fault: str) -> None:
    asked = bank.asked()
    bank.fails(fault, "begin", asked)
    with pytest.raises(ProviderDown):
        bank.begin(asked)
    assert bank.look(asked).state is StandingState.WAITING
    standing = bank.again(asked)
    assert standing.state is StandingState.WAITING
    assert standing.instructions is not None
    assert bank.codes(asked) == 1
    bank.pay(asked)
    assert (bank.look(asked).state, bank.sums(asked)) == (StandingState.PAID, (AMOUNT, 0))


@every("faults", finds=False)
@pytest.mark.parametrize("fault", ["drop", "cut", "huge", "error"])
def test_a_lost_answer_that_cannot_be_found_is_never_begun_again_and_its_money_goes_back(
    bank: Bank, fault: str
) -> None:
    asked = bank.asked()
    bank.fails(fault, "begin", asked)
    with pytest.raises(ProviderDown):
        bank.begin(asked)
    with pytest.raises(ProviderDown):
        bank.again(asked)
    assert (bank.look(asked).state, bank.close(asked).state) == (StandingState.UNKNOWN, StandingState.CLOSED)
    # No buyer has seen this code. If its money comes all the same, the notification says where to look.
    assert bank.codes(asked) == 1
    bank.pay(asked)
    (hint,) = believed(bank, *bank.notification(asked))
    found = asked._replace(provider_id=hint.provider_id)
    assert (bank.look(found).state, bank.look(found).paid) == (StandingState.PAID, Decimal(AMOUNT))
    assert until_confirmed(bank, bank.back(found)) == "confirmed"
    assert bank.sums(asked) == (AMOUNT, AMOUNT)


@every("faults", finds=True)
def test_an_error_after_the_charge_leaves_one_code_that_can_be_closed(bank: Bank) -> None:
    asked = bank.asked()
    bank.fails("error", "begin", asked)
    with pytest.raises(ProviderDown):
        bank.begin(asked)
    assert (bank.again(asked).state, bank.codes(asked)) == (StandingState.WAITING, 1)
    assert (bank.close(asked).state, bank.codes(asked)) == (StandingState.CLOSED, 0)


@every("faults")
def test_a_provider_that_takes_no_more_calls_has_done_nothing(bank: Bank) -> None:
    asked = bank.asked()
    bank.fails("busy", "begin", asked)
    with pytest.raises(ProviderBusy):
        bank.begin(asked)
    assert (bank.look(asked).state, bank.codes(asked)) == (StandingState.UNKNOWN, 0)
    assert bank.begin(asked).state is StandingState.WAITING


@every("faults")
@pytest.mark.parametrize("call", ["look", "close"])
def test_a_call_without_an_answer_says_that_it_is_not_known(bank: Bank, call: str) -> None:
    asked = bank.paid()
    for fault in ("drop", "error", "busy", "huge"):
        bank.fails(fault, call, asked)
        with pytest.raises(ProviderDown):
            getattr(bank, call)(asked)
    assert getattr(bank, call)(asked).state is StandingState.PAID


@every("faults")
def test_numbers_that_come_as_texts_mean_the_same(bank: Bank) -> None:
    asked = bank.asked()
    bank.fails("strings", "begin", asked)
    assert bank.begin(asked).instructions is not None
    bank.pay(asked)
    bank.fails("strings", "look", asked)
    standing = bank.look(asked)
    assert (standing.state, standing.paid, standing.currency) == (StandingState.PAID, Decimal(AMOUNT), "IDR")


# --- Paying -----------------------------------------------------------------------------------------------------------


@every()
def test_what_was_paid_is_paid_exactly_whichever_call_asks(bank: Bank) -> None:
    asked = bank.paid()
    for call in (bank.look, bank.again, bank.close, bank.look):
        standing = call(asked)
        assert (standing.state, standing.paid, standing.currency) == (StandingState.PAID, Decimal(AMOUNT), "IDR")
    assert (bank.codes(asked), bank.sums(asked)) == (1, (AMOUNT, 0))


@every("amount")
@pytest.mark.parametrize("amount", [1, AMOUNT - 1, AMOUNT + 1, 2 * AMOUNT])
def test_another_amount_is_told_as_it_came(bank: Bank, amount: int) -> None:
    asked = bank.asked()
    bank.begin(asked)
    bank.pay(asked, amount=amount)
    standing = bank.look(asked)
    assert (standing.state, standing.paid, standing.currency) == (StandingState.PAID, Decimal(amount), "IDR")


@every("twice")
def test_what_is_paid_twice_is_told_in_full(bank: Bank) -> None:
    asked = bank.paid()
    bank.pay(asked, late=True)
    assert (bank.look(asked).paid, bank.sums(asked)) == (Decimal(2 * AMOUNT), (2 * AMOUNT, 0))


@every("reversal")
def test_money_that_the_bank_takes_back_is_reversed(bank: Bank) -> None:
    asked = bank.paid()
    bank.reverse(asked)
    assert bank.look(asked).state is StandingState.REVERSED


# --- Ending -----------------------------------------------------------------------------------------------------------


@every()
def test_what_is_closed_takes_no_money_and_is_never_charged_again(bank: Bank) -> None:
    asked = bank.asked()
    bank.begin(asked)
    assert bank.close(asked).state is StandingState.CLOSED
    assert bank.close(asked).state in OVER
    assert bank.again(asked).state in OVER
    assert bank.look(asked).state in OVER
    assert (bank.codes(asked), bank.sums(asked)) == (0, (0, 0))


@every()
def test_what_was_never_begun_can_be_closed(bank: Bank) -> None:
    asked = bank.asked()
    assert bank.close(asked).state is StandingState.CLOSED
    assert bank.codes(asked) == 0


@every("expiry")
def test_what_expires_there_is_expired_and_is_never_charged_again(bank: Bank) -> None:
    asked = bank.asked(bank.EXPIRING)
    bank.begin(asked)
    bank.time_passes(timedelta(minutes=14))
    assert bank.look(asked).state is StandingState.EXPIRED
    assert bank.again(asked).state is StandingState.EXPIRED
    assert bank.close(asked).state in OVER
    assert bank.codes(asked) == 0


@every("expiry")
def test_a_code_never_outlives_the_time_that_we_asked_for(bank: Bank) -> None:
    asked = bank.asked(bank.EXPIRING)
    bank.begin(asked)
    bank.time_passes(timedelta(minutes=12, seconds=30))
    assert bank.look(asked).state is StandingState.WAITING
    bank.time_passes(timedelta(seconds=45))
    assert bank.look(asked).state is StandingState.EXPIRED


@every("late", "expiry")
def test_money_that_comes_after_the_end_is_found_by_a_look(bank: Bank) -> None:
    closed, expired = bank.asked(), bank.asked(bank.EXPIRING)
    for asked in (closed, expired):
        bank.begin(asked)
    bank.close(closed)
    bank.time_passes(timedelta(minutes=14))
    assert (bank.look(closed).state in OVER, bank.look(expired).state in OVER) == (True, True)
    for asked in (closed, expired):
        bank.pay(asked, late=True)
        standing = bank.look(asked)
        assert (standing.state, standing.paid) == (StandingState.PAID, Decimal(AMOUNT))
        assert bank.again(asked).state is StandingState.PAID


@every("faults")
def test_money_that_comes_while_it_is_closed_is_not_lost(bank: Bank) -> None:
    before, after = bank.asked(), bank.asked()
    for asked in (before, after):
        bank.begin(asked)
    bank.fails("paid_before_close", "close", before)
    bank.fails("paid_after_close", "close", after)
    assert bank.close(before).state is StandingState.PAID
    assert bank.close(after).state in {StandingState.CLOSED, StandingState.PAID}
    assert [bank.look(asked).state for asked in (before, after)] == [StandingState.PAID] * 2
    assert [bank.sums(asked) for asked in (before, after)] == [(AMOUNT, 0)] * 2


# --- Refunds ----------------------------------------------------------------------------------------------------------


def until_confirmed(bank: Bank, back: Any) -> str:
    """Asks, lets days pass if the bank needs them, and looks."""
    sent = bank.refund(back)
    if sent.state == "confirmed":
        return "confirmed"
    assert sent.state == "sent"
    back = back._replace(provider_id=sent.provider_id)
    assert bank.look_refund(back).state == "sent"
    bank.time_passes(timedelta(days=2))
    return bank.look_refund(back).state


@every()
def test_a_refund_sends_the_money_back_once_however_often_it_is_asked_for(bank: Bank) -> None:
    asked = bank.paid()
    back = bank.back(asked)
    assert until_confirmed(bank, back) == "confirmed"
    assert bank.refund(back).state == "confirmed"
    assert bank.sums(asked) == (AMOUNT, AMOUNT)


@every("refund_later")
def test_a_refund_is_sent_first_and_confirmed_when_the_bank_says_so(bank: Bank) -> None:
    asked = bank.paid()
    back = bank.back(asked)
    assert bank.look_refund(back).state == "unknown"
    assert (bank.refund(back).state, bank.refund(back).state) == ("sent", "sent")
    bank.time_passes(timedelta(days=2))
    assert (bank.look_refund(back).state, bank.sums(asked)) == ("confirmed", (AMOUNT, AMOUNT))


@every("refund_later", "faults")
@pytest.mark.parametrize("fault", ["drop", "error", "huge"])
def test_a_refund_whose_answer_is_lost_is_made_once(bank: Bank, fault: str) -> None:
    asked = bank.paid()
    back = bank.back(asked)
    bank.fails(fault, "refund", asked)
    with pytest.raises(ProviderDown):
        bank.refund(back)
    assert bank.refund(back).state == "sent"
    bank.time_passes(timedelta(days=2))
    assert (bank.look_refund(back).state, bank.sums(asked)) == ("confirmed", (AMOUNT, AMOUNT))


@every("refund_later")
def test_two_parts_go_back_under_two_references(bank: Bank) -> None:
    asked = bank.paid()
    parts = [bank.back(asked, 1_000_000), bank.back(asked, 799_000)]
    assert [until_confirmed(bank, back) for back in parts] == ["confirmed", "confirmed"]
    assert bank.refund(bank.back(asked, 1)).state in {"failed", "impossible"}
    assert bank.sums(asked) == (AMOUNT, AMOUNT)


@every("refund_fails")
def test_a_refund_that_was_sent_may_fail_and_moves_no_money(bank: Bank) -> None:
    asked = bank.paid()
    back = bank.back(asked)
    bank.fails("refund_fails", "refund", asked)
    sent = bank.refund(back)
    assert sent.state == "sent"
    bank.time_passes(timedelta(days=2))
    assert bank.look_refund(back._replace(provider_id=sent.provider_id)).state == "failed"
    assert bank.sums(asked) == (AMOUNT, 0)


@every("refund_fails")
@pytest.mark.parametrize(("fault", "state"), [("refund_refused", "failed"), ("refund_window", "impossible")])
def test_a_refund_that_the_provider_refuses_says_why_and_moves_no_money(bank: Bank, fault: str, state: str) -> None:
    asked = bank.paid()
    bank.fails(fault, "refund", asked)
    standing = bank.refund(bank.back(asked))
    assert (standing.state, standing.why != "") == (state, True)
    assert bank.sums(asked) == (AMOUNT, 0)


@every("refund_later")
def test_a_refund_that_the_way_to_pay_does_not_know_is_impossible(bank: Bank) -> None:
    asked = bank.paid(bank.UNREFUNDABLE)
    method = next(method for method in bank.provider.methods() if method.name == bank.UNREFUNDABLE)
    assert (method.refund, bank.refund(bank.back(asked)).state) == ("manual", "impossible")
    assert bank.sums(asked) == (AMOUNT, 0)


# --- Notifications ----------------------------------------------------------------------------------------------------


@every()
def test_a_notification_says_where_to_look(bank: Bank) -> None:
    asked = bank.paid()
    body, headers = bank.notification(asked)
    assert [hint.reference for hint in believed(bank, body, headers)] == [asked.reference]


@every()
def test_a_notification_without_a_valid_signature_is_not_believed(bank: Bank) -> None:
    asked = bank.asked()
    bank.begin(asked)
    body, headers = bank.forged(asked)
    with pytest.raises(NotBelieved):
        believed(bank, body, headers)
    assert bank.look(asked).state is StandingState.WAITING


@every("altered")
def test_a_notification_that_was_altered_is_a_hint_at_most_and_the_look_tells_the_truth(bank: Bank) -> None:
    asked = bank.asked()
    bank.begin(asked)
    body, headers = bank.altered(asked)
    assert [hint.reference for hint in believed(bank, body, headers)] == [asked.reference]
    assert (bank.look(asked).state, bank.sums(asked)) == (StandingState.WAITING, (0, 0))


@every()
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b"{}",
        b"\xff\xfe",
        b"[" * 50_000,
        json.dumps({"a": "x" * 1_000_000}).encode(),
        b"a=1&b=2",
    ],
    ids=["empty", "null", "list", "object", "bytes", "deep", "megabyte", "form"],
)
def test_a_body_that_is_no_notification_is_refused(bank: Bank, body: bytes) -> None:
    with pytest.raises((NotBelieved, ValueError)):
        believed(bank, body, {})
