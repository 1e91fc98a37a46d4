"""The story counts letters about orders: a letter that is missing, doubled or to a partner's buyer breaks its check."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from flashsale.life import notify
from flashsale.models import Channel, Notice, Reservation
from simulation import order_letters
from simulation.outbox import SEPARATOR, Mail, Outbox
from tests.faults.steps import buy, called, end, paid_elsewhere, told

pytestmark = pytest.mark.django_db(transaction=True)


def story(mails: list[Mail]) -> Any:
    return SimpleNamespace(outbox=SimpleNamespace(mails=mails, scan=lambda: None))


def sent() -> list[Mail]:
    """The letters that went out."""
    return [Mail(one.to[0], str(one.subject), str(one.body), one.extra_headers["Message-ID"]) for one in mail.outbox]


@pytest.mark.usefixtures("gate")
def test_one_letter_for_each_confirmed_order_holds_and_none_or_two_or_one_of_a_partner_does_not() -> None:
    sale, (ani, budi) = called("ani", "budi")
    Channel.objects.update(order_letters=True)
    buy(ani)
    assert notify.send_due() == 1
    letters = sent()
    held = order_letters.counted(story(letters), sales=[sale.code])
    assert (held.held, held.found) == (True, "1 confirmed, 0 expired, 0 refunded")
    assert not order_letters.counted(story([]), sales=[sale.code]).held
    assert not order_letters.counted(story(letters * 2), sales=[sale.code]).held
    buy(budi, instrument="other")
    Notice.objects.update(state="told", sent_at=timezone.now())
    assert not order_letters.counted(story(letters), sales=[sale.code]).held
    Reservation.objects.filter(number=budi.number()).update(state="held", confirmed_at=None)
    assert order_letters.counted(story(letters), sales=[sale.code]).held
    Channel.objects.update(order_letters=False)
    assert not order_letters.counted(story(letters), sales=[sale.code]).held


@pytest.mark.usefixtures("gate")
def test_a_letter_about_an_ended_hold_may_precede_late_money_but_no_second_one_and_none_to_those_who_never_paid() -> (
    None
):
    sale, (ani, budi) = called("ani", "budi")
    Channel.objects.update(order_letters=True)
    reference = paid_elsewhere(ani)
    end(sale)
    ended = sent_now()
    assert told(reference) == "paid"
    confirmed = sent_now()
    letters = order_letters.counted(story(ended + confirmed), sales=[sale.code])
    assert (letters.held, letters.found) == (True, "1 confirmed, 1 expired, 0 refunded")
    assert not order_letters.counted(story(ended * 2 + confirmed), sales=[sale.code]).held
    never = str(budi.reserve().id)
    end(sale)
    strange = replace(ended[0], message_id=f"<expired-9-{never}@flashsale>")
    assert not order_letters.counted(story([*ended, *confirmed, strange]), sales=[sale.code]).held


def sent_now() -> list[Mail]:
    """The one letter that is due now."""
    mail.outbox.clear()
    assert notify.send_due() == 1
    return sent()


def test_a_mail_is_read_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    file, outbox = tmp_path / "mails", Outbox(tmp_path)
    whole = b"To: ani@example.com\nSubject: Hai\nMessage-ID: <one@x>\n\nteks\n" + SEPARATOR
    found = []
    for content in (whole[:40], whole, whole, whole + whole[:60], whole + whole):
        file.write_bytes(content)
        outbox._scanned = 0.0
        outbox.scan()
        found.append(len(outbox.mails))
    assert found == [0, 1, 1, 1, 2]
