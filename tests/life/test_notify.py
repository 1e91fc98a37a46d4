"""A letter that is not delivered is seen, tried again and sent again, and the time to appeal waits for it."""

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from flashsale.life import appeal as appealing
from flashsale.life import audit, audit_after_sale, erase, notify, notify_again, reallocate, review
from flashsale.life import cancel as cancelling
from flashsale.life.refund import refund_due
from flashsale.models import Cancellation, Contact, Move, Notice, Record, Reservation, Sale
from flashsale.rules.outcomes import Outcome
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, end_now, lobby_sale, poco_campaign, refusal
from tests.mail_server import GOES_AWAY, MailServer, mail_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
RING = "one_person_many_identities"
APPEAL_S = 3600
ADDRESS = "ani@example.com"


@pytest.fixture(autouse=True)
def _one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read is enough, because no message to Redis is on its way in these tests."""
    monkeypatch.setattr(audit, "READS", 1)


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    with mail_server(settings) as server:
        yield server


@pytest.fixture
def order() -> Reservation:
    """An order that two people have cancelled. The letter is due."""
    sale = lobby_sale(poco_campaign(appeal_s=APPEAL_S), stock={PHONE: 1})
    (order,) = buy(sale, ["ani"])
    one, two = (User.objects.create_user(name) for name in ("one", "two"))
    review.propose(case=review.open_case(reservation=order), code=RING, by=one)
    review.approve(case=order.case, by=two)
    return Reservation.objects.get(pk=order.pk)


def letter() -> Notice:
    return Notice.objects.get(kind="cancelled")


def due_now() -> None:
    Notice.objects.update(due_at=timezone.now())


def untold(sale: Sale) -> tuple[str, ...]:
    """What the audit says about promise 11."""
    return next(finding.broken for finding in audit.audit(campaign=sale.campaign.code) if finding.promise == 11)


def test_a_letter_is_handed_to_the_mail_server_and_starts_the_time_to_appeal(
    order: Reservation, mails: MailServer
) -> None:
    assert Cancellation.objects.get().appeal_until is None
    assert [notify.send_due(), notify.send_due()] == [1, 0]
    (got,) = mails.letters
    assert (mails.recipients, got["To"]) == ([ADDRESS], ADDRESS)
    sent = letter()
    assert (sent.state, sent.attempts, sent.failure, sent.smtp_code) == ("sent", 1, "", None)
    assert Cancellation.objects.get().appeal_until == sent.sent_at + timedelta(seconds=APPEAL_S)
    assert untold(order.sale) == ()


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"RCPT": "550 <ani@example.com> is unknown here"}, ("refused", 550)),
        ({"RCPT": "553 <ani@example.com> is not allowed"}, ("refused", 553)),
        ({".": "554 no spam to ani@example.com"}, ("refused", 554)),
    ],
)
def test_a_mailbox_that_refuses_for_good_fails_at_once_with_the_reason(
    order: Reservation, mails: MailServer, answers: dict[str, str], reason: tuple[str, int], caplog: Any
) -> None:
    mails.answers = answers
    assert notify.send_due() == 0
    failed = letter()
    assert (failed.state, failed.attempts, failed.failure, failed.smtp_code) == ("failed", 1, *reason)
    (line,) = [record.getMessage() for record in caplog.records if "letter" in record.getMessage()]
    assert f"'failure': '{reason[0]}'" in line
    assert f"'smtp_code': {reason[1]}" in line
    assert ADDRESS not in caplog.text
    due_now()
    assert notify.send_due() == 0
    assert letter().attempts == 1
    assert len(untold(order.sale)) == 1
    assert str(order.pk) in untold(order.sale)[0]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"RCPT": "450 ani@example.com: come again later"}, ("try_later", 450)),
        ({"RCPT": "421 too busy"}, ("try_later", 421)),
        ({"DATA": "451 later"}, ("try_later", 451)),
        ({".": "452 the disk is full"}, ("try_later", 452)),
        ({"MAIL": "550 this sender may not send"}, ("not_accepted", 550)),
        ({"HELLO": "554 go away"}, ("not_accepted", 554)),
        ({"EHLO": "500 what", "HELO": "500 what"}, ("not_accepted", 500)),
        ({"DATA": GOES_AWAY}, ("no_answer", None)),
        ({"HELLO": GOES_AWAY}, ("no_answer", None)),
    ],
)
def test_a_failure_that_may_pass_is_tried_again_later(
    order: Reservation, mails: MailServer, answers: dict[str, str], reason: tuple[str, Any], caplog: Any
) -> None:
    mails.answers = answers
    before = timezone.now()
    assert notify.send_due() == 0
    waiting = letter()
    assert (waiting.state, waiting.attempts, waiting.failure, waiting.smtp_code) == ("due", 1, *reason)
    assert before + timedelta(seconds=59) < waiting.due_at < timezone.now() + timedelta(seconds=61)
    assert ADDRESS not in caplog.text
    assert notify.send_due() == 0
    mails.answers = {}
    due_now()
    assert notify.send_due() == 1
    assert (letter().state, letter().failure, letter().smtp_code, letter().attempts) == ("sent", "", None, 2)
    assert len(mails.letters) == 1


def test_a_mail_server_that_is_away_is_tried_for_days_before_a_letter_fails(
    order: Reservation, settings: Settings
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    waited = timedelta()
    while letter().state == "due":
        assert notify.send_due() == 0
        waited += letter().due_at - timezone.now()
        due_now()
    assert (letter().failure, letter().attempts) == ("no_answer", notify.ATTEMPTS_MAX)
    assert timedelta(days=2) < waited < timedelta(days=5)


def test_an_old_address_that_is_none_fails_at_once_and_reaches_no_server(order: Reservation, mails: MailServer) -> None:
    Contact.objects.get().add(email="ani@example.com\nBcc: all@example.com")
    assert notify.send_due() == 0
    assert (letter().state, letter().failure, mails.recipients) == ("failed", "bad_address", [])


def test_a_contact_that_this_key_cannot_read_delays_no_other_letter(order: Reservation, mails: MailServer) -> None:
    Contact.objects.update(sealed="not sealed by us")
    (other,) = buy(lobby_sale(stock={PHONE: 1}), ["budi"])
    cancelling.cancel(reservation=other.pk, channel=other.channel_id, code="buyer_request")
    assert notify.send_due() == 1
    assert mails.recipients == ["budi@example.com"]
    assert (Notice.objects.get(reservation=order).state, Notice.objects.get(reservation=order).failure) == (
        "due", "not_written",
    )  # fmt: skip


def test_a_crash_between_sending_and_noting_sends_the_same_letter_again(
    order: Reservation, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Notice, "save", _dies)
        with pytest.raises(KeyboardInterrupt):
            notify.send_due()
    assert (letter().state, letter().attempts, Cancellation.objects.get().appeal_until) == ("due", 0, None)
    assert [notify.send_due(), notify.send_due()] == [1, 0]
    assert len({got["Message-ID"] for got in mails.letters}) == 1
    assert len(mails.letters) == 2
    assert Cancellation.objects.get().appeal_until == letter().sent_at + timedelta(seconds=APPEAL_S)


def _dies(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


class TestTheTimeToAppeal:
    """While the letter is not delivered, nothing happens that rests on the end of the time to appeal."""

    @pytest.fixture(autouse=True)
    def _undelivered(self, order: Reservation, mails: MailServer) -> None:  # noqa: ARG002 - makes the order
        """A long time ago the order was cancelled, and its letter failed."""
        mails.answers = {"RCPT": "550 unknown"}
        notify.send_due()
        Cancellation.objects.update(
            at=F("at") - timedelta(days=30), appeal_until=F("appeal_until") - timedelta(days=30)
        )

    def test_stays_open(self, order: Reservation) -> None:
        assert appealing.is_possible(case=order.case, now=timezone.now())
        assert appealing.appeal(case=order.case).state == "open"

    def test_frees_no_limit_sends_no_refund_and_moves_no_unit(self, order: Reservation) -> None:
        target = draft_sale(order.sale.campaign, stock={PHONE: 0}).allocations.get()
        reallocate.reallocate(source=order.sale, target=target, reserve=None)
        assert (cancelling.free_limit_slots(), refund_due(), Move.objects.count()) == (0, 0, 0)
        assert order.limit_slots.count() == 2

    def test_counts_for_the_published_reserve(self, order: Reservation) -> None:
        target = draft_sale(order.sale.campaign, stock={PHONE: 0}).allocations.get()
        reallocate.reallocate(source=order.sale, target=target, reserve=1)
        assert Move.objects.count() == 0

    def test_keeps_the_campaign_from_being_erased(self, order: Reservation) -> None:
        end_now(order.sale)
        reasons = erase.obstacles(campaign=order.sale.campaign)
        assert "1 buyers were not told that their order was cancelled" in reasons

    def test_begins_when_a_person_sends_the_letter_again_and_it_arrives(self, mails: MailServer) -> None:
        wati = User.objects.create_user("wati")
        notify_again.correct_address(notice=letter(), email=" Ani.S@example.com ", by=wati)
        assert (letter().state, letter().attempts) == ("due", 0)
        mails.answers = {}
        assert notify.send_due() == 1
        assert mails.recipients[-1] == "Ani.S@example.com"
        assert Cancellation.objects.get().appeal_until == letter().sent_at + timedelta(seconds=APPEAL_S)
        records = Record.objects.filter(subject=f"notice:{letter().pk}")
        assert list(records.values_list("what", "who")) == [("correct_address", f"staff:{wati.pk}")]
        assert "example" not in records.get().facts
        Cancellation.objects.update(appeal_until=timezone.now() - timedelta(seconds=1))
        assert [cancelling.free_limit_slots(), refund_due()] == [1, 1]

    def test_is_waived_by_a_buyer_who_reads_the_page(self, order: Reservation) -> None:
        appealing.waive(case=order.case)
        assert [order.limit_slots.count(), refund_due()] == [0, 1]
        assert refusal(appealing.appeal, case=order.case) is Outcome.APPEAL_OVER
        assert untold(order.sale) == ()


def test_an_upgrade_lets_a_running_time_to_appeal_wait_for_its_letter(order: Reservation, mails: MailServer) -> None:
    migration = import_module("flashsale.migrations.0010_letters_and_proof_of_work")
    soon = timezone.now() + timedelta(hours=1)
    Cancellation.objects.update(appeal_until=soon)
    migration.wait_for_letters(apps, SimpleNamespace(connection=connection))
    assert Cancellation.objects.get().appeal_until is None
    assert notify.send_due() == 1
    for until in (soon, timezone.now() - timedelta(hours=1)):
        Cancellation.objects.update(appeal_until=until)
        migration.wait_for_letters(apps, SimpleNamespace(connection=connection))
        assert Cancellation.objects.get().appeal_until == until, "its letter is sent"
    Notice.objects.update(state="due", sent_at=None)
    migration.wait_for_letters(apps, SimpleNamespace(connection=connection))
    assert Cancellation.objects.get().appeal_until == until, "it is over"


def test_a_letter_that_waits_is_a_finding_of_the_audit_after_an_hour(order: Reservation) -> None:
    assert untold(order.sale) == ()
    Cancellation.objects.update(at=F("at") - audit_after_sale.TOLD_WITHIN)
    (found,) = untold(order.sale)
    assert str(order.pk) in found
    assert notify.send_due() == 1
    assert untold(order.sale) == ()
