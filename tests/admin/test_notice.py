"""Letters that did not arrive: staff see why, send them again, correct an address, or note that the buyer was told."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from flashsale.life import notify, review
from flashsale.models import Cancellation, Channel, Contact, Notice, Record
from tests.admin.forms import action_links, messages_on, submit
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale
from tests.mail_server import MailServer, mail_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    with mail_server(settings) as server:
        yield server


@pytest.fixture
def failed(mails: MailServer) -> list[Notice]:
    """Two letters about cancellations, which the mail server refused for good. It accepts mail again now."""
    orders = buy(lobby_sale(stock={PHONE: 2}), ["ani", "budi"])
    one, two = (User.objects.create_user(name) for name in ("one", "two"))
    for order in orders:
        review.propose(case=review.open_case(reservation=order), code="automated_order", by=one)
        review.approve(case=order.case, by=two)
    mails.answers = {"RCPT": "550 unknown"}
    assert notify.send_due() == 0
    mails.answers = {}
    return list(Notice.objects.order_by("pk"))


def page_of(notice: Notice) -> str:
    return reverse("admin:flashsale_notice_change", args=[notice.pk])


def act(client: Client, notice: Notice, action: str, **typed: str) -> list[str]:
    (url,) = action_links(client.get(page_of(notice)), action)
    return messages_on(submit(client, url, **typed))


def test_a_failed_letter_shows_its_reason_in_list_and_page(failed: list[Notice], dave: Client) -> None:
    for url in (reverse("admin:flashsale_notice_changelist") + "?state__exact=failed", page_of(failed[0])):
        page = dave.get(url).content.decode()
        assert "the mailbox or its server refused the letter for good (SMTP 550)" in page
        assert "example.com" not in page
    assert action_links(dave.get(page_of(failed[0])), "send-again") == []
    url = reverse("admin:flashsale_notice_send-again") + f"?id={failed[0].pk}"
    assert dave.post(url).status_code == 403
    assert {notice.state for notice in Notice.objects.all()} == {"failed"}


def test_one_letter_is_sent_again_and_the_trail_says_by_whom(failed: list[Notice], bob: Client) -> None:
    assert act(bob, failed[0], "send-again") == ["The letter is due again."]
    assert notify.send_due() == 1
    assert Notice.objects.get(pk=failed[0].pk).state == "sent"
    assert Cancellation.objects.exclude(appeal_until=None).get().reservation_id == failed[0].reservation_id
    record = Record.objects.get(what="send_again")
    assert (record.subject, record.who) == (f"notice:{failed[0].pk}", f"staff:{User.objects.get(username='bob').pk}")


def test_many_letters_are_sent_again_at_once(failed: list[Notice], bob: Client, mails: MailServer) -> None:
    chosen = {"action": "send-again", "_selected_action": [str(notice.pk) for notice in failed]}
    page = bob.post(reverse("admin:flashsale_notice_changelist"), chosen, follow=True)
    assert "2 letters go out to the same addresses within a minute." in page.content.decode()
    submit(bob, page.redirect_chain[-1][0])
    assert notify.send_due() == 2
    assert sorted(mails.recipients) == ["ani@example.com", "budi@example.com"]
    assert Record.objects.filter(what="send_again").count() == 2


def test_a_corrected_address_gets_the_letter(failed: list[Notice], bob: Client, mails: MailServer) -> None:
    shown = act(bob, failed[0], "correct-address", email="Ani.Sari@example.com")
    assert shown == ["The address is corrected, and the letter is due again."]
    assert notify.send_due() == 1
    assert mails.recipients == ["Ani.Sari@example.com"]
    assert "example" not in Record.objects.get(what="correct_address").facts


def test_the_letter_to_a_former_address_is_seen_in_list_and_story_and_staff_can_do_nothing_with_it(
    failed: list[Notice], bob: Client, mails: MailServer
) -> None:
    Channel.objects.update(order_letters=True)
    act(bob, failed[0], "send-again")
    assert notify.send_due() == 1
    (url,) = action_links(bob.get(page_of(failed[0])), "correct-address")
    assert "The former address gets a short letter about the change" in bob.get(url).content.decode()
    submit(bob, url, email="ani.sari@example.com")
    letter = Notice.objects.get(kind="address")
    listed = reverse("admin:flashsale_notice_changelist")
    pages = [
        listed + "?kind__exact=address",
        page_of(letter),
        reverse("admin:flashsale_story", args=[letter.reservation_id]),
        reverse("admin:flashsale_reservation_change", args=[letter.reservation_id]),
    ]
    for state in ("due", "sent", "dropped"):
        Notice.objects.filter(pk=letter.pk).update(state=state, sent_at=timezone.now() if state == "sent" else None)
        for url in pages:
            page = bob.get(url).content.decode()
            assert "to the former address" in page, url
            assert "ani@example.com" not in page, url
        for action in ("send-again", "correct-address", "told"):
            assert action_links(bob.get(page_of(letter)), action) == []
            bob.post(reverse(f"admin:flashsale_notice_{action}") + f"?id={letter.pk}", {"email": "b@example.com"})
        assert f"send-again/?id={letter.pk}" not in bob.get(pages[2]).content.decode()
        letter.refresh_from_db()
        assert letter.state == state
    Notice.objects.filter(pk=letter.pk).update(state="due", due_at=timezone.now())
    assert notify.send_due() == 2
    assert mails.recipients == ["ani@example.com", "ani.sari@example.com", "ani@example.com"]


@pytest.mark.parametrize("typed", ["", "bukan-alamat", "a@b@example.com", "a@example.com\nBcc: b@example.com"])
def test_an_address_that_cannot_be_right_changes_nothing(failed: list[Notice], bob: Client, typed: str) -> None:
    (url,) = action_links(bob.get(page_of(failed[0])), "correct-address")
    page = submit(bob, url, email=typed)
    assert page.context["form"].errors["email"]
    assert Contact.objects.get(reservation=failed[0].reservation_id).read()["email"] == "ani@example.com"
    assert Notice.objects.get(pk=failed[0].pk).state == "failed"


def test_a_buyer_who_was_told_in_another_way_has_the_time_to_appeal_from_now(
    failed: list[Notice], bob: Client, mails: MailServer
) -> None:
    for _again in range(2):
        bob.post(reverse("admin:flashsale_notice_told") + f"?id={failed[0].pk}")
    row = Notice.objects.get(pk=failed[0].pk)
    until = Cancellation.objects.get(reservation=row.reservation_id).appeal_until
    assert row.state == "told"
    assert until is not None
    assert row.sent_at is not None
    assert (until - row.sent_at).total_seconds() == row.sale.campaign.appeal_s
    assert (notify.send_due(), mails.recipients) == (0, [])
    assert Record.objects.filter(what="told").count() == 1
