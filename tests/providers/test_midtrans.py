"""Midtrans, word by word: signatures, what is sent, and what each answer means. The simulator plays whole payments."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.providers.payments import midtrans_words as words
from flashsale.providers.payments.base import (
    Attempt,
    Hint,
    Instructions,
    NotBelieved,
    NotYet,
    ProviderBusy,
    ProviderDown,
    ProviderRefuses,
    RefundRequest,
    RefundStanding,
)
from flashsale.providers.payments.checked import checked_standing
from flashsale.providers.payments.midtrans import Midtrans, sign
from tests.providers.scripted import Scripted, scripted

REFERENCE, AMOUNT = "fs-7Q2Z9K1M4R-1", 1_799_000
KEY, OLD = "SB-Mid-server-made-up-key-01", "SB-Mid-server-made-up-key-00"
# Worked with a made-up key, by another program than ours.
SIGNED_200 = (
    "ddb943f493d00030adf000a90a113e410df1581bb1c20957f3971757d47765d7"
    "bd3d2c369214e83cf9c5a6d7ddee710dd5af580e079102e05600c8c58bb71f04"
)
SIGNED_201 = (
    "6f0d771b9bef158339e70ce4433c5af390524feabf94d06b187a27aaabd05787"
    "37c346858cc29b08fb37d481977c612a2ab46b6eca883524deec0018b5e4f0e2"
)
BASIC = "Basic U0ItTWlkLXNlcnZlci1tYWRlLXVwLWtleS0wMTo="


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


@pytest.fixture
def midtrans(server: Scripted, settings: Any) -> Midtrans:
    settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": (KEY, OLD)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": server.url}
    settings.FLASHSALE_URL = "https://sale.example.co.id"
    return Midtrans()


def asked(method: str = "qris", **changed: Any) -> Attempt:
    fields: dict[str, Any] = {"expires_at": timezone.now() + timedelta(minutes=13), "fresh": True}
    return Attempt(REFERENCE, AMOUNT, "IDR", method, **fields | changed)


def back(method: str = "qris", amount: str = "1799000", **changed: Any) -> RefundRequest:
    return RefundRequest("rf-1", Decimal(amount), "IDR", asked(method), **changed)


def said(status: str, code: str = "200", **fields: Any) -> dict[str, Any]:
    return {
        "status_code": code, "transaction_id": "t-1", "order_id": REFERENCE, "gross_amount": f"{AMOUNT}.00",
        "currency": "IDR", "transaction_time": "2026-11-29 10:00:00", "transaction_status": status,
    } | fields  # fmt: skip


def code(number: str, **fields: Any) -> dict[str, Any]:
    return {"status_code": number, "status_message": "as said"} | fields


# --- Signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "signature"), [("200", SIGNED_200), ("201", SIGNED_201)])
def test_a_signature_is_that_of_the_worked_vectors(status: str, signature: str) -> None:
    assert sign(f"{REFERENCE}{status}1799000.00", KEY) == signature
    assert sign(f"{REFERENCE}{status}1799000", KEY) != signature


def test_the_key_is_sent_as_in_the_worked_vector(midtrans: Midtrans, server: Scripted) -> None:
    server.add(code("404"))
    bridge.run(midtrans.look(asked()))
    assert server.asked[0].headers["Authorization"] == BASIC


def notification(**changed: Any) -> bytes:
    fields = {"order_id": REFERENCE, "status_code": "200", "gross_amount": "1799000.00", "signature_key": SIGNED_200}
    return json.dumps(fields | {"transaction_status": "settlement"} | changed).encode()


def test_a_signed_notification_is_a_hint_where_to_look_and_nothing_else(midtrans: Midtrans) -> None:
    assert list(midtrans.believe(notification(), {})) == [Hint(REFERENCE)]
    # The signature does not cover the state, so another state is believed, too. It counts for nothing.
    assert list(midtrans.believe(notification(transaction_status="deny"), {})) == [Hint(REFERENCE)]


def test_two_keys_are_believed_while_one_replaces_the_other(midtrans: Midtrans) -> None:
    old = sign(f"{REFERENCE}2001799000.00", OLD)
    assert list(midtrans.believe(notification(signature_key=old), {})) == [Hint(REFERENCE)]
    gone = sign(f"{REFERENCE}2001799000.00", "SB-Mid-server-older")
    with pytest.raises(NotBelieved):
        midtrans.believe(notification(signature_key=gone), {})


@pytest.mark.parametrize(
    "changed",
    [{"order_id": "fs-other"}, {"status_code": "201"}, {"gross_amount": "1799000"}, {"signature_key": "é" * 128}],
)
def test_a_notification_with_another_signed_part_is_not_believed(midtrans: Midtrans, changed: dict[str, Any]) -> None:
    with pytest.raises(NotBelieved):
        midtrans.believe(notification(**changed), {})


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", notification(order_id=None), notification(signature_key=["x"]), b"\xff", b"[" * 100_000],
    ids=["empty", "list", "fields", "null", "typed", "bytes", "deep"],
)
def test_a_notification_of_another_form_is_invalid(midtrans: Midtrans, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        midtrans.believe(body, {})


def test_an_amount_that_is_a_number_is_signed_as_it_is_written(midtrans: Midtrans) -> None:
    body = notification().replace(b'"1799000.00"', b"1799000.00")
    assert list(midtrans.believe(body, {})) == [Hint(REFERENCE)]


# --- What is sent -----------------------------------------------------------------------------------------------------

VA = {"va_numbers": [{"bank": "bca", "va_number": "1234567890"}], "expiry_time": "2026-11-29 10:13:00"}
UNTIL = "2026-11-29T10:13:00+07:00"
GOPAY = [
    {"name": "generate-qr-code", "method": "GET", "url": "https://api.midtrans.com/v2/gopay/1/qr-code"},
    {"name": "generate-qr-code-v2", "method": "GET", "url": "https://api.midtrans.com/v4/qris/gopay/1/qr-code"},
    {"name": "deeplink-redirect", "method": "GET", "url": "gojek://gopay/merchanttransfer?tref=1"},
    {"name": "cancel", "method": "POST", "url": "https://api.midtrans.com/v2/1/cancel"},
]


@pytest.mark.parametrize(
    ("method", "fields", "answer", "shown"),
    [
        (
            "qris",
            {"payment_type": "qris", "qris": {"acquirer": "gopay"}},
            {"qr_string": "00020101", "expire_time": "2026-11-29 10:13:00"},
            Instructions("qr", UNTIL, qr="00020101"),
        ),
        (
            "gopay",
            {
                "payment_type": "gopay",
                "gopay": {"enable_callback": True, "callback_url": "https://sale.example.co.id"},
            },
            {"actions": GOPAY, "expiry_time": "2026-11-29 10:13:00"},
            Instructions("deeplink", UNTIL, url=GOPAY[1]["url"], deeplink=GOPAY[2]["url"]),
        ),
        (
            "va_bca",
            {"payment_type": "bank_transfer", "bank_transfer": {"bank": "bca"}},
            VA,
            Instructions("va", UNTIL, bank="BCA", number="1234567890"),
        ),
        (
            "va_permata",
            {"payment_type": "bank_transfer", "bank_transfer": {"bank": "permata"}},
            {"permata_va_number": "8778", "expiry_time": "2026-11-29 10:13:00"},
            Instructions("va", UNTIL, bank="Permata", number="8778"),
        ),
        (
            "va_mandiri",
            {"payment_type": "echannel", "echannel": {"bill_info1": "Order", "bill_info2": REFERENCE}},
            {"biller_code": "70012", "bill_key": "990", "expiry_time": "2026-11-29 10:13:00"},
            Instructions("va", UNTIL, bank="Mandiri", number="990", biller="70012"),
        ),
    ],
    ids=["qris", "gopay", "bca", "permata", "mandiri"],
)
def test_a_charge_says_what_the_method_needs_and_the_buyer_gets_what_they_need(
    midtrans: Midtrans, server: Scripted, method: str, *, fields: dict[str, Any], answer: Any, shown: Instructions
) -> None:
    server.add(said("pending", "201", **answer))
    standing = bridge.run(midtrans.begin(asked(method)))
    assert (standing.state, standing.provider_id) == ("waiting", "t-1")
    assert standing.instructions == shown
    (request,) = server.asked
    assert (request.method, request.path) == ("POST", "/v2/charge")
    expiry = request.fields.pop("custom_expiry")
    details = {"order_id": REFERENCE, "gross_amount": AMOUNT}
    assert request.fields == fields | {"transaction_details": details}
    # It counts from Midtrans' clock: no time of ours is sent.
    assert (expiry["unit"], 770 < expiry["expiry_duration"] <= 780) == ("second", True)
    assert request.headers["Idempotency-Key"] == REFERENCE
    assert request.headers["X-Append-Notification"] == "https://sale.example.co.id/v1/payments/midtrans"


def test_a_reference_of_ours_fits_its_order_id_and_its_idempotency_key() -> None:
    assert len("fs-" + 20 * "Z" + "-99999999") <= 46


def test_an_address_that_midtrans_cannot_reach_is_not_sent(midtrans: Midtrans, server: Scripted, settings: Any) -> None:
    settings.FLASHSALE_URL = "http://127.0.0.1:8000"
    server.add(said("pending", "201", qr_string="x"))
    bridge.run(midtrans.begin(asked()))
    assert "X-Append-Notification" not in server.asked[0].headers


def test_a_card_is_paid_on_a_page_of_midtrans(midtrans: Midtrans, server: Scripted) -> None:
    url = "https://app.sandbox.midtrans.com/snap/v4/redirection/tok-1"
    server.add({"token": "tok-1", "redirect_url": url}, 201)
    standing = bridge.run(midtrans.begin(asked("card")))
    assert (standing.state, standing.provider_id) == ("waiting", "tok-1")
    assert standing.instructions is not None
    assert (standing.instructions.kind, standing.instructions.url) == ("redirect", url)
    (request,) = server.asked
    assert (request.path, request.fields["enabled_payments"]) == ("/snap/v1/transactions", ["credit_card"])
    assert request.fields["page_expiry"] == {"unit": "minute", "duration": 12}
    assert request.fields["expiry"].items() >= {"unit": "minute", "duration": 12}.items()
    start = datetime.strptime(request.fields["expiry"]["start_time"], "%Y-%m-%d %H:%M:%S %z")
    assert abs(start - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_page_that_nobody_used_yet_is_waiting_and_is_not_opened_twice(midtrans: Midtrans, server: Scripted) -> None:
    server.add(code("404"))
    standing = bridge.run(midtrans.begin(asked("card", fresh=False, provider_id="tok-1")))
    assert (standing.state, standing.provider_id, standing.instructions) == ("waiting", "tok-1", None)
    assert [one.method for one in server.asked] == ["GET"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"currency": "USD"}, "no USD"),
        ({"method": "ovo"}, "by ovo"),
        ({"expires_at": timezone.now() + timedelta(seconds=15)}, "s are left"),
    ],
)
def test_what_midtrans_does_not_take_is_refused_without_a_call(
    midtrans: Midtrans, server: Scripted, changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(ProviderRefuses, match=why):
        bridge.run(midtrans.begin(asked()._replace(**changed)))
    assert server.asked == []


def test_a_life_that_is_too_long_is_cut(midtrans: Midtrans, server: Scripted) -> None:
    server.add(said("pending", "201", qr_string="x"))
    bridge.run(midtrans.begin(asked(expires_at=timezone.now() + timedelta(days=30))))
    assert server.asked[0].fields["custom_expiry"]["expiry_duration"] == 7 * 86400


# --- A closed reference is never charged again ------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "state"), [("expire", "expired"), ("cancel", "closed"), ("settlement", "paid")])
def test_what_is_over_is_never_charged_again(midtrans: Midtrans, server: Scripted, word: str, state: str) -> None:
    server.add(said(word))
    assert bridge.run(midtrans.begin(asked(fresh=False))).state == state
    assert [one.method for one in server.asked] == ["GET"]


def test_a_lost_answer_comes_back_with_the_same_key(midtrans: Midtrans, server: Scripted) -> None:
    with pytest.raises(ProviderDown):
        bridge.run(midtrans.begin(asked()))
    server.add(said("pending", "201"))
    server.add(said("pending", "201", qr_string="00020101"))
    standing = bridge.run(midtrans.begin(asked(fresh=False)))
    assert standing.instructions is not None
    assert standing.instructions.qr == "00020101"
    charges = [one for one in server.asked if one.method == "POST"]
    assert [one.headers["Idempotency-Key"] for one in charges] == [REFERENCE, REFERENCE]
    assert charges[0].fields["transaction_details"] == charges[1].fields["transaction_details"]


def began(ago: timedelta) -> dict[str, Any]:
    at = timezone.now().astimezone(words.ZONE) - ago
    return said("pending", "201", transaction_time=at.strftime("%Y-%m-%d %H:%M:%S"))


def test_a_lost_answer_that_does_not_come_back_is_closed_so_that_the_buyer_chooses_again(
    midtrans: Midtrans, server: Scripted
) -> None:
    old = began(timedelta(minutes=2))
    for answer in (old, code("406"), old, said("expire", "407")):
        server.add(answer)
    assert bridge.run(midtrans.begin(asked(fresh=False))).state == "closed"
    assert server.asked[-1].path == f"/v2/{REFERENCE}/expire"


def test_a_code_that_another_process_may_be_about_to_show_is_not_closed(midtrans: Midtrans, server: Scripted) -> None:
    young = began(timedelta(seconds=5))
    for answer in (young, code("406"), young):
        server.add(answer)
    standing = bridge.run(midtrans.begin(asked(fresh=False)))
    # Without an id of the provider the next call asks for the code again.
    assert (standing.state, standing.instructions, standing.provider_id) == ("waiting", None, "")


@pytest.mark.parametrize(
    "changed",
    [{"provider_id": "t-1"}, {"expires_at": timezone.now() + timedelta(seconds=50)}, {"method": "card"}],
    ids=["answered", "ends-soon", "card"],
)
def test_a_payment_that_waits_is_not_charged_again(
    midtrans: Midtrans, server: Scripted, changed: dict[str, Any]
) -> None:
    server.add(said("pending", "201"))
    assert bridge.run(midtrans.begin(asked(fresh=False)._replace(**changed))).state == "waiting"
    assert [one.method for one in server.asked] == ["GET"]


def test_an_order_id_that_is_used_is_looked_at(midtrans: Midtrans, server: Scripted) -> None:
    server.add(code("406"))
    server.add(said("settlement"))
    assert bridge.run(midtrans.begin(asked())).state == "paid"
    server.add(code("406"))
    server.add(code("404"))
    with pytest.raises(ProviderDown, match="is used, and that it is unknown"):
        bridge.run(midtrans.begin(asked()))


# --- Codes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["400", "401", "402", "411"])
@pytest.mark.parametrize("method", ["qris", "card"])
def test_a_charge_that_is_never_taken_is_refused(
    midtrans: Midtrans, server: Scripted, number: str, method: str
) -> None:
    server.add({"error_messages": ["no"]} if method == "card" else code(number), int(number))
    with pytest.raises(ProviderRefuses, match=number):
        bridge.run(midtrans.begin(asked(method)))


@pytest.mark.parametrize("number", ["429", "503", "505", "900"])
@pytest.mark.parametrize("call", ["begin", "look", "close"])
def test_a_code_that_did_nothing_means_again_later(
    midtrans: Midtrans, server: Scripted, number: str, call: str
) -> None:
    server.add(code(number))
    with pytest.raises(ProviderBusy):
        bridge.run(getattr(midtrans, call)(asked()))


@pytest.mark.parametrize(
    "answer",
    [
        code("500"),
        code("504"),
        code("999"),
        code("200", transaction_status="teleported", order_id=REFERENCE),
        said("settlement", order_id="fs-other"),
        said("settlement", gross_amount="plenty"),
        said("settlement", gross_amount="NaN"),
        said("settlement", gross_amount="-1"),
        {},
    ],
    ids=["500", "504", "999", "word", "other-order", "amount", "nan", "negative", "nothing"],
)
def test_an_answer_that_says_nothing_sure_changes_nothing(midtrans: Midtrans, server: Scripted, answer: Any) -> None:
    for call in ("begin", "look"):
        server.add(answer)
        with pytest.raises(ProviderDown) as caught:
            bridge.run(getattr(midtrans, call)(asked()))
        assert not isinstance(caught.value, ProviderBusy)


def test_a_key_that_is_in_progress_means_again_later(midtrans: Midtrans, server: Scripted) -> None:
    server.add({}, 202)
    with pytest.raises(ProviderBusy):
        bridge.run(midtrans.begin(asked()))


def test_an_error_names_no_key(midtrans: Midtrans, server: Scripted) -> None:
    server.add(code("500"))
    with pytest.raises(ProviderDown) as caught:
        bridge.run(midtrans.begin(asked()))
    assert KEY not in str(caught.value)
    assert KEY not in repr(midtrans)


# --- States -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "fields", "method", "state"),
    [
        ("pending", {"status_code": "201"}, "qris", "waiting"),
        ("PENDING", {}, "qris", "waiting"),
        ("settlement", {}, "qris", "paid"),
        ("settlement", {"fraud_status": "accept"}, "qris", "paid"),
        ("settlement", {"fraud_status": "ACCEPT"}, "qris", "paid"),
        ("settlement", {"status_code": "201"}, "qris", "review"),
        ("capture", {"fraud_status": "accept"}, "card", "paid"),
        ("capture", {"fraud_status": "challenge", "status_code": "201"}, "card", "review"),
        ("capture", {"fraud_status": "challenge"}, "card", "review"),
        ("capture", {"fraud_status": "deny"}, "card", "failed"),
        ("authorize", {}, "card", "review"),
        ("deny", {"status_code": "202"}, "qris", "failed"),
        ("deny", {"status_code": "202"}, "card", "waiting"),
        ("deny", {}, "va_permata", "reversed"),
        ("deny", {}, "va_mandiri", "reversed"),
        ("deny", {"settlement_time": "2026-11-29 10:01:00"}, "qris", "reversed"),
        ("failure", {"status_code": "202"}, "qris", "failed"),
        ("expire", {"status_code": "407"}, "qris", "expired"),
        ("cancel", {}, "qris", "closed"),
        ("refund", {}, "qris", "paid"),
        ("partial_refund", {}, "qris", "paid"),
        ("chargeback", {}, "card", "reversed"),
        ("partial_chargeback", {}, "card", "reversed"),
    ],
)
def test_every_word_of_midtrans_is_a_state_of_ours(
    midtrans: Midtrans, server: Scripted, word: str, *, fields: dict[str, Any], method: str, state: str
) -> None:
    server.add(said(word) | fields)
    assert bridge.run(midtrans.look(asked(method))).state == state


def test_the_words_of_the_documents_are_in_the_table() -> None:
    documented = (
        "pending settlement expire cancel deny capture authorize refund partial_refund chargeback partial_chargeback "
        "failure"
    )
    assert set(words.STATES) == set(documented.split())


def test_what_is_paid_has_its_amount_exactly_and_its_time_in_jakarta(midtrans: Midtrans, server: Scripted) -> None:
    server.add(said("settlement", gross_amount="1799000.50", settlement_time="2026-11-29 10:05:00"))
    standing = bridge.run(midtrans.look(asked()))
    assert (standing.paid, standing.currency, standing.fee) == (Decimal("1799000.50"), "IDR", None)
    assert standing.paid_at == datetime(2026, 11, 29, 3, 5, tzinfo=UTC)
    server.add(said("settlement", gross_amount=AMOUNT, currency="USD"))
    standing = bridge.run(midtrans.look(asked()))
    assert (standing.paid, standing.currency) == (Decimal(AMOUNT), "USD")


def test_a_fee_on_top_is_named_and_the_whole_amount_counts(midtrans: Midtrans, server: Scripted) -> None:
    info = {"extra_info": {"gross_amount_info": {"original_amount": "1799000.00"}}}
    server.add(said("settlement", gross_amount="1803000.00", metadata=info))
    standing = bridge.run(midtrans.look(asked()))
    assert (standing.paid, standing.fee) == (Decimal(1_803_000), Decimal(4_000))


@pytest.mark.parametrize("odd", ["1e9999999", "NaN", "plenty", "-1e9999999", True, []])
def test_a_fee_on_top_that_cannot_be_computed_is_left_out_and_the_money_counts(
    midtrans: Midtrans, server: Scripted, odd: Any
) -> None:
    server.add(said("settlement", metadata={"extra_info": {"gross_amount_info": {"original_amount": odd}}}))
    standing = checked_standing(bridge.run(midtrans.look(asked())))
    assert (standing.paid, standing.fee) == (Decimal(AMOUNT), None)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "javascript://x/%0Aalert(1)"])
def test_an_address_that_runs_a_script_is_not_shown(midtrans: Midtrans, server: Scripted, link: str) -> None:
    server.add(said("pending", "201", actions=[{"name": "deeplink-redirect", "url": link}]))
    assert bridge.run(midtrans.begin(asked("gopay"))).instructions is None


# --- Closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "state", "paths"),
    [
        ([said("expire", "407")], "closed", ["expire"]),
        ([code("404")], "closed", ["expire"]),
        ([code("412"), said("settlement")], "paid", ["expire", "status"]),
        ([code("412"), said("expire", "407")], "expired", ["expire", "status"]),
        ([code("412"), said("cancel")], "closed", ["expire", "status"]),
    ],
    ids=["open", "never-begun", "paid-during-close", "expired-there", "cancelled-there"],
)
def test_closing_ends_the_payment_or_says_how_it_ended(
    midtrans: Midtrans, server: Scripted, answers: list[Any], state: str, paths: list[str]
) -> None:
    for answer in answers:
        server.add(answer)
    assert bridge.run(midtrans.close(asked())).state == state
    assert [one.path.rpartition("/")[2] for one in server.asked] == paths


def test_a_payment_that_cannot_be_closed_yet_is_not_closed(midtrans: Midtrans, server: Scripted) -> None:
    server.add(code("412"))
    server.add(said("pending", "201"))
    with pytest.raises(NotYet):
        bridge.run(midtrans.close(asked()))


def test_closing_a_card_ends_its_page_first_and_never_voids_what_was_paid(midtrans: Midtrans, server: Scripted) -> None:
    server.add({"canceled_at": "2026-11-29T10:00:00Z"})
    server.add(code("412"))
    server.add(said("capture", fraud_status="accept"))
    assert bridge.run(midtrans.close(asked("card", provider_id="tok/1"))).state == "paid"
    paths = ["/snap/v1/transactions/tok%2F1/cancel", f"/v2/{REFERENCE}/expire", f"/v2/{REFERENCE}/status"]
    assert [one.path for one in server.asked] == paths


def test_a_card_that_is_being_paid_is_not_closed_yet(midtrans: Midtrans, server: Scripted) -> None:
    server.add({"error_messages": ["Transaction is on progress"]}, 400)
    with pytest.raises(NotYet):
        bridge.run(midtrans.close(asked("card", provider_id="tok-1")))


def test_a_card_under_review_is_denied_when_its_time_is_over(midtrans: Midtrans, server: Scripted) -> None:
    review = said("capture", "201", fraud_status="challenge")
    for answer in (code("412"), review, said("deny", fraud_status="deny"), said("deny", fraud_status="deny")):
        server.add(answer)
    assert bridge.run(midtrans.close(asked("card"))).state == "failed"
    assert [one.path.rpartition("/")[2] for one in server.asked] == ["expire", "status", "deny", "status"]


# --- Refunds ----------------------------------------------------------------------------------------------------------


def listed(**fields: Any) -> dict[str, Any]:
    return {"refund_chargeback_id": 7, "refund_amount": f"{AMOUNT}.00", "refund_key": "rf-1"} | fields


CONFIRMED = listed(bank_confirmed_at="2026-11-29 12:00:00")


@pytest.mark.parametrize("method", [name for name in words.OFFERS if name.startswith("va_")])
def test_a_virtual_account_gets_nothing_back_through_midtrans(
    midtrans: Midtrans, server: Scripted, method: str
) -> None:
    assert bridge.run(midtrans.refund(back(method))).state == "impossible"
    assert server.asked == []


def test_a_refund_is_sent_under_our_reference_and_confirmed_when_the_bank_says_so(
    midtrans: Midtrans, server: Scripted
) -> None:
    server.add(said("settlement"))
    server.add(said("refund", refunds=[listed()]))
    assert bridge.run(midtrans.refund(back())) == RefundStanding("sent", "7")
    request = server.asked[-1]
    assert (request.path, request.headers["Idempotency-Key"]) == (f"/v2/{REFERENCE}/refund", "rf-1")
    assert request.fields == {"refund_key": "rf-1", "amount": AMOUNT, "reason": "Refund by the shop"}
    server.add(said("refund", refunds=[listed()]))
    assert bridge.run(midtrans.look_refund(back())) == RefundStanding("sent", "7")
    server.add(said("refund", refunds=[CONFIRMED]))
    assert bridge.run(midtrans.look_refund(back())) == RefundStanding("confirmed", "7")


def test_a_refund_that_midtrans_has_is_not_sent_again(midtrans: Midtrans, server: Scripted) -> None:
    server.add(said("partial_refund", refunds=[listed(refund_key="rf-0"), CONFIRMED]))
    assert bridge.run(midtrans.refund(back())) == RefundStanding("confirmed", "7")
    assert [one.method for one in server.asked] == ["GET"]


@pytest.mark.parametrize("amount", ["1.00", f"{AMOUNT}.01", "1e9999999", "-1799000"])
def test_a_refund_of_another_amount_than_ours_is_for_people(midtrans: Midtrans, server: Scripted, amount: str) -> None:
    server.add(said("partial_refund", refunds=[CONFIRMED | {"refund_amount": amount}]))
    standing = bridge.run(midtrans.look_refund(back()))
    assert (standing.state, standing.provider_id, len(standing.why) <= 200) == ("failed", "7", True)
    assert standing.why.startswith("the provider names ")


@pytest.mark.parametrize("amount", [None, "", "plenty", "NaN", AMOUNT])
def test_a_refund_whose_amount_is_not_said_counts_by_its_key(midtrans: Midtrans, server: Scripted, amount: Any) -> None:
    server.add(said("refund", refunds=[CONFIRMED | {"refund_amount": amount}]))
    assert bridge.run(midtrans.look_refund(back())) == RefundStanding("confirmed", "7")


@pytest.mark.parametrize(
    ("number", "state"), [("202", "failed"), ("400", "failed"), ("414", "failed"), ("412", "impossible")]
)
def test_a_refund_that_is_refused_says_why(midtrans: Midtrans, server: Scripted, number: str, state: str) -> None:
    server.add(said("settlement"))
    server.add(code(number))
    standing = bridge.run(midtrans.refund(back()))
    assert (standing.state, standing.why) == (state, f"{number}: as said")


def test_a_refund_whose_key_is_used_is_looked_at(midtrans: Midtrans, server: Scripted) -> None:
    for answer in (said("settlement"), code("406"), said("refund", refunds=[listed()])):
        server.add(answer)
    assert bridge.run(midtrans.refund(back())).state == "sent"


@pytest.mark.parametrize(("number", "error"), [("500", ProviderDown), ("503", ProviderBusy), ("401", ProviderDown)])
def test_a_refund_without_a_clear_answer_is_asked_again(
    midtrans: Midtrans, server: Scripted, number: str, error: type[Exception]
) -> None:
    server.add(said("settlement"))
    server.add(code(number))
    with pytest.raises(error):
        bridge.run(midtrans.refund(back()))


def test_a_refund_that_was_sent_and_is_gone_has_failed(midtrans: Midtrans, server: Scripted) -> None:
    server.add(said("settlement"))
    assert bridge.run(midtrans.look_refund(back())).state == "unknown"
    server.add(said("settlement"))
    assert bridge.run(midtrans.look_refund(back(provider_id="7"))).state == "failed"


def test_a_card_that_is_not_settled_is_voided(midtrans: Midtrans, server: Scripted) -> None:
    server.add(said("capture", fraud_status="accept"))
    server.add(said("cancel"))
    assert bridge.run(midtrans.refund(back("card"))) == RefundStanding("confirmed", "t-1")
    assert server.asked[-1].path == f"/v2/{REFERENCE}/cancel"
    server.add(said("cancel"))
    assert bridge.run(midtrans.look_refund(back("card"))) == RefundStanding("confirmed", "t-1")


def test_a_part_of_a_card_that_is_not_settled_has_to_wait(midtrans: Midtrans, server: Scripted) -> None:
    server.add(said("capture", fraud_status="accept"))
    with pytest.raises(ProviderBusy) as caught:
        bridge.run(midtrans.refund(back("card", "1000")))
    assert caught.value.after == 3600
    assert len(server.asked) == 1


@pytest.mark.parametrize(("amount", "currency"), [("0.50", "IDR"), ("1000", "USD")])
def test_a_refund_of_something_else_than_whole_rupiah_fails_without_a_call(
    midtrans: Midtrans, server: Scripted, amount: str, currency: str
) -> None:
    assert bridge.run(midtrans.refund(back("qris", amount)._replace(currency=currency))).state == "failed"
    assert server.asked == []


@pytest.mark.parametrize("word", ["pending", "expire", "cancel", "refund", "chargeback", "deny"])
def test_what_was_not_paid_or_is_back_already_does_not_go_back_until_people_have_looked(
    midtrans: Midtrans, server: Scripted, word: str
) -> None:
    server.add(said(word, refunds=[listed(refund_key="made-in-the-dashboard")]))
    found = bridge.run(midtrans.refund(back()))
    assert found == RefundStanding("failed", why=f"Midtrans says of the payment: {word}")
    assert len(server.asked) == 1


# --- What it offers, and its settings ---------------------------------------------------------------------------------


def test_the_methods_have_their_bounds(midtrans: Midtrans) -> None:
    rows = {method.name: method for method in midtrans.methods()}
    assert list(rows) == [
        "qris", "gopay", "va_bca", "va_bni", "va_bri", "va_cimb", "va_permata", "va_mandiri", "card",
    ]  # fmt: skip
    assert (rows["qris"].amount_max, rows["qris"].refund_within) == (10_000_000, timedelta(days=7))
    assert {row.refund for name, row in rows.items() if name.startswith("va_")} == {"manual"}
    assert all(row.guard >= timedelta(minutes=2) for row in rows.values())
    assert all(row.life_min >= timedelta(seconds=60) for row in rows.values())
    assert all(len(name) <= 20 for name in rows)


def test_a_check_finds_a_key_that_is_refused_and_reads_the_clock(midtrans: Midtrans, server: Scripted) -> None:
    server.add(code("404"), Date="Sun, 29 Nov 2026 03:00:00 GMT")
    checked = bridge.run(midtrans.check())
    assert (checked.where, checked.problems, checked.clock) == (server.url, [], datetime(2026, 11, 29, 3, tzinfo=UTC))
    server.add(code("401"))
    assert "401" in bridge.run(midtrans.check()).problems[0]
    assert bridge.run(midtrans.check()).problems == ["no answer: RemoteProtocolError"]


@pytest.mark.parametrize(
    ("keys", "hosts", "words_of"),
    [
        ({}, {}, "FLASHSALE_PAYMENT_KEYS has no key of the payment account 'midtrans'"),
        ({"midtrans": (KEY,)}, {}, "sandbox key"),
        ({"midtrans": (KEY,)}, {"midtrans": "http://api.midtrans.com"}, "is refused"),
        ({"midtrans": (KEY,)}, {"midtrans": "sandpit"}, "is refused"),
        ({"midtrans": (KEY,)}, {"midtrans": "ftp://127.0.0.1"}, "is refused"),
    ],
)
def test_a_setting_that_is_wrong_is_named_at_the_start(settings: Any, keys: Any, hosts: Any, words_of: str) -> None:
    settings.FLASHSALE_PAYMENT_KEYS, settings.FLASHSALE_PAYMENT_HOSTS = keys, hosts
    with pytest.raises(ImproperlyConfigured, match=words_of) as caught:
        Midtrans()
    assert KEY not in str(caught.value)


def test_plain_http_is_only_for_this_machine_and_never_in_production(settings: Any) -> None:
    settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": (KEY,)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": "http://127.0.0.1:9/"}
    assert Midtrans()._core == "http://127.0.0.1:9"
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = ["FLASHSALE_HOSTS names sale.example.co.id"]
    with pytest.raises(ImproperlyConfigured, match="never in production"):
        Midtrans()


@pytest.mark.parametrize(
    ("mode", "core", "snap"),
    [
        ("live", "https://api.midtrans.com", "https://app.midtrans.com"),
        ("sandbox", "https://api.sandbox.midtrans.com", "https://app.sandbox.midtrans.com"),
        ("https://proxy.example.co.id/", "https://proxy.example.co.id", "https://proxy.example.co.id"),
    ],
)
def test_an_account_has_a_name_keys_hosts_and_a_pace_of_its_own(settings: Any, mode: str, core: str, snap: str) -> None:
    settings.FLASHSALE_PAYMENT_KEYS = {"second": ("Mid-server-live",)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"second": mode}
    settings.FLASHSALE_PAYMENT_PACES = {"second": 50.0}
    made = Midtrans("second")
    assert (made.account, made._core, made._snap, made.pace) == ("second", core, snap, 50.0)


@pytest.mark.parametrize(
    ("method", "fields", "fingerprint"),
    [
        ("card", {"masked_card": "48111111-1114"}, "midtrans:48111111-1114"),
        ("card", {"masked_card": "481111-1114"}, "midtrans:481111-1114"),
        ("card", {}, ""),
        ("card", {"masked_card": "4811 1111 1111 1114"}, ""),
        ("card", {"masked_card": "48111111-1114\0"}, ""),
        ("card", {"masked_card": 481111111114}, ""),
        ("card", {"masked_card": "48111111-1114", "transaction_status": "pending"}, ""),
        ("qris", {"masked_card": "48111111-1114", "issuer": "gopay"}, ""),
        ("gopay", {"payment_option_type": "GOPAY_WALLET"}, ""),
        ("va_bca", {"va_numbers": [{"bank": "bca", "va_number": "1"}]}, ""),
    ],
)
def test_a_card_that_paid_is_known_by_the_digits_that_midtrans_tells(
    midtrans: Midtrans, server: Scripted, method: str, fields: dict[str, Any], fingerprint: str
) -> None:
    server.add(said("settlement") | fields)
    standing = bridge.run(midtrans.look(asked(method)))
    assert (standing.fingerprint, standing.bank_digits) == (fingerprint, fingerprint[9:].partition("-")[0])
