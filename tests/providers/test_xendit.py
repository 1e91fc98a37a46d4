"""Xendit, word by word: tokens, what is sent, and what each answer means. The simulator plays whole payments."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from flashsale.gate import bridge
from flashsale.providers.payments import xendit_words as words
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
from flashsale.providers.payments.xendit import Xendit
from flashsale.rules.states import StandingState
from tests.providers.scripted import Scripted, scripted

REFERENCE, AMOUNT = "fs-7Q2Z9K1M4R-1", 1_799_000
KEY, TOKEN, OLD = "xnd_production_made-up-key-01", "made-up-callback-token-01", "made-up-callback-token-00"
# `printf 'xnd_production_made-up-key-01:' | base64`
BASIC = "Basic eG5kX3Byb2R1Y3Rpb25fbWFkZS11cC1rZXktMDE6"
PR, PY = "pr-1102feb0-bb79-47ae-9d1e-e69394d3949c", "py-1402feb0-bb79-47ae-9d1e-e69394d3949c"
ENDS = datetime(2026, 11, 29, 3, 13, 7, 900_000, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


@pytest.fixture
def xendit(server: Scripted, settings: Any) -> Xendit:
    settings.FLASHSALE_PAYMENT_KEYS = {"xendit": (KEY,), "xendit.callback": (TOKEN, OLD)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"xendit": server.url}
    settings.FLASHSALE_URL = "https://sale.example.co.id"
    return Xendit()


def asked(method: str = "qris", **changed: Any) -> Attempt:
    fields: dict[str, Any] = {"expires_at": ENDS, "fresh": True}
    return Attempt(REFERENCE, AMOUNT, "IDR", method, **fields | changed)


def known(method: str = "qris") -> Attempt:
    return asked(method, fresh=False, provider_id=PR)


def back(method: str = "qris", amount: str = "1799000", **changed: Any) -> RefundRequest:
    return RefundRequest("rf-1", Decimal(amount), "IDR", known(method), **changed)


def request(status: str, **fields: Any) -> dict[str, Any]:
    return {"payment_request_id": PR, "reference_id": REFERENCE, "status": status, "actions": []} | fields


def payment(status: str, *captures: Any, **fields: Any) -> dict[str, Any]:
    rows = [{"capture_amount": amount, "capture_timestamp": "2026-11-29T03:05:00Z"} for amount in captures]
    names = {"payment_id": PY, "payment_request_id": PR, "reference_id": REFERENCE, "currency": "IDR"}
    return names | {"status": status, "captures": rows} | fields


def refused(code: str) -> dict[str, Any]:
    return {"error_code": code, "message": "as said"}


# --- The tokens of notifications --------------------------------------------------------------------------------------


def notification(**changed: Any) -> bytes:
    return json.dumps({"event": "payment.capture", "data": payment("SUCCEEDED", AMOUNT) | changed}).encode()


@pytest.mark.parametrize("token", [TOKEN, OLD])
def test_a_notification_with_a_token_is_a_hint_where_to_look_and_nothing_else(xendit: Xendit, token: str) -> None:
    headers = {"X-Callback-Token": token}
    for body in (notification(), notification(status="FAILED", captures=[], currency="USD")):
        assert list(xendit.believe(body, headers)) == [Hint(REFERENCE, PR, PY)]


@pytest.mark.parametrize("token", [None, "", TOKEN[:-1], TOKEN + "x", "made-up-callback-token-02", "é", KEY])
def test_a_notification_without_a_token_of_ours_is_not_believed(xendit: Xendit, token: str | None) -> None:
    with pytest.raises(NotBelieved):
        xendit.believe(notification(), {} if token is None else {"X-Callback-Token": token})


def test_a_notification_of_a_refund_is_found_in_its_envelope(xendit: Xendit) -> None:
    inner = {"id": "rfd-1", "reference_id": "rf-1", "status": "SUCCEEDED"}
    for data in (inner, {"event": "refund.succeeded", "data": inner}):
        body = json.dumps({"event": "refund.succeeded", "data": data}).encode()
        assert list(xendit.believe(body, {"X-Callback-Token": TOKEN})) == [Hint("rf-1")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        notification(reference_id=None),
        notification(reference_id=7),
        notification(reference_id="../x"),
        notification(reference_id="x" * 101),
        b'{"data": []}',
        b'{"data": {"data": {}}}',
    ],
    ids=["empty", "list", "fields", "bytes", "deep", "null", "typed", "path", "long", "data", "nested"],
)
def test_a_notification_of_another_form_is_invalid(xendit: Xendit, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        xendit.believe(body, {"X-Callback-Token": TOKEN})


@pytest.mark.parametrize("id_", [None, 7, "../../balance", "pr-1?x=1", "x" * 101])
def test_an_id_that_is_none_is_left_out_of_the_hint(xendit: Xendit, id_: Any) -> None:
    hints = xendit.believe(notification(payment_request_id=id_), {"X-Callback-Token": TOKEN})
    assert list(hints) == [Hint(REFERENCE, part=PY)]


# --- What is sent -----------------------------------------------------------------------------------------------------

QR = {"type": "PRESENT_TO_CUSTOMER", "descriptor": "QR_STRING", "value": "000201…"}
NUMBER = {"type": "PRESENT_TO_CUSTOMER", "descriptor": "VIRTUAL_ACCOUNT_NUMBER", "value": "8808123"}
PAGE = {"type": "REDIRECT_CUSTOMER", "descriptor": "WEB_URL", "value": "https://pay.example/1"}
APP = {"type": "REDIRECT_CUSTOMER", "descriptor": "DEEPLINK_URL", "value": "shopeeid://pay/1"}
UNTIL = "2026-11-29T03:13:07.900000+00:00"
RETURN = {"success_return_url": "https://sale.example.co.id", "failure_return_url": "https://sale.example.co.id"}
# A code may end up to a second early, never late.
ACCOUNT = {"display_name": "FLASH SALE", "expires_at": "2026-11-29T03:13:07Z"}


@pytest.mark.parametrize(
    ("method", "code", "properties", "actions", "shown"),
    [
        ("qris", "QRIS", {}, [QR], Instructions("qr", UNTIL, qr="000201…")),
        *(
            (name, code, ACCOUNT, [NUMBER], Instructions("va", UNTIL, bank=bank, number="8808123"))
            for name, code, bank in [
                ("va_bca", "BCA_VIRTUAL_ACCOUNT", "BCA"),
                ("va_bni", "BNI_VIRTUAL_ACCOUNT", "BNI"),
                ("va_bri", "BRI_VIRTUAL_ACCOUNT", "BRI"),
                ("va_mandiri", "MANDIRI_VIRTUAL_ACCOUNT", "Mandiri"),
                ("va_bsi", "BSI_VIRTUAL_ACCOUNT", "BSI"),
                ("va_permata", "PERMATA_VIRTUAL_ACCOUNT", "Permata"),
            ]
        ),
        ("dana", "DANA", RETURN, [PAGE], Instructions("redirect", UNTIL, url="https://pay.example/1")),
        ("linkaja", "LINKAJA", RETURN, [PAGE], Instructions("redirect", UNTIL, url="https://pay.example/1")),
        ("astrapay", "ASTRAPAY", RETURN, [PAGE], Instructions("redirect", UNTIL, url="https://pay.example/1")),
        (
            "shopeepay",
            "SHOPEEPAY",
            RETURN,
            [PAGE, APP],
            Instructions("redirect", UNTIL, url="https://pay.example/1", deeplink="shopeeid://pay/1"),
        ),
    ],
)
def test_each_method_sends_exactly_this_and_shows_exactly_that(  # noqa: PLR0917
    xendit: Xendit, server: Scripted, method: str, code: str, properties: Any, actions: Any, shown: Instructions
) -> None:
    server.add(request("REQUIRES_ACTION", actions=actions), 201)
    standing = bridge.run(xendit.begin(asked(method)))
    assert (standing.state, standing.provider_id, standing.instructions) == (StandingState.WAITING, PR, shown)
    (sent,) = server.asked
    assert (sent.method, sent.path) == ("POST", "/v3/payment_requests")
    headers = {name.lower(): value for name, value in sent.headers.items()}
    names = ("authorization", "api-version", "idempotency-key")
    assert [headers[name] for name in names] == [BASIC, "2024-11-11", REFERENCE]
    # No name, phone or address of the buyer.
    assert sent.fields == {
        "reference_id": REFERENCE, "type": "PAY", "country": "ID", "currency": "IDR", "request_amount": AMOUNT,
        "capture_method": "AUTOMATIC", "channel_code": code, "channel_properties": properties,
    }  # fmt: skip


def test_every_method_is_in_the_table_above_and_has_its_refunds() -> None:
    found = {
        name: (one.method.refund, one.method.partial, one.method.refund_within) for name, one in words.CHANNELS.items()
    }
    none, days = ("manual", False, None), timedelta
    assert found == {
        "qris": ("api", True, days(7)),
        **dict.fromkeys(("va_bca", "va_bni", "va_bri", "va_mandiri", "va_bsi", "va_permata"), none),
        "dana": ("api", True, days(30)),
        "linkaja": ("api", False, days(30)),
        "shopeepay": ("api", True, days(365)),
        "astrapay": ("manual", True, None),
    }
    fixed = {name for name, one in words.CHANNELS.items() if not one.method.expiry_settable}
    assert fixed == {"qris", "dana", "linkaja", "shopeepay", "astrapay"}
    bounds = {name: (one.method.amount_min, one.method.amount_max) for name, one in words.CHANNELS.items()}
    assert (bounds["qris"], bounds["va_bca"]) == ((1, 10_000_000), (10_000, 50_000_000))


@pytest.mark.parametrize(
    "action",
    [
        PAGE | {"value": "javascript:alert(1)"},
        PAGE | {"value": "http://pay.example"},
        PAGE | {"value": "https://[x"},
        APP | {"value": "JavaScript:alert(1)"},
        APP | {"value": "data:text/html,x"},
        APP | {"value": "nothing"},
        PAGE | {"value": 7},
        PAGE | {"value": None},
        PAGE | {"descriptor": "SOMETHING_NEW"},
        "text",
    ],
)
def test_an_address_that_is_unsafe_or_unknown_is_not_shown(xendit: Xendit, server: Scripted, action: Any) -> None:
    server.add(request("REQUIRES_ACTION", actions=[action]), 201)
    standing = bridge.run(xendit.begin(asked("dana")))
    assert (standing.state, standing.instructions) == (StandingState.WAITING, None)


# --- What is answered -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "state"), words.STATES.items())
def test_each_state_of_a_request_has_its_meaning(
    xendit: Xendit, server: Scripted, word: str, state: StandingState
) -> None:
    server.add(request(word))
    if state is StandingState.PAID:
        with pytest.raises(ProviderDown, match="names no payment"):
            bridge.run(xendit.look(known()))
        return
    standing = bridge.run(xendit.look(known()))
    assert (standing.state, standing.provider_id, standing.paid) == (state, PR, Decimal(0))
    assert server.asked[0].path == f"/v3/payment_requests/{PR}"


def test_the_tables_have_each_word_once_with_its_meaning() -> None:
    state = StandingState
    assert words.STATES == {
        "ACCEPTING_PAYMENTS": state.WAITING, "REQUIRES_ACTION": state.WAITING, "AUTHORIZED": state.REVIEW,
        "SUCCEEDED": state.PAID, "FAILED": state.FAILED, "EXPIRED": state.EXPIRED, "CANCELED": state.CLOSED,
    }  # fmt: skip
    by_meaning: dict[str, set[str]] = {}
    for code, meaning in words.CODES.items():
        by_meaning.setdefault(meaning.name, set()).add(code)
    assert by_meaning == {
        "AGAIN": {
            "RATE_LIMIT_EXCEEDED", "PAYMENT_REQUEST_RATE_LIMITED", "CHANNEL_UNAVAILABLE", "ISSUER_UNAVAILABLE",
            "TEMPORARILY_UNAVAILABLE", "REFUND_IN_PROGRESS",
        },
        "NOT_KNOWN": {"SERVER_ERROR"},
        "NEVER": {
            "INVALID_VALUE_ERROR", "API_VALIDATION_ERROR", "INVALID_PAYMENT_DETAILS", "DUPLICATE_ERROR",
            "INVALID_API_KEY", "REQUEST_FORBIDDEN_ERROR", "INVALID_MERCHANT_SETTINGS",
        },
        "NO_REFUND": {
            "REFUND_NOT_SUPPORTED", "PARTIAL_REFUND_NOT_SUPPORTED", "PARTIAL_REFUND_COUNTS_EXCEEDED",
        },
        "NO_SUCH": {"DATA_NOT_FOUND"},
        "OVER": {"INACTIVE_PAYMENT_REQUEST", "INELIGIBLE_TRANSACTION_STATUS"},
        "BY_PEOPLE": {"INSUFFICIENT_BALANCE", "REFUND_AMOUNT_EXCEEDED"},
    }  # fmt: skip


@pytest.mark.parametrize("word", ["SUCCEEDED", "EXPIRED", "CANCELED", "FAILED", "REQUIRES_ACTION"])
def test_a_payment_that_succeeded_counts_more_than_the_state_of_its_request(
    xendit: Xendit, server: Scripted, word: str
) -> None:
    server.add(request(word, latest_payment_id=PY))
    server.add(payment("SUCCEEDED", AMOUNT))
    standing = bridge.run(xendit.look(known()))
    assert (standing.state, standing.paid, standing.currency) == (StandingState.PAID, Decimal(AMOUNT), "IDR")
    assert standing.paid_at == datetime(2026, 11, 29, 3, 5, tzinfo=UTC)
    assert [one.path for one in server.asked] == [f"/v3/payment_requests/{PR}", f"/v3/payments/{PY}"]


@pytest.mark.parametrize(
    ("word", "of_request", "state"),
    [
        ("PENDING", "EXPIRED", StandingState.WAITING),
        ("AUTHORIZED", "REQUIRES_ACTION", StandingState.REVIEW),
        ("FAILED", "REQUIRES_ACTION", StandingState.WAITING),
        ("FAILED", "FAILED", StandingState.FAILED),
        ("EXPIRED", "EXPIRED", StandingState.EXPIRED),
        ("CANCELED", "CANCELED", StandingState.CLOSED),
    ],
)
def test_each_state_of_a_payment_has_its_meaning(
    xendit: Xendit, server: Scripted, word: str, of_request: str, state: StandingState
) -> None:
    server.add(request(of_request, latest_payment_id=PY))
    server.add(payment(word))
    assert bridge.run(xendit.look(known())).state is state


@pytest.mark.parametrize(
    ("captures", "paid"),
    [([AMOUNT], "1799000"), (["1799000.50"], "1799000.50"), ([AMOUNT, "1"], "1799001"), ([0.5], "0.5")],
)
def test_all_captures_count_as_they_came(xendit: Xendit, server: Scripted, captures: Any, paid: str) -> None:
    server.add(request("SUCCEEDED", latest_payment_id=PY))
    server.add(payment("SUCCEEDED", *captures))
    assert bridge.run(xendit.look(known())).paid == Decimal(paid)


@pytest.mark.parametrize(
    "answers",
    [
        [request("NEW_WORD")],
        [request(["EXPIRED"])],  # type: ignore[arg-type]
        [request("EXPIRED", reference_id="fs-other")],
        [request("EXPIRED", payment_request_id="../x")],
        [request("EXPIRED", latest_payment_id="../x")],
        [request("EXPIRED", latest_payment_id=PY), payment("NEW_WORD")],
        [request("SUCCEEDED", latest_payment_id=PY), payment("FAILED")],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED")],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", "many")],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", -1)],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", True)],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", "NaN")],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", "1e9999999", AMOUNT)],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", AMOUNT, currency=None)],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", AMOUNT, reference_id="fs-other")],
        [request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", AMOUNT, payment_request_id="pr-2")],
    ],
)
def test_an_answer_that_cannot_be_read_decides_nothing(xendit: Xendit, server: Scripted, answers: list[Any]) -> None:
    for fields in answers:
        server.add(fields)
    with pytest.raises(ProviderDown):
        bridge.run(xendit.look(known()))
    assert server.left == 0


# --- Errors -----------------------------------------------------------------------------------------------------------

AGAIN, NEVER = words.Meaning.AGAIN, words.Meaning.NEVER


@pytest.mark.parametrize(("code", "meaning"), [*words.CODES.items(), ("NEW_WORD", None), (None, None)])
def test_each_code_means_for_begin_what_the_table_says(
    xendit: Xendit, server: Scripted, code: Any, meaning: words.Meaning | None
) -> None:
    server.add(refused(code), 400)
    wanted = ProviderBusy if meaning is AGAIN else ProviderRefuses if meaning is NEVER else ProviderDown
    with pytest.raises(wanted) as caught:
        bridge.run(xendit.begin(asked()))
    assert isinstance(caught.value, ProviderBusy) is (meaning is AGAIN)
    if meaning is NEVER:
        assert str(caught.value) == f"400 {code}: as said"


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_or_contract_that_does_not_allow_it_is_never_whatever_the_word(
    xendit: Xendit, server: Scripted, status: int
) -> None:
    server.add(refused("CHANNEL_NOT_ACTIVATED"), status)
    with pytest.raises(ProviderRefuses, match=f"{status} CHANNEL_NOT_ACTIVATED"):
        bridge.run(xendit.begin(asked()))


@pytest.mark.parametrize(("code", "meaning"), words.CODES.items())
def test_each_code_means_for_a_look_what_the_table_says(
    xendit: Xendit, server: Scripted, code: str, meaning: words.Meaning
) -> None:
    server.add(refused(code), 400)
    if meaning is words.Meaning.NO_SUCH:
        assert bridge.run(xendit.look(known())).state is StandingState.UNKNOWN
        return
    with pytest.raises(ProviderDown) as caught:
        bridge.run(xendit.look(known()))
    assert isinstance(caught.value, ProviderBusy) is (meaning is AGAIN)


def test_without_the_id_of_xendit_nothing_is_called_and_nothing_is_begun_again(
    xendit: Xendit, server: Scripted
) -> None:
    lost = asked(fresh=False)
    assert bridge.run(xendit.look(lost)).state is StandingState.UNKNOWN
    assert bridge.run(xendit.close(lost)).state is StandingState.CLOSED
    with pytest.raises(ProviderDown, match="does not find it by our reference"):
        bridge.run(xendit.begin(lost))
    with pytest.raises(ProviderDown, match="is missing, so nothing can be sent back"):
        bridge.run(xendit.refund(back()._replace(attempt=lost)))
    assert server.asked == []


def test_an_id_that_xendit_does_not_know_is_not_begun_again_and_not_closed(xendit: Xendit, server: Scripted) -> None:
    server.add(refused("DATA_NOT_FOUND"), 404)
    with pytest.raises(ProviderDown, match="key of another account"):
        bridge.run(xendit.begin(known()))
    server.add(refused("DATA_NOT_FOUND"), 404)
    server.add(refused("DATA_NOT_FOUND"), 404)
    with pytest.raises(ProviderDown, match="key of another account"):
        bridge.run(xendit.close(known()))
    assert [one.method for one in server.asked] == ["GET", "POST", "GET"]


# --- Closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["INACTIVE_PAYMENT_REQUEST", "INELIGIBLE_TRANSACTION_STATUS"])
@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([request("EXPIRED")], StandingState.EXPIRED),
        ([request("CANCELED")], StandingState.CLOSED),
        ([request("SUCCEEDED", latest_payment_id=PY), payment("SUCCEEDED", AMOUNT)], StandingState.PAID),
    ],
)
def test_what_cannot_be_cancelled_is_looked_at(
    xendit: Xendit, server: Scripted, code: str, answers: list[Any], state: StandingState
) -> None:
    server.add(refused(code), 400)
    for fields in answers:
        server.add(fields)
    assert bridge.run(xendit.close(known())).state is state
    assert server.asked[0].path == f"/v3/payment_requests/{PR}/cancel"


@pytest.mark.parametrize(
    "answers",
    [
        [(refused("INELIGIBLE_TRANSACTION_STATUS"), 400), (request("REQUIRES_ACTION"), 200)],
        [(request("CANCELED", latest_payment_id=PY), 200), (payment("PENDING"), 200)],
        [(request("AUTHORIZED"), 200)],
    ],
)
def test_what_is_under_way_cannot_be_closed_yet(xendit: Xendit, server: Scripted, answers: list[Any]) -> None:
    for fields, status in answers:
        server.add(fields, status)
    with pytest.raises(NotYet):
        bridge.run(xendit.close(known()))


def test_money_that_came_with_the_cancellation_is_paid(xendit: Xendit, server: Scripted) -> None:
    server.add(request("CANCELED", latest_payment_id=PY))
    server.add(payment("SUCCEEDED", AMOUNT))
    standing = bridge.run(xendit.close(known()))
    assert (standing.state, standing.paid) == (StandingState.PAID, Decimal(AMOUNT))


# --- Refunds ----------------------------------------------------------------------------------------------------------


def row(status: str, reference: str = "rf-1", id_: str = "rfd-1", **fields: Any) -> dict[str, Any]:
    return {"id": id_, "reference_id": reference, "status": status, "failure_code": None} | fields


def test_a_refund_sends_exactly_this(xendit: Xendit, server: Scripted) -> None:
    server.add({"data": [row("SUCCEEDED", "rf-other")]})
    server.add(row("PENDING"))
    assert bridge.run(xendit.refund(back(amount="1000.50"))) == RefundStanding("sent", "rfd-1")
    listed, sent = server.asked
    assert listed.path == f"/refunds?payment_request_id={PR}&limit=50"
    assert (sent.method, sent.path) == ("POST", "/refunds")
    assert {name.lower(): value for name, value in sent.headers.items()}["idempotency-key"] == "rf-1"
    assert sent.fields == {
        "payment_request_id": PR, "reference_id": "rf-1", "currency": "IDR", "amount": 1000.5, "reason": "CANCELLATION",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "standing"),
    [("PENDING", RefundStanding("sent", "rfd-1")), ("SUCCEEDED", RefundStanding("confirmed", "rfd-1"))],
)
def test_a_refund_that_is_there_is_not_sent_again(
    xendit: Xendit, server: Scripted, word: str, standing: RefundStanding
) -> None:
    server.add({"data": [row("FAILED", id_="rfd-0"), row(word)]})
    assert bridge.run(xendit.refund(back())) == standing
    assert [one.method for one in server.asked] == ["GET"]


@pytest.mark.parametrize("word", ["PENDING", "SUCCEEDED"])
def test_a_refund_of_another_amount_than_ours_is_for_people(xendit: Xendit, server: Scripted, word: str) -> None:
    for amount, state in ((1_799_000, "ours"), ("1799000.00", "ours"), (1, "failed"), (17_990_000, "failed")):
        server.add({"data": [row(word, amount=amount)]})
        standing = bridge.run(xendit.look_refund(back()))
        assert (standing.state == "failed", bool(standing.why)) == ((state == "failed",) * 2), amount


def test_a_refund_that_failed_is_not_sent_again_under_its_reference(xendit: Xendit, server: Scripted) -> None:
    server.add({"data": [row("FAILED", failure_code="REFUND_FAILED")]})
    assert bridge.run(xendit.refund(back())) == RefundStanding("failed", "rfd-1", "Xendit: REFUND_FAILED")
    assert [one.method for one in server.asked] == ["GET"]


@pytest.mark.parametrize(
    ("rows", "provider_id", "standing"),
    [
        ([], "", RefundStanding("unknown")),
        ([], "rfd-1", RefundStanding("failed", "rfd-1", "Xendit does not know this refund any more")),
        (
            [row("FAILED", failure_code="ACCOUNT_NOT_FOUND")],
            "rfd-1",
            RefundStanding("failed", "rfd-1", "Xendit: ACCOUNT_NOT_FOUND"),
        ),
        ([row("CANCELLED")], "rfd-1", RefundStanding("failed", "rfd-1", "Xendit: failed")),
    ],
)
def test_a_look_at_a_refund_says_how_it_stands(
    xendit: Xendit, server: Scripted, rows: Any, provider_id: str, standing: RefundStanding
) -> None:
    server.add({"data": rows, "has_more": False})
    assert bridge.run(xendit.look_refund(back(provider_id=provider_id))) == standing


@pytest.mark.parametrize("fields", [{}, {"data": None}, {"data": [], "has_more": True}, {"data": [row("NEW_WORD")]}])
def test_a_list_of_refunds_that_cannot_be_read_sends_nothing(xendit: Xendit, server: Scripted, fields: Any) -> None:
    server.add(fields)
    with pytest.raises(ProviderDown):
        bridge.run(xendit.refund(back()))
    assert [one.method for one in server.asked] == ["GET"]


@pytest.mark.parametrize(("code", "meaning"), words.CODES.items())
def test_each_code_means_for_a_refund_what_the_table_says(
    xendit: Xendit, server: Scripted, code: str, meaning: words.Meaning
) -> None:
    server.add({"data": []})
    server.add(refused(code), 400)
    if meaning in {AGAIN, words.Meaning.NOT_KNOWN}:
        with pytest.raises(ProviderDown) as caught:
            bridge.run(xendit.refund(back()))
        assert isinstance(caught.value, ProviderBusy) is (meaning is AGAIN)
        return
    state = "impossible" if meaning is words.Meaning.NO_REFUND else "failed"
    found = bridge.run(xendit.refund(back()))
    assert (found.state, found.why) == (state, f"400 {code}: as said")


@pytest.mark.parametrize("method", ["va_bca", "va_permata", "astrapay"])
def test_a_way_to_pay_without_refunds_is_impossible_without_a_call(
    xendit: Xendit, server: Scripted, method: str
) -> None:
    assert bridge.run(xendit.refund(back(method))).state == "impossible"
    assert server.asked == []


# --- Setting up -------------------------------------------------------------------------------------------------------


def test_a_check_says_whether_the_key_is_taken(xendit: Xendit, server: Scripted) -> None:
    server.add(refused("DATA_NOT_FOUND"), 404, Date="Sun, 29 Nov 2026 03:00:00 GMT")
    checked = bridge.run(xendit.check())
    assert checked == (server.url, [], datetime(2026, 11, 29, 3, 0, tzinfo=UTC))
    server.add(refused("INVALID_API_KEY"), 401)
    assert bridge.run(xendit.check()).problems == ["401 INVALID_API_KEY: as said"]
    server.add(request("EXPIRED"))
    assert bridge.run(xendit.check()).problems == ["an odd answer"]
    assert {(one.method, one.path) for one in server.asked} == {
        ("GET", "/v3/payment_requests/pr-00000000-0000-0000-0000-000000000000")
    }


def test_two_accounts_have_keys_tokens_and_paces_of_their_own(settings: Any, server: Scripted) -> None:
    settings.FLASHSALE_PAYMENT_KEYS = {
        "xendit": (KEY,), "xendit.callback": (TOKEN,), "bali": ("xnd_production_2",), "bali.callback": ("other",),
    }  # fmt: skip
    settings.FLASHSALE_PAYMENT_PACES = {"bali": 2.5}
    first, second = Xendit(), Xendit("bali")
    assert ((first.account, first.pace), (second.account, second.pace)) == (("xendit", 10.0), ("bali", 2.5))
    assert list(second.believe(notification(), {"X-Callback-Token": "other"})) == [Hint(REFERENCE, PR, PY)]
    with pytest.raises(NotBelieved):
        first.believe(notification(), {"X-Callback-Token": "other"})


@pytest.mark.parametrize(
    ("keys", "hosts", "words_"),
    [
        ({"xendit": (KEY,)}, {}, "no key of the payment account 'xendit.callback'"),
        ({"xendit.callback": (TOKEN,)}, {}, "no key of the payment account 'xendit'"),
        ({"xendit": (KEY,), "xendit.callback": (TOKEN,)}, {"xendit": "sandbox"}, "it takes real money"),
    ],
)
def test_an_account_that_is_set_up_wrong_does_not_start_and_shows_no_key(
    settings: Any, keys: Any, hosts: Any, words_: str
) -> None:
    settings.FLASHSALE_PAYMENT_KEYS, settings.FLASHSALE_PAYMENT_HOSTS = keys, hosts
    with pytest.raises(ImproperlyConfigured, match=words_) as caught:
        Xendit()
    assert KEY not in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "details", "fingerprint"),
    [
        ("dana", {"payer_account_number": "081234567890", "payer_name": "ANI"}, "xendit:DANA:081234567890"),
        ("shopeepay", {"payer_account_number": "081234567890"}, "xendit:SHOPEEPAY:081234567890"),
        ("dana", {"payer_account_number": "+6281234567890"}, "xendit:DANA:+6281234567890"),
        ("dana", {"payer_account_number": "********7890"}, ""),
        ("dana", {"payer_account_number": "0812" + 4 * "X" + "7890"}, ""),
        ("dana", {"payer_account_number": 81234567890}, ""),
        ("dana", {"payer_account_number": "7890"}, ""),
        ("dana", {"issuer_name": "DANA"}, ""),
        ("dana", None, ""),
        ("dana", "081234567890", ""),
        ("qris", {"payer_account_number": "081234567890"}, ""),
        ("va_bca", {"payer_account_number": "0001112223"}, ""),
    ],
)
def test_a_wallet_that_paid_is_known_by_its_account_if_xendit_tells_it_whole(
    xendit: Xendit, server: Scripted, method: str, details: Any, fingerprint: str
) -> None:
    server.add(request("SUCCEEDED", latest_payment_id=PY))
    server.add(payment("SUCCEEDED", AMOUNT, payment_details=details))
    assert bridge.run(xendit.look(asked(method, provider_id=PR))).fingerprint == fingerprint
