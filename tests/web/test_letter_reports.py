"""What a mail service reports over HTTP to the views of django-anymail marks letters that did not arrive."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from config import mail
from flashsale.life import notify, notify_again, review
from flashsale.models import Cancellation, Contact, Notice, Reservation
from flashsale.web import limits
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PASSWORD = "mails:made-up-password-01"
APPEAL_S = 3600


class Postmark(BaseHTTPRequestHandler):
    """The part of Postmark's API that takes letters: it gives each one a name."""

    taken: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        """Takes a letter."""
        self.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = {"ErrorCode": 0, "Message": "OK", "MessageID": self.name(), "To": self.taken[-1]["To"]}
        body = json.dumps(answer | {"SubmittedAt": timezone.now().isoformat()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @classmethod
    def name(cls) -> str:
        """The name of the letter that it took last."""
        return f"b7bc2f4a-e38e-4336-af7d-{len(cls.taken):012d}"

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(autouse=True)
def _service(settings: Settings) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Postmark) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = {"POSTMARK_SERVER_TOKEN": "made-up", "WEBHOOK_SECRET": PASSWORD}
        for name, value in mail.service_settings("postmark", json.dumps(options)).items():
            setattr(settings, name, value)
        settings.ANYMAIL["POSTMARK_API_URL"] = f"http://127.0.0.1:{server.server_port}/"
        settings.FLASHSALE_MAIL_SERVICE = "postmark"
        yield
        server.shutdown()


@pytest.fixture
def letter() -> Notice:
    """The letter about a cancelled order, which the service has taken. The time to appeal runs."""
    (order,) = buy(lobby_sale(poco_campaign(appeal_s=APPEAL_S), stock={PHONE: 1}), ["ani"])
    one, two = (User.objects.create_user(name) for name in ("one", "two"))
    review.propose(case=review.open_case(reservation=order), code="automated_order", by=one)
    review.approve(case=order.case, by=two)
    Notice.objects.exclude(kind="cancelled").update(state="dropped")
    assert notify.send_due() == 1
    return now()


def now() -> Notice:
    return Notice.objects.get(kind="cancelled")


def bounce(name: str, *, at: datetime | None = None, **fields: Any) -> dict[str, Any]:
    """A report as Postmark documents it."""
    happened = at or timezone.now() - timedelta(hours=1)
    known = {"RecordType": "Bounce", "Type": "HardBounce", "MessageID": name, "Email": "ani@example.com"}
    return known | {"BouncedAt": happened.isoformat(), "ID": 4323372036854775807} | fields


def post(url: str, body: Any, *, password: str = PASSWORD, service: str = "postmark") -> tuple[int, dict[str, str]]:
    """Sends a report over a real connection; the status of the answer, and its headers."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if password:
        headers["Authorization"] = f"Basic {b64encode(password.encode()).decode()}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(f"{url}/anymail/{service}/tracking/", data, headers, method="POST")  # noqa: S310 - our own server
    try:
        with urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.status, dict(answer.headers)
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers)


def test_a_letter_that_bounces_is_seen_with_its_reason_and_sent_again(letter: Notice, live_server: Any) -> None:
    staff = Client(headers={"Accept-Language": "en"})
    staff.force_login(User.objects.create_superuser("sari"))
    assert (letter.state, letter.service_id) == ("sent", Postmark.name())
    assert Cancellation.objects.get().appeal_until is not None
    for _again in range(2):
        assert post(live_server.url, bounce(letter.service_id))[0] == 200
    failed = now()
    assert (failed.state, failed.failure, failed.sent_at, failed.attempts) == ("failed", "bounced", None, 1)
    # The buyer was not told, so the time to appeal waits.
    assert Cancellation.objects.get().appeal_until is None
    order = reverse("admin:flashsale_reservation_change", args=[letter.reservation_id])
    listed = reverse("admin:flashsale_notice_changelist") + "?failure__exact=bounced"
    for page in (order, listed):
        assert "the letter came back from the mailbox" in staff.get(page).content.decode()
    assert "ani@example.com" not in staff.get(listed).content.decode()
    notify_again.correct_address(notice=failed, email="ani.baru@example.com", by="staff")
    assert notify.send_due() == 1
    assert (now().state, now().failure) == ("sent", "")
    assert (now().service_id, Postmark.taken[-1]["To"]) == (Postmark.name(), "ani.baru@example.com")
    assert now().service_id != letter.service_id
    assert Cancellation.objects.get().appeal_until is not None
    # A report about the letter before says nothing about this one.
    assert post(live_server.url, bounce(letter.service_id))[0] == 200
    assert now().state == "sent"


def test_a_report_about_a_letter_that_is_due_again_changes_nothing(letter: Notice, live_server: Any) -> None:
    notify_again.send_again(notice=letter, by="staff")
    assert post(live_server.url, bounce(letter.service_id))[0] == 200
    assert (now().state, now().failure) == ("due", "")


@pytest.mark.parametrize(
    ("type_", "state", "failure"),
    [
        ("HardBounce", "failed", "bounced"),
        ("BadEmailAddress", "failed", "rejected"),
        ("Blocked", "failed", "rejected"),
        ("SMTPApiError", "failed", "not_written"),
        ("Transient", "sent", ""),
        ("AutoResponder", "sent", ""),
    ],
)
def test_each_type_of_report_has_its_reason(
    letter: Notice, live_server: Any, type_: str, state: str, failure: str
) -> None:
    assert post(live_server.url, bounce(letter.service_id, Type=type_))[0] == 200
    assert (now().state, now().failure) == (state, failure)
    assert (Cancellation.objects.get().appeal_until is None) == (state == "failed")


def test_a_letter_that_is_marked_as_spam_has_arrived(letter: Notice, live_server: Any) -> None:
    spam = bounce(letter.service_id, RecordType="SpamComplaint", Type="SpamComplaint")
    for _again in range(2):
        assert post(live_server.url, spam)[0] == 200
    assert (now().state, now().failure, now().sent_at) == ("sent", "complained", letter.sent_at)
    assert Cancellation.objects.get().appeal_until is not None


def test_a_buyer_who_was_told_in_another_way_stays_told(letter: Notice, live_server: Any) -> None:
    assert post(live_server.url, bounce(letter.service_id))[0] == 200
    notify_again.told(notice=now(), by="staff")
    assert post(live_server.url, bounce(letter.service_id, Type="Blocked"))[0] == 200
    assert (now().state, now().failure) == ("told", "bounced")


@pytest.mark.parametrize("password", ["", "mails:wrong-password-0001", "made-up-password-01"])
def test_a_report_without_the_password_changes_nothing(letter: Notice, live_server: Any, password: str) -> None:
    assert post(live_server.url, bounce(letter.service_id), password=password)[0] == 403
    assert now().state == "sent"


def test_only_the_service_of_the_settings_with_a_password_reports(
    letter: Notice, live_server: Any, settings: Settings
) -> None:
    assert post(live_server.url, bounce(letter.service_id), service="brevo")[0] == 404
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "made-up"}
    assert post(live_server.url, bounce(letter.service_id), password="")[0] == 404
    settings.ANYMAIL, settings.FLASHSALE_MAIL_SERVICE = {"WEBHOOK_SECRET": PASSWORD}, ""
    assert post(live_server.url, bounce(letter.service_id))[0] == 404
    assert now().state == "sent"


@pytest.mark.parametrize(
    "body", [b"", b"[1", b"[1]", b"7", b'{"RecordType": "Bounce", "BouncedAt": 7}', b"\xff", b"[" * 100_000]
)
def test_a_report_that_cannot_be_read_is_refused(letter: Notice, live_server: Any, body: bytes) -> None:
    assert post(live_server.url, body)[0] == 400
    assert now().state == letter.state == "sent"


@pytest.mark.usefixtures("stopped_clock")
def test_refused_reports_are_counted_and_true_ones_from_the_same_address_are_taken(
    letter: Notice, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "API_ADDRESS", limits.Limit("refused", 2, limits.MINUTE))
    sent = [post(live_server.url, b"{", password=password)[0] for password in (PASSWORD, "mails:guess") * 2]
    assert (sent, now().state) == ([400, 403, 429, 429], letter.state)
    assert post(live_server.url, bounce(letter.service_id))[0] == 200
    assert now().failure == "bounced"


def test_a_report_that_comes_before_the_letter_is_stored_is_asked_for_again(letter: Notice, live_server: Any) -> None:
    just_now = bounce("pm-unknown", at=timezone.now())
    status, headers = post(live_server.url, just_now)
    assert (status, headers["Retry-After"]) == (503, "60")
    Notice.objects.filter(pk=letter.pk).update(service_id="pm-unknown")
    assert post(live_server.url, just_now)[0] == 200
    assert now().failure == "bounced"


def test_an_old_report_about_no_letter_of_ours_changes_nothing(letter: Notice, live_server: Any) -> None:
    for name in ("pm-of-a-code", "", "x" * 500):
        assert post(live_server.url, bounce(name))[0] == 200
    assert (now().state, Notice.objects.exclude(failure="").count()) == (letter.state, 0)


def test_a_mail_server_gives_letters_no_name(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert notify._service_id(EmailMessage()) == ""
    long = EmailMessage()
    long.anymail_status = type("Status", (), {"message_id": "x" * 201})()  # type: ignore[attr-defined]
    assert notify._service_id(long) == ""


def test_a_bounce_deletes_nothing_of_the_buyer(letter: Notice, live_server: Any) -> None:
    assert post(live_server.url, bounce(letter.service_id))[0] == 200
    assert Contact.objects.get(reservation=letter.reservation_id).read()["email"] == "ani@example.com"
    assert Reservation.objects.get(pk=letter.reservation_id).state == "cancelled"
