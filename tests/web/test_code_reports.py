"""Delivery reports of gateways: forged ones change nothing."""

import hmac
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from flashsale.providers import messages
from flashsale.web import limits
from simulation.gateways.messages import MessageGateways
from tests.web.asker import Asker, receive

pytestmark = pytest.mark.django_db(transaction=True)


def forged(gateways: MessageGateways) -> list[tuple[str, bytes, dict[str, str]]]:
    """Reports that no gateway has sent."""
    (message,) = gateways.taken
    path, body, headers = gateways.whatsapp_report(message, "delivered")
    other = body.replace(b"delivered", b"failed")
    sms = "https://shop.example/v1/codes/twilio"
    twilio_path, twilio_body, twilio = gateways.twilio_report(
        type(message)("twilio", message.reference, message.to, "", sms), "delivered"
    )
    signature = headers["X-Hub-Signature-256"]
    return [
        (path, other, headers),
        (path, body, headers | {"X-Hub-Signature-256": signature[:-1] + ("0" if signature[-1] != "0" else "1")}),
        (path, body, headers | {"X-Hub-Signature-256": signature.removeprefix("sha256=")}),
        (path, body, {"Content-Type": "application/json"}),
        (path, body, headers | {"X-Hub-Signature-256": "sha256=é"}),
        (path, body + b" ", headers),
        (twilio_path, twilio_body.replace(b"=delivered", b"=failed"), twilio),
        (twilio_path, twilio_body, {"Content-Type": "application/x-www-form-urlencoded"}),
        (twilio_path, twilio_body + b"&MessageStatus=failed", twilio),
    ]


def test_a_forged_report_changes_nothing(asker: Asker, gateways: MessageGateways, gate: Any) -> None:
    gateways.behave("whatsapp", "never")
    asker.ask()
    before = {key: gate.dump(key) for key in gate.scan_iter("fs:{codes}:*")}
    answers = [receive(*report) for report in forged(gateways)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "forbidden")] * len(answers)
    assert {key: gate.dump(key) for key in gate.scan_iter("fs:{codes}:*")} == before


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"entry": 1}', b'{"entry": [{"changes": [{"value": []}]}]}', b"[" * 9999, b"\xff"]
)
def test_a_signed_report_that_cannot_be_read_changes_nothing(
    asker: Asker, gateways: MessageGateways, gate: Any, body: bytes
) -> None:
    signed = f"sha256={hmac.new(b'made-up-app-secret', body, 'sha256').hexdigest()}"
    answer = receive("/v1/codes/whatsapp", body, {"Content-Type": "application/json", "X-Hub-Signature-256": signed})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert list(gate.scan_iter("fs:{codes}:*")) == []


@pytest.mark.usefixtures("stopped_clock")
def test_refused_reports_are_counted_and_true_ones_from_the_same_address_are_taken(
    asker: Asker, gateways: MessageGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "API_ADDRESS", limits.Limit("refused", 2, limits.MINUTE))

    def sent(body: bytes) -> int:
        signed = f"sha256={hmac.new(b'made-up-app-secret', body, 'sha256').hexdigest()}"
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signed}
        return receive("/v1/codes/whatsapp", body, headers).status_code

    assert [sent(b"[]"), sent(b" " * 200_000), sent(b"[]")] == [400, 413, 429]
    assert [sent(b'{"entry": []}') for _ in range(3)] == [200] * 3


def test_a_megabyte_is_refused(asker: Asker, gateways: MessageGateways) -> None:
    body = b" " * 200_000
    answer = receive("/v1/codes/whatsapp", body, {"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_gateway_that_is_not_in_use_reports_nothing(
    asker: Asker, gateways: MessageGateways, settings: Settings
) -> None:
    """Without its key, everybody could sign."""
    settings.FLASHSALE_CODE_SENDER, settings.FLASHSALE_SMS_REPORTS = ["sms"], ""
    for path in ("/v1/codes/whatsapp", "/v1/codes/twilio"):
        assert receive(path, b"{}", {"Content-Type": "application/json"}).status_code == 404
    assert Client().get("/v1/codes/whatsapp?hub.mode=subscribe").status_code == 404


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("hub.mode=subscribe&hub.verify_token=made-up-verify&hub.challenge=1158201444", (200, b"1158201444")),
        ("hub.mode=subscribe&hub.verify_token=other&hub.challenge=1", (403, None)),
        ("hub.mode=other&hub.verify_token=made-up-verify&hub.challenge=1", (403, None)),
        ("hub.challenge=1", (403, None)),
    ],
)
def test_meta_checks_the_address_with_the_verify_token(
    asker: Asker, gateways: MessageGateways, query: str, expected: tuple[int, bytes | None]
) -> None:
    answer = Client().get(f"/v1/codes/whatsapp?{query}")
    assert answer.status_code == expected[0]
    assert expected[1] is None or (answer.content, answer["Content-Type"]) == (expected[1], "text/plain")


def test_the_published_signatures_are_ours(settings: Settings) -> None:
    """The worked examples of the facts: keys are made up, and the signatures were computed by another program."""
    settings.FLASHSALE_WHATSAPP_SECRET, settings.FLASHSALE_SMS_PASSWORD = "made-up-app-secret", "made-up-auth-token"
    meta = "sha256=8007af987e1a7b51e2604b18a28401deb22a82b5510f4e657dca225aa86086a1"
    body = b'{"object":"whatsapp_business_account"}'
    with pytest.raises(ValueError, match="no notification"):  # the signature is right, the body has no entry
        messages.WHATSAPP.believe(url="", body=body, headers={"X-Hub-Signature-256": meta})
    (report,) = messages.SMS.believe(
        url="https://shop.example/v1/codes/twilio",
        body=b"MessageSid=SM1&MessageStatus=delivered",
        headers={"X-Twilio-Signature": "Ir/M7UBA0FprK+sJBrl6Q5K8f3g="},
    )
    assert (report.reference, report.event) == ("SM1", "delivered")
