"""A former address gets one letter about the correction by staff, and a stranger who reads it learns nothing."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone, translation
from django.utils.formats import date_format
from pytest_django import Settings

from flashsale.books.letters import add_letters
from flashsale.life import (
    erase_person,
    former_address,
    letter_reports,
    letters,
    notify,
    notify_again,
    person_data,
    person_requests,
)
from flashsale.models import Campaign, Channel, Contact, Notice, Record, Reservation
from flashsale.models.sealed_data import SealedData
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import SendingFailure
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale, poco_campaign, refusal
from tests.faults.steps import Died
from tests.life.people import erased, request_of, staff
from tests.mail_server import MailServer, mail_server
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
FORMER, RIGHT, LATER = "ani@example.com", "ani.baru@example.com", "ani.lagi@example.com"
CHANNELS = ({"code": "lazada", "name": "Lazada"},)
Corrects = Callable[[str], object]
TEXTS = {
    "en": """Hello,

On {at}, the e-mail address of order {number} was changed. Letters about the order no longer come to this address.

Is it your order, and did you not ask for this? Then write to halo@toko.example at once, and name the order number.

If you asked for the change, or do not know the order, you need not do anything. Somebody may have typed your address \
by mistake.

Regards,
Lazada""",
    "id": """Halo,

Pada {at}, alamat email pesanan {number} diubah. Surat tentang pesanan itu tidak lagi dikirim ke alamat ini.

Apakah itu pesanan Anda, dan Anda tidak meminta perubahan ini? Segera tulis ke halo@toko.example, dan sebutkan nomor \
pesanannya.

Jika Anda yang meminta perubahan itu, atau tidak mengenal pesanan itu, Anda tidak perlu melakukan apa pun. Mungkin \
seseorang salah mengetik dan menulis alamat Anda.

Salam,
Lazada""",
}
SUBJECTS = {"en": "The e-mail address of order {number} was changed", "id": "Alamat email pesanan {number} diubah"}


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    with mail_server(settings) as server:
        yield server


@pytest.fixture
def order(mails: MailServer) -> Reservation:
    """A confirmed order of Ani, who has the letter about it."""
    campaign = poco_campaign(channels=CHANNELS, letter_address="halo@toko.example")
    (order,) = buy(lobby_sale(campaign, stock={PHONE: 2}), ["ani"])
    assert notify.send_due() == 1
    mails.letters.clear()
    mails.recipients.clear()
    return order


def _by_letter(email: str) -> object:
    letter = Notice.objects.exclude(kind="address").get()
    return notify_again.correct_address(notice=letter, email=email, by=staff("sari"))


def _by_request(email: str) -> object:
    order, request = Reservation.objects.get(), request_of("ani", "correct")
    return person_requests.correct(request=request, order=order.pk, changes={"email": email}, by=staff("sari"))


@pytest.fixture(params=[_by_letter, _by_request])
def corrects(request: pytest.FixtureRequest, order: Reservation) -> Corrects:
    """Each of the two ways in which staff correct the address."""
    writer: Corrects = request.param
    return writer


def states() -> list[str]:
    """The states of the letters to former addresses, the oldest first."""
    return list(Notice.objects.filter(kind="address").order_by("pk").values_list("state", flat=True))


def kept() -> dict[str, str]:
    """The former addresses that are kept."""
    return dict(SealedData.read(Contact.objects.get()).get("former_emails", {}))


def to_former(mails: MailServer) -> list[str]:
    """Who got such a letter."""
    return [str(got["To"]) for got in mails.letters if str(got["Message-ID"]).startswith("<address-")]


@pytest.mark.parametrize("language", ["id", "en"])
def test_the_letter_says_what_happened_and_nothing_that_a_stranger_must_not_know(
    order: Reservation, language: str
) -> None:
    Contact.objects.update(language=language)
    _by_letter(RIGHT)
    notice = Notice.objects.get(kind="address")
    letter = letters.compose(notice)
    with translation.override(language):
        at = date_format(timezone.localtime(notice.due_at, order.sale.campaign.zone), "j F Y H:i") + " WIB"
    words = {"number": str(order.pk)[:8], "at": at}
    assert (letter.to, str(letter.subject)) == ([FORMER], SUBJECTS[language].format(**words))
    assert str(letter.body).strip() == TEXTS[language].format(**words)
    ((html, _kind),) = letter.alternatives
    said = " ".join(map(str, (letter.subject, letter.body, html, letter.message().items())))
    for private in ("http", "Rp", "POCO", "Ani", "Jl.", "0812", RIGHT, str(order.pk), order.sale.name):
        assert private not in said, private


def test_each_correction_makes_one_letter_and_the_address_is_forgotten_when_it_is_sent(
    corrects: Corrects, mails: MailServer
) -> None:
    for _again in range(2):
        corrects(RIGHT)
    assert (states(), list(kept().values())) == (["due"], [FORMER])
    assert Contact.objects.get().read()["email"] == RIGHT
    notify.send_due()
    assert (states(), to_former(mails), kept()) == (["sent"], [FORMER], {})
    notify.send_due()
    corrects("Ani.Baru@example.com")
    notify.send_due()
    assert to_former(mails) == [FORMER], "the same mailbox in other letters"
    corrects(LATER)
    corrects(FORMER)
    assert sorted(kept().values()) == ["Ani.Baru@example.com", LATER]
    notify.send_due()
    assert (states(), to_former(mails), kept()) == (["sent"] * 3, [FORMER, "Ani.Baru@example.com", LATER], {})


def test_the_same_correction_by_many_at_once_makes_one_letter(order: Reservation, mails: MailServer) -> None:
    at_once([partial(_by_letter, RIGHT)] * 4)
    assert states() == ["due"]
    notify.send_due()
    assert to_former(mails) == [FORMER]


@pytest.mark.parametrize("is_written", [False, True])
def test_the_letter_is_committed_with_the_correction_or_neither_is(
    corrects: Corrects, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    before = Contact.objects.get().sealed

    def add_and_die(*args: Any) -> None:
        if is_written:
            add_letters(*args)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(former_address, "add_letters", add_and_die)
        with pytest.raises(Died):
            corrects(RIGHT)
    assert (states(), Contact.objects.get().sealed) == ([], before)
    assert not Record.objects.filter(what__startswith="correct_").exists()
    corrects(RIGHT)
    assert states() == ["due"]


class TestNoLetter:
    """goes to a former address"""

    @pytest.fixture(autouse=True)
    def _corrected(self, order: Reservation, mails: MailServer) -> Iterator[None]:  # noqa: ARG002 - makes the order
        """The test corrects the address. There is no letter to the former one, and later letters go to the new one."""
        yield
        assert Contact.objects.get().read()["email"] == RIGHT
        assert (states(), kept()) == ([], {})
        mails.answers = {}
        notify_again.send_again(notice=Notice.objects.get(), by=staff("sari"))
        notify.send_due()
        assert set(mails.recipients) <= {RIGHT}

    @pytest.mark.parametrize("writer", [_by_letter, _by_request])
    def test_whose_mailbox_refuses_letters(self, mails: MailServer, writer: Corrects) -> None:
        notify_again.send_again(notice=Notice.objects.get(), by=staff("sari"))
        mails.answers = {"RCPT": "550 unknown"}
        assert (notify.send_due(), Notice.objects.get().state) == (0, "failed")
        writer(RIGHT)

    @pytest.mark.parametrize("writer", [_by_letter, _by_request])
    @pytest.mark.parametrize("failure", [SendingFailure.BOUNCED, SendingFailure.REJECTED])
    def test_from_which_a_letter_came_back(self, writer: Corrects, failure: SendingFailure) -> None:
        Notice.objects.update(service_id="letter-1")
        assert letter_reports.apply_report(service_id="letter-1", failure=failure)
        writer(RIGHT)

    def test_that_failed_before_a_person_told_the_buyer(self) -> None:
        Notice.objects.update(service_id="letter-1")
        letter_reports.apply_report(service_id="letter-1", failure=SendingFailure.BOUNCED)
        notify_again.told(notice=Notice.objects.get(), by=staff("sari"))
        _by_request(RIGHT)

    def test_that_was_never_one(self) -> None:
        Contact.objects.get().add(email="bukan-alamat")
        _by_letter(RIGHT)

    @pytest.mark.parametrize("writer", [_by_letter, _by_request])
    def test_of_a_partner_that_writes_to_its_own_buyers(self, writer: Corrects) -> None:
        Channel.objects.update(order_letters=False)
        writer(RIGHT)
        # The confirmation is not sent either.
        Channel.objects.update(order_letters=True)

    def test_of_a_test_sale(self, order: Reservation) -> None:
        Campaign.objects.filter(pk=order.sale.campaign_id).update(sandbox_of=order.channel)
        _by_letter(RIGHT)


def test_failures_of_an_earlier_address_do_not_keep_the_letter_from_the_present_one(
    order: Reservation, mails: MailServer
) -> None:
    Notice.objects.update(service_id="letter-1", due_at=timezone.now() - timedelta(hours=1))
    letter_reports.apply_report(service_id="letter-1", failure=SendingFailure.BOUNCED)
    _by_request(RIGHT)
    assert states() == []
    _by_request(LATER)
    assert list(kept().values()) == [RIGHT]
    notify.send_due()
    assert to_former(mails) == [RIGHT]
    # And a failure of the present one does.
    _by_letter(LATER)
    mails.answers = {"RCPT": "550 unknown"}
    assert notify.send_due() == 0
    _by_letter(FORMER)
    assert states() == ["sent"]


def test_another_letter_that_was_accepted_counts_more_than_one_that_came_back(order: Reservation) -> None:
    other = {"reservation": order, "sale": order.sale, "kind": "refunded", "due_at": timezone.now()}
    Notice.objects.create(state="failed", failure="refused", **other)
    notify_again.correct_address(notice=Notice.objects.get(kind="refunded"), email=RIGHT, by=staff("sari"))
    assert states() == ["due"]


class TestAFailure:
    """of the letter ends as dropped: no person has to act, and the former address is forgotten"""

    @pytest.fixture(autouse=True)
    def _corrected(self, order: Reservation) -> Iterator[None]:  # noqa: ARG002 - makes the order
        _by_request(RIGHT)
        yield
        assert (states(), kept()) == (["dropped"], {})
        assert not Notice.objects.filter(state="failed").exists()
        assert Contact.objects.get().read()["email"] == RIGHT

    def test_by_the_mailbox(self, mails: MailServer, caplog: pytest.LogCaptureFixture) -> None:
        mails.answers = {"RCPT": f"550 <{FORMER}> unknown"}
        assert notify.send_due() == 0
        assert (Notice.objects.get(kind="address").failure, FORMER in caplog.text) == ("refused", False)
        assert not [line for line in caplog.records if line.levelname == "ERROR"]

    def test_by_a_mail_server_that_is_away_for_days(self, mails: MailServer) -> None:
        mails.answers = {"RCPT": "450 later"}
        for _try in range(notify.ATTEMPTS_MAX):
            assert (states(), list(kept().values())) == (["due"], [FORMER])
            Notice.objects.filter(kind="address").update(due_at=timezone.now())
            assert notify.send_due() == 0

    def test_by_a_report_of_the_mail_service(self) -> None:
        assert notify.send_due() == 1
        Notice.objects.filter(kind="address").update(service_id="letter-2")
        for _again in range(2):
            assert letter_reports.apply_report(service_id="letter-2", failure=SendingFailure.BOUNCED)

    def test_by_a_switch_to_letters_of_the_partner(self, mails: MailServer) -> None:
        Channel.objects.update(order_letters=False)
        assert (notify.send_due(), mails.recipients) == (0, [])

    def test_by_an_address_that_was_replaced_with_the_whole_contact(self, mails: MailServer) -> None:
        contact = Contact.objects.get()
        contact.sealed = Contact.encrypt(contact.read())
        contact.save()
        assert (notify.send_due(), mails.recipients) == (0, [])


def test_a_contact_that_this_key_cannot_read_stops_no_other_letter(order: Reservation, mails: MailServer) -> None:
    _by_request(RIGHT)
    Contact.objects.update(sealed="not sealed by us")
    Notice.objects.filter(kind="address").update(attempts=notify.ATTEMPTS_MAX - 1)
    buy(lobby_sale(poco_campaign(code="other", channels=CHANNELS), stock={PHONE: 1}), ["budi"])
    assert (notify.send_due(), mails.recipients) == (1, ["budi@example.com"])
    assert states() == ["dropped"]


class TestBetweenTheCorrectionAndTheLetter:
    """Something happens after the correction and before the letter is sent. The letter is sent to no address."""

    @pytest.fixture(autouse=True)
    def _corrected(self, order: Reservation, mails: MailServer) -> Iterator[None]:  # noqa: ARG002 - makes the order
        _by_request(RIGHT)
        yield
        assert (notify.send_due(), mails.recipients, states()) == (0, [], ["dropped"])
        assert not Contact.objects.exists()

    def test_the_person_is_erased(self) -> None:
        assert erased("ani").state == "approved"
        assert states() == ["dropped"]

    def test_the_contact_is_deleted_by_its_clock(self) -> None:
        Contact.objects.all().delete()


def test_a_restricted_person_gets_it_when_the_restriction_is_lifted(order: Reservation, mails: MailServer) -> None:
    _by_request(RIGHT)
    request = request_of("ani", "restrict")
    person_requests.restrict(request=request, by=staff("sari"))
    assert (notify.send_due(), list(kept().values())) == (0, [FORMER])
    person_requests.lift(request=request, by=staff("sari"))
    assert (notify.send_due(), to_former(mails)) == (1, [FORMER])


def test_staff_neither_stop_nor_redirect_the_letter(order: Reservation, mails: MailServer) -> None:
    _by_letter(RIGHT)
    letter, before = Notice.objects.get(kind="address"), Contact.objects.get().sealed
    for verb in (notify_again.send_again, notify_again.told, partial(notify_again.correct_address, email=LATER)):
        assert refusal(verb, notice=letter, by=staff("sari")) is Outcome.FORBIDDEN
    assert (states(), Contact.objects.get().sealed) == (["due"], before)
    notify.send_due()
    for verb in (notify_again.send_again, notify_again.told, partial(notify_again.correct_address, email=LATER)):
        assert refusal(verb, notice=letter, by=staff("sari")) is Outcome.FORBIDDEN
    assert (states(), to_former(mails)) == (["sent"], [FORMER])


def test_no_reading_of_the_contact_shows_the_former_address(order: Reservation) -> None:
    known = Contact.objects.get().read()
    _by_letter(RIGHT)
    contact = Contact.objects.get()
    assert contact.read() == known | {"email": RIGHT}
    assert FORMER not in contact.sealed
    (found,) = person_data.collect(request=request_of("ani", "find"), by=staff("sari"))["orders"]
    assert found["contact"] == known | {"email": RIGHT}
    assert [one["about"] for one in found["letters"]] == ["confirmed", "address"]
    # What the buyer adds later keeps it.
    contact.add(appeal="It is mine.")
    assert list(kept().values()) == [FORMER]


@pytest.mark.parametrize("begun", ["sending", "correcting"])
def test_an_erasure_at_the_same_moment_waits(
    order: Reservation, mails: MailServer, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    request, found = request_of("ani", "erase"), []

    def erase() -> None:
        try:
            found.append(erase_person.approve(request=request, by=staff("tono")).state)
        finally:
            connections.close_all()

    thread = threading.Thread(target=erase)

    def meanwhile(step: Callable[..., Any], *args: Any) -> Any:
        thread.start()
        thread.join(timeout=1)
        return step(*args)

    module, step = (notify, "compose") if begun == "sending" else (former_address, "add_letters")
    if begun == "sending":
        _by_request(RIGHT)
    with monkeypatch.context() as patch:
        patch.setattr(module, step, partial(meanwhile, getattr(module, step)))
        if begun == "sending":
            assert (notify.send_due(), to_former(mails)) == (1, [FORMER])
        else:
            _by_letter(RIGHT)
    thread.join(timeout=120)
    assert found == ["approved"]
    assert (Contact.objects.count(), states()) == (0, ["sent" if begun == "sending" else "dropped"])
