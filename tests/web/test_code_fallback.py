"""A code goes on to its next sender, once; one limit and one budget hold over all senders."""

from datetime import datetime
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pytest_django import Settings

from flashsale.gate import bridge
from flashsale.gate.keys import CODES_WAITING, codes_queue_key
from flashsale.life import send_codes
from flashsale.providers import messages
from flashsale.providers.messages import http
from flashsale.web import limits
from simulation.gateways.messages import MessageGateways
from simulation.processes import free_port
from tests.web.asker import Asker, calls_to, codes_taken

pytestmark = pytest.mark.django_db(transaction=True)


def test_without_a_report_in_thirty_seconds_the_same_code_goes_out_by_sms(
    asker: Asker, gateways: MessageGateways, gate: Any
) -> None:
    gateways.behave("whatsapp", "never")
    asker.ask()
    assert asker.sees() == "Sent by WhatsApp. Without a delivery in 30 seconds, we try SMS."
    asker.tick()
    assert len(gateways.taken) == 1
    gateways.behave("twilio", "late")
    asker.thirty_seconds_later()
    assert asker.sees() == "Sent by SMS."
    (first, second) = codes_taken(gateways)
    assert (first, second[0]) == (("whatsapp", *second[1:]), "twilio")
    asker.thirty_seconds_later()
    assert len(gateways.taken) == 2
    gateways.tell(gateways.taken[1], "delivered")
    assert asker.sees() == "Delivered by SMS."


@pytest.mark.parametrize("behaviour", ["undeliverable", "refuses"])
def test_a_failure_of_whatsapp_tries_sms_at_once(
    asker: Asker, gateways: MessageGateways, gate: Any, behaviour: str
) -> None:
    gateways.behave("whatsapp", behaviour)
    gateways.behave("twilio", "never")
    asker.ask()
    assert [call.gateway for call in gateways.calls] == ["whatsapp", "twilio"]
    assert asker.state() == [(b"sent", b"2")]


def test_a_late_report_of_the_first_sender_counts_and_ends_the_second(
    asker: Asker, gateways: MessageGateways, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateways.behave("whatsapp", "late")
    asker.ask()
    with monkeypatch.context() as dead:
        dead.setattr(send_codes, "_start", lambda work: work.close())
        asker.let_thirty_seconds_pass()
        bridge.run(send_codes.go_on())
    assert asker.sees() == "We know of no delivery by WhatsApp, so we are trying SMS."
    gateways.release()
    asker.tick()
    assert [call.gateway for call in gateways.calls] == ["whatsapp"]
    assert asker.sees() == "Delivered by WhatsApp."


def test_reports_in_any_order_leave_a_delivered_code_delivered(
    asker: Asker, gateways: MessageGateways, gate: Any
) -> None:
    gateways.behave("whatsapp", "never")
    asker.ask()
    message = gateways.taken[0]
    for event in ("delivered", "sent", "failed", "read", "delivered"):
        assert gateways.tell(message, event).status_code == 200
    asker.thirty_seconds_later()
    assert (asker.state(), len(gateways.calls)) == ([(b"delivered", b"1")], 1)


def test_a_report_that_comes_before_the_gateways_answer_counts(
    asker: Asker, gateways: MessageGateways, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = http.post

    async def post(*args: Any, **kwargs: Any) -> Any:
        answer = await real(*args, **kwargs)
        await send_codes.receive(
            sender="whatsapp",
            reports=messages.WHATSAPP.believe(url="", **_parts(gateways.whatsapp_report(gateways.taken[0], "failed"))),
        )
        return answer

    gateways.behave("whatsapp", "never")
    gateways.behave("twilio", "never")
    with monkeypatch.context() as patch:
        patch.setattr("flashsale.providers.messages.whatsapp.http.post", post)
        asker.ask()
    assert asker.state() == [(b"sent", b"2")]


def _parts(report: tuple[str, bytes, dict[str, str]]) -> dict[str, Any]:
    return {"body": report[1], "headers": report[2]}


@pytest.mark.parametrize("behaviour", ["silent", "reset"])
def test_a_gateway_without_an_answer_may_have_sent_the_code_and_is_not_asked_twice(
    asker: Asker, gateways: MessageGateways, gate: Any, behaviour: str
) -> None:
    gateways.behave("whatsapp", behaviour)
    asker.ask()
    asker.tick()
    assert [call.gateway for call in gateways.calls] == ["whatsapp"]
    assert asker.state() == [(b"unanswered", b"1")]
    ((_, at_ms),) = gate.zrange(CODES_WAITING, 0, -1, withscores=True)
    at = datetime.fromtimestamp(int(at_ms) / 1000, ZoneInfo("Asia/Jakarta")).strftime("%H:%M:%S")
    assert asker.sees() == (
        "WhatsApp did not answer, so we do not know whether it sent the code. Unless we hear of a delivery, we try SMS "
        f"at {at} WIB."
    )
    asker.thirty_seconds_later()
    assert [call.gateway for call in gateways.calls] == ["whatsapp", "twilio"]


@pytest.mark.parametrize("behaviour", ["rate", "pair"])
def test_a_gateway_that_is_asked_too_fast_is_asked_again_later(
    asker: Asker, gateways: MessageGateways, gate: Any, behaviour: str
) -> None:
    gateways.behave("whatsapp", behaviour)
    asker.ask()
    asker.tick()
    assert (len(gateways.calls), asker.state()) == (1, [(b"waiting", b"1")])
    gateways.behave("whatsapp", "deliver")
    gate.zincrby(codes_queue_key("whatsapp"), -6_000, asker.waiting_for("whatsapp")[0])
    asker.tick()
    assert [call.gateway for call in gateways.calls] == ["whatsapp"] * 2
    assert asker.sees() == "Delivered by WhatsApp."


def test_a_gateway_that_cannot_be_reached_is_tried_again_only_where_no_other_sender_follows(
    asker: Asker, gateways: MessageGateways, settings: Settings, gate: Any
) -> None:
    settings.FLASHSALE_WHATSAPP_URL = settings.FLASHSALE_SMS_URL = f"http://127.0.0.1:{free_port()}/"
    asker.ask()
    assert asker.state() == [(b"waiting", b"2")]
    for _ in range(send_codes.TRIES_MAX):
        gate.zincrby(codes_queue_key("sms"), -20_000, asker.waiting_for("sms")[0])
        asker.tick()
    assert (asker.state(), gateways.calls) == ([(b"failed", b"2")], [])


def test_when_all_senders_fail_the_page_says_so_and_the_buyer_asks_again(
    asker: Asker, gateways: MessageGateways, gate: Any
) -> None:
    gateways.behave("whatsapp", "refuses")
    gateways.behave("twilio", "refuses")
    gateways.keys.auth_token = "rotated"
    asker.ask()
    assert asker.state() == [(b"failed", b"2")]
    answer = asker.post("sent", asker.challenges).json()
    assert answer["sent"]["phone"] == "SMS could not deliver the code. Check what you typed, and ask for a new code."
    assert (answer["sent"]["email"], answer["after"]) == ("Sent by e-mail.", 0)
    gateways.behave("whatsapp", "deliver")
    assert asker.ask().status_code == 200
    assert asker.sees() == "Delivered by WhatsApp."


def test_the_answer_to_the_request_says_where_the_codes_go(asker: Asker, gateways: MessageGateways) -> None:
    assert asker.ask().json()["sent"] == {
        "phone": "The code goes out by WhatsApp.", "email": "The code goes out by e-mail."
    }  # fmt: skip


def test_one_limit_a_person_holds_over_all_senders(
    asker: Asker, gateways: MessageGateways, unhurried: None, gate: Any
) -> None:
    gateways.behave("whatsapp", "refuses")
    gateways.behave("twilio", "never")
    answers = [asker.ask().status_code for _ in range(limits.CODES_CONTACT.max_calls + 1)]
    assert answers == [200] * 5 + [429]
    assert [len(calls_to(gateways, name)) for name in ("whatsapp", "twilio")] == [5, 5]


def test_a_days_money_ends_and_raises_an_alarm(
    asker: Asker, gateways: MessageGateways, settings: Settings, unhurried: None, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FLASHSALE_CODE_PRICES, settings.FLASHSALE_CODES_MONEY_PER_DAY = {"whatsapp": 500, "sms": 300}, 2000
    gateways.behave("whatsapp", "never")
    answers = [asker.ask() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [503]
    assert answers[-1].json()["code"] == "not_ready"
    assert len(gateways.calls) == 4
    assert sum("codes_money" in record.getMessage() for record in caplog.records) == 1


def test_a_message_beyond_the_days_money_is_not_sent(
    asker: Asker, gateways: MessageGateways, settings: Settings, gate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FLASHSALE_CODE_PRICES, settings.FLASHSALE_CODES_MONEY_PER_DAY = {"whatsapp": 500, "sms": 300}, 700
    gateways.behave("whatsapp", "refuses")
    asker.ask()
    assert ([call.gateway for call in gateways.calls], asker.state()) == (["whatsapp"], [(b"failed", b"2")])
    assert sum("codes_money" in record.getMessage() for record in caplog.records) == 1


def test_the_pace_of_a_gateway_is_kept(
    asker: Asker, gateways: MessageGateways, settings: Settings, gate: Any, in_background: None
) -> None:
    settings.FLASHSALE_WHATSAPP_PACE = 20
    began = monotonic()
    people = [Asker(asker.sale, f"person-{n}", gateways, gate) for n in range(21)]
    for n, person in enumerate(people):
        person.contacts["phone"] = f"0812 3457 {n:04d}"
        assert person.ask().status_code == 200
    while len(gateways.calls) < 21:
        asker.rest()
    assert monotonic() - began >= 1.0
