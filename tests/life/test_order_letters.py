"""Letters about orders: written in the transaction that makes them true, sent once, and never about what is no more."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from pytest_django import Settings

from flashsale.books import letters as letter_rows
from flashsale.gate import bridge
from flashsale.life import (
    cancel,
    expire,
    forget_contacts,
    letters,
    notify,
    notify_again,
    refund,
    settle,
    sweep_payments,
)
from flashsale.life.confirm import confirm
from flashsale.life.next_look import LATE_FOR
from flashsale.life.payment_request import Started, StartRequest
from flashsale.life.start_payment import start_all
from flashsale.models import Campaign, Channel, Contact, Notice, PaymentAttempt, Refund, Reservation, Sale
from flashsale.models.campaign import readable_colour, sender_address, sender_name
from flashsale.providers import payments
from flashsale.rules.contrast import CONTRAST_MIN, contrast_with_white
from flashsale.rules.states import StandingState
from tests.factories import PHONE, Shopper, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import Died, called, come_due, dies, dying, end, reap, the_payment, told
from tests.life.buyers import PRICE, buyer, payment_choice
from tests.mail_server import MailServer, mail_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
CHANNELS = ({"code": "lazada", "name": "Lazada"},)
TEXTS = Path(__file__).with_name("order-letters.txt")
CANARY = ("ani@example.com", "Jl. Melati 5", "0812")


def sale_with_letters(*names: str, **fields: Any) -> tuple[Sale, list[Shopper]]:
    """An open sale whose channel sends letters; these people are called."""
    return called(*names, campaign=poco_campaign(channels=CHANNELS, **fields))


def start(person: Shopper, *, method: str = "va", language: str = "id", instrument: str = "") -> Reservation:
    """The person begins to pay; without an instrument, elsewhere."""
    who = replace(buyer(person.name), language=language)
    choice = payment_choice(method=method, instrument=instrument)
    held = person.reserve()
    bridge.run(confirm(reservation=held.id, channel=person.channel.id, buyer=who, payment_choice=choice))
    return Reservation.objects.get(pk=held.id)


def pay_elsewhere(row: Reservation) -> None:
    """The bank gets the money and tells us."""
    reference = the_payment(row.pk).reference
    payments.DemoProvider().pay(reference=reference)
    told(reference)


def rows() -> list[tuple[str, str]]:
    return list(Notice.objects.order_by("pk").values_list("kind", "state"))


def sent(*, kind: str) -> Any:
    """Sends what is due, and returns the letter of this kind."""
    Notice.objects.update(due_at=timezone.now())
    mail.outbox.clear()
    notify.send_due()
    (letter,) = [one for one in mail.outbox if one.extra_headers["Message-ID"].startswith(f"<{kind}-")]
    return letter


def words_of(letter: Any, row: Reservation) -> str:
    """The text part, with words for what differs from run to run."""
    notice = Notice.objects.get(pk=letter.extra_headers["Message-ID"].split("-")[1])
    found = letters.LINK.findall(letter.body)
    (link,) = set(found)
    assert link.startswith("http://127.0.0.1:8000/my-order#fs1.")
    text = letter.body.replace(link, "LINK").replace(str(row.pk)[:8], "NUMBER").replace("\xa0", " ")
    if notice.kind == "held":
        attempt = PaymentAttempt.objects.get(reference=notice.about)
        until = timezone.localtime(attempt.expires_at, row.sale.campaign.zone)
        assert str(until.year) in text
        text = re.sub(r"(sebelum|before) \d+ \w+ \d{4} \d\d:\d\d WIB", r"\1 UNTIL", text)
        text = text.replace(attempt.instructions["number"], "ACCOUNT")
    if notice.kind == "refunded":
        text = text.replace(Refund.objects.get(reference=notice.about).provider_id, "REFERENCE")
    return str(text)


def texts() -> dict[str, str]:
    """The text parts that buyers get, by kind and language: see order-letters.txt."""
    parts = re.split(r"^=== (.+)\n", TEXTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


@pytest.mark.parametrize("language", ["id", "en"])
def test_each_letter_says_exactly_this(language: str) -> None:
    sale, (ani, budi) = sale_with_letters("ani", "budi")
    row, found = start(ani, language=language), {}
    found["held"] = words_of(sent(kind="held"), row)
    pay_elsewhere(row)
    found["confirmed"] = words_of(sent(kind="confirmed"), row)
    cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    assert refund.refund_due() == 1
    found["refunded"] = words_of(sent(kind="refunded"), row)
    other = start(budi, language=language)
    end(sale)
    letter = sent(kind="expired")
    found["expired"] = words_of(letter, other)
    assert letter.to == ["budi@example.com"]
    expected = {name.split()[0]: text for name, text in texts().items() if name.endswith(language)}
    assert {kind: text.strip() for kind, text in found.items()} == expected


def test_the_html_part_says_the_same_loads_nothing_and_can_be_read_on_a_dark_screen() -> None:
    _, (ani, _) = sale_with_letters("ani", "budi", letter_colour="#7a1fa2", letter_name="Toko <b>POCO</b>")
    start(ani, method="card", instrument="token")
    letter = sent(kind="confirmed")
    ((html, kind),) = letter.alternatives
    assert kind == "text/html"
    (link,) = letters.LINK.findall(letter.body)
    assert f'<a href="{link}"' in html
    for line in letter.body.splitlines():
        assert line in {"", link, "Lihat pesanan Anda:"} or line in html
    assert "Toko &lt;b&gt;POCO&lt;/b&gt;" in html
    assert "<b>" not in html
    assert [word for word in ("<img", "src=", "@import", "url(", "<script", "http-equiv") if word in html] == []
    assert 'content="light dark"' in html
    assert "prefers-color-scheme: dark" in html
    assert html.count("#7a1fa2") == 2


@pytest.mark.parametrize(
    ("name", "address", "sender"),
    [
        ("", "", "flashsale@localhost"),
        ("Toko POCO, Bandung", "", '"Toko POCO, Bandung" <flashsale@localhost>'),
        ("", "pesanan@poco.example", "pesanan@poco.example"),
        ("Toko POCO", "pesanan@poco.example", "Toko POCO <pesanan@poco.example>"),
    ],
)
def test_the_sender_is_that_of_the_campaign(name: str, address: str, sender: str) -> None:
    _, (ani, _) = sale_with_letters("ani", "budi", letter_name=name, letter_address=address)
    start(ani, method="card", instrument="token")
    assert sent(kind="confirmed").from_email == sender


@pytest.mark.parametrize(
    ("check", "value", "says"),
    [
        (sender_name, "Toko\nBcc: all@example.com", "one line"),
        (sender_address, "bukan-alamat", "not an address"),
        (sender_address, "a@example.com\nBcc: b@example.com", "not an address"),
        (sender_address, " a@example.com", "not an address"),
        (readable_colour, "red", "not a colour"),
        (readable_colour, "#12345", "not a colour"),
        (readable_colour, "#0b57d0;}", "not a colour"),
        (readable_colour, "#ffcc00", "too bright"),
    ],
)
def test_a_sender_or_a_colour_that_cannot_be_is_refused_with_the_reason(check: Any, value: str, says: str) -> None:
    with translation.override("en"), pytest.raises(ValidationError, match=says):
        check(value)
    fields = {sender_name: "letter_name", sender_address: "letter_address", readable_colour: "letter_colour"}
    with pytest.raises(ValidationError):
        poco_campaign(**{fields[check]: value})
    assert Campaign.objects.count() == 0


def test_white_on_the_default_colour_can_be_read() -> None:
    contrast = contrast_with_white(Campaign().letter_colour)
    assert contrast is not None
    assert contrast > CONTRAST_MIN
    assert (contrast_with_white("#ffffff"), contrast_with_white("#000000")) == (1.0, 21.0)


def test_how_letters_look_can_be_corrected_while_the_sale_runs() -> None:
    sale, _ = sale_with_letters("ani")
    campaign, channel = sale.campaign, Channel.objects.get()
    campaign.letter_address, channel.order_letters = "right@poco.example", False
    campaign.full_clean()
    campaign.save()
    channel.save()
    assert Campaign.objects.get().letter_address == "right@poco.example"
    assert Channel.objects.get().order_letters is False


class TestALetterIsARowOf:
    """the transaction that makes it true."""

    def test_the_confirmation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _, (ani, _) = sale_with_letters("ani", "budi")
        row = start(ani)
        Notice.objects.all().delete()
        payments.DemoProvider().pay(reference=the_payment(row.pk).reference)
        with monkeypatch.context() as patch:
            patch.setattr(settle, "add_refunds", dies)
            with pytest.raises(Died):
                told(the_payment(row.pk).reference)
        assert (Reservation.objects.get().state, rows()) == ("held", [])
        told(the_payment(row.pk).reference)
        assert (Reservation.objects.get().state, rows()) == ("confirmed", [("confirmed", "due")])

    def test_the_end_of_a_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, (ani, _) = sale_with_letters("ani", "budi")
        start(ani)
        come_due(sale)
        with monkeypatch.context() as patch:
            patch.setattr("flashsale.books.endings.describe_all_ended", dies)
            with pytest.raises(Died):
                reap(sale)
        assert (Reservation.objects.get().state, rows()) == ("held", [("held", "due")])
        dying(monkeypatch, expire, "give_back", lambda: reap(sale))
        assert (Reservation.objects.get().state, rows()) == ("expired", [("held", "due"), ("expired", "due")])

    def test_the_refund(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _, (ani, _) = sale_with_letters("ani", "budi")
        row = start(ani, method="card", instrument="token")
        cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
        monkeypatch.setattr(letter_rows, "insert", dies)
        with pytest.raises(Died):
            refund.refund_due()
        assert (Refund.objects.get().state, Notice.objects.filter(kind="refunded").count()) == ("due", 0)
        monkeypatch.undo()
        Refund.objects.update(next_look_at=timezone.now())
        refund.refund_due()
        assert (Refund.objects.get().state, Notice.objects.filter(kind="refunded").count()) == ("confirmed", 1)


def many_called(names: Sequence[str]) -> tuple[Sale, list[Shopper]]:
    """As `called`, with so many people that PostgreSQL has to give more indices on the way."""
    sale = lobby_sale(poco_campaign(channels=CHANNELS), stock={PHONE: len(names)}, rate_per_s=100_000)
    people = [Shopper(sale, name) for name in names]
    for at, person in enumerate(people):
        if at % 16 == 0:
            tend(sale)
        person.enter()
    open_now(sale)
    tend(sale)
    return sale, people


def test_a_batch_of_64_writes_all_its_letters_in_one_statement() -> None:
    names = [f"person-{number:02d}" for number in range(64)]
    counts = {}
    for letters_on in (False, True):
        sale, people = many_called(names)
        Channel.objects.update(order_letters=letters_on)
        held = [person.reserve().id for person in people]
        choice, channel = payment_choice(method="qris"), people[0].channel.id
        asked = [
            StartRequest(id_, channel, buyer(person.name), choice, None)
            for id_, person in zip(held, people, strict=True)
        ]
        started = [one for one in start_all(asked) if isinstance(one, Started)]
        references = [one.attempt.reference for one in started if one.attempt]
        shown = payments.Instructions("va", number="88")
        waiting = payments.Standing(StandingState.WAITING, "", Decimal(0), "IDR", None, shown)
        paid = payments.Standing(StandingState.PAID, "", Decimal(PRICE), "IDR")
        answers = [
            settle.Answer(reference, paid if at % 2 else waiting, held[at]) for at, reference in enumerate(references)
        ]
        with CaptureQueriesContext(connection) as queries:
            assert len(settle.settle_all(answers)) == len(names)
        counts[letters_on] = len(queries)
        written = [query["sql"] for query in queries if 'INSERT INTO "flashsale_notice"' in query["sql"]]
        if connection.vendor == "postgresql":
            assert len(written) == letters_on
        kinds = Notice.objects.filter(sale=sale).values_list("kind", flat=True)
        assert sorted(kinds) == (["confirmed"] * 32 + ["held"] * 32 if letters_on else [])
    if connection.vendor == "postgresql":
        assert counts[True] == counts[False] + 1


def test_a_letter_that_exists_keeps_no_money_from_its_order() -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    row = start(ani)
    Notice.objects.create(reservation=row, kind="confirmed", sale=row.sale, due_at=timezone.now())
    pay_elsewhere(row)
    assert Reservation.objects.get().state == "confirmed"
    assert Notice.objects.filter(kind="confirmed").count() == 1


def test_a_person_who_pays_at_once_gets_no_letter_about_how_to_pay() -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    row = start(ani)
    held = Notice.objects.get()
    attempt = the_payment(row.pk)
    assert (held.kind, held.about) == ("held", attempt.reference)
    assert held.due_at - attempt.made_at >= letter_rows.HELD_WAITS
    pay_elsewhere(row)
    Notice.objects.update(due_at=timezone.now())
    assert [notify.send_due(), notify.send_due()] == [1, 0]
    assert sorted(rows()) == [("confirmed", "sent"), ("held", "dropped")]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("held", {"state": "released", "ended_at": timezone.now()}),
        ("expired", {"state": "held"}),
        ("confirmed", {"state": "held"}),
    ],
)
def test_a_letter_that_is_no_longer_true_is_dropped(kind: str, change: dict[str, Any]) -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    row = start(ani)
    about = the_payment(row.pk).reference
    Notice.objects.all().delete()
    Notice.objects.create(reservation=row, kind=kind, sale=row.sale, due_at=timezone.now(), about=about)
    Reservation.objects.update(**change)
    assert notify.send_due() == 0
    assert (rows(), mail.outbox) == ([(kind, "dropped")], [])


def test_a_letter_about_another_way_to_pay_replaces_the_first_one() -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    row = start(ani)
    first = the_payment(row.pk)
    choice = payment_choice(method="qris", instrument="")
    bridge.run(confirm(reservation=row.pk, channel=row.channel_id, buyer=buyer("ani"), payment_choice=choice))
    second = the_payment(row.pk)
    assert first.reference != second.reference
    text = sent(kind="held").body
    assert "pindai kode QR" in text
    assert dict(Notice.objects.values_list("about", "state")) == {first.reference: "dropped", second.reference: "sent"}


def test_a_refund_that_is_too_much_money_gets_its_own_letter() -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    row = start(ani)
    over = payments.Standing(StandingState.PAID, "x", Decimal(PRICE + 500), "IDR")
    settle.settle_all([settle.Answer(the_payment(row.pk).reference, over, row.pk)])
    Refund.objects.update(state="sent")
    again = Refund.objects.select_related("attempt__reservation").get()
    for _ in range(2):
        with transaction.atomic():
            letter_rows.add_letters_of_refunds([again], timezone.now())
    text = sent(kind="refunded").body.replace("\xa0", " ")
    assert "Anda membayar lebih dari harganya. Pesanan Anda tetap berlaku." in text
    assert "Kami telah mengembalikan Rp 500 kepada Anda. Pengirimannya belum dipastikan." in text
    assert Notice.objects.filter(kind="refunded").count() == 1


class TestThePartner:
    """writes to its own buyers."""

    @pytest.fixture(autouse=True)
    def _quiet(self) -> Iterator[None]:
        yield
        assert not Notice.objects.filter(kind__in=Notice.ABOUT_ORDERS).exists()

    def test_that_opts_out_gets_no_letters_and_the_unpaid_are_forgotten_after_a_day(self) -> None:
        sale, (ani, budi) = called("ani", "budi")
        row = start(ani)
        pay_elsewhere(row)
        cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
        refund.refund_due()
        start(budi)
        end(sale)
        sweep_payments.settle_ended_holds()
        assert Contact.objects.count() == 2
        no_late_money()
        forget_contacts.forget_unneeded()
        assert set(Contact.objects.values_list("reservation", flat=True)) == {row.pk}
        assert not Notice.objects.exclude(kind="cancelled").exists()

    def test_that_charges_its_buyers_has_nothing_to_pay_elsewhere(self) -> None:
        channels = ({"code": "lazada", "name": "Lazada", "payment_accounts": "partner"},)
        _, (ani, _) = called("ani", "budi", campaign=poco_campaign(channels=channels))
        start(ani, method="partner", instrument="order-1")
        assert (Reservation.objects.get().state, rows()) == ("confirmed", [("confirmed", "due")])
        Notice.objects.all().delete()


def test_an_upgrade_begins_no_letters_to_the_buyers_of_partners() -> None:
    campaign = poco_campaign(channels=(*CHANNELS, {"code": "mi.com", "name": "mi.com", "kind": "own page"}))
    migration = import_module("flashsale.migrations.0027_order_letters")
    migration.partners_write_themselves(apps, SimpleNamespace(connection=connection))
    assert dict(campaign.channels.values_list("code", "order_letters")) == {"lazada": False, "mi.com": True}


def test_a_channel_that_opts_out_later_stops_the_letters_that_are_due() -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    start(ani, method="card", instrument="token")
    Channel.objects.update(order_letters=False)
    assert (notify.send_due(), rows(), mail.outbox) == (0, [("confirmed", "dropped")], [])


def test_a_hold_of_a_person_who_never_began_to_pay_ends_without_a_letter() -> None:
    sale, (ani, _) = sale_with_letters("ani", "budi")
    ani.reserve()
    end(sale)
    assert (Reservation.objects.get().state, rows(), Contact.objects.count()) == ("expired", [], 0)


def no_late_money() -> None:
    """A day has passed since the attempts ended, so no provider is asked about them any more."""
    PaymentAttempt.objects.filter(state="closed").update(settled_at=F("settled_at") - LATE_FOR)


class TestTheAddressOfAPersonWhoBoughtNothing:
    """is kept until the last letter is sent and no money of theirs can come any more, and no longer."""

    def _unpaid(self) -> Reservation:
        sale, (ani, _) = sale_with_letters("ani", "budi")
        row = start(ani)
        end(sale)
        sweep_payments.settle_ended_holds()
        assert the_payment(row.pk).state == "closed"
        assert Contact.objects.count() == 1
        return row

    def test_after_the_end_of_the_hold(self) -> None:
        row = self._unpaid()
        no_late_money()
        assert sent(kind="expired").to == ["ani@example.com"]
        assert (Contact.objects.count(), Reservation.objects.get(pk=row.pk).state) == (0, "expired")

    def test_also_if_the_process_died_before_it_was_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._unpaid()
        with monkeypatch.context() as patch:
            patch.setattr(notify, "forget_unneeded", lambda **_: 0)
            sent(kind="expired")
        assert forget_contacts.forget_unneeded() == 0, "money may still come"
        no_late_money()
        assert Contact.objects.count() == 1
        assert forget_contacts.forget_unneeded() == 1
        assert Contact.objects.count() == 0

    def test_while_money_that_came_late_goes_back(self) -> None:
        sale, (ani, _) = sale_with_letters("ani", "budi")
        row = start(ani)
        end(sale)
        Sale.objects.update(state="called_off")
        pay_elsewhere(row)
        assert (the_payment(row.pk).state, Contact.objects.count()) == ("late", 1)
        assert forget_contacts.forget_unneeded() == 0
        sent(kind="expired")
        assert Contact.objects.count() == 1
        refund.refund_due()
        letter = sent(kind="refunded")
        assert "Pembayaran Anda tiba setelah waktu bayar habis" in letter.body
        assert Contact.objects.count() == 0

    def test_a_week_longer_if_the_letter_failed(self, settings: Settings) -> None:
        self._unpaid()
        with mail_server(settings) as mails:
            mails.answers = {"RCPT": "550 unknown"}
            notify.send_due()
        assert Notice.objects.get(kind="expired").state == "failed"
        assert forget_contacts.forget_unneeded() == 0
        past = timezone.now() - forget_contacts.FAILED_LETTERS_WAIT - timedelta(seconds=1)
        Notice.objects.update(due_at=past)
        Notice.objects.filter(kind="held").update(state="dropped")
        no_late_money()
        assert forget_contacts.forget_unneeded() == 1


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    with mail_server(settings) as server:
        yield server


def test_many_letters_share_a_conversation_and_a_failure_ends_only_its_own(mails: MailServer) -> None:
    _, people = called("ani", "budi", "citra", campaign=poco_campaign(channels=CHANNELS), stock=3)
    for person in people:
        start(person, method="card", instrument=person.name)
    mails.answers = {"RCPT": "450 later"}
    assert notify.send_due() == 0
    assert set(Notice.objects.values_list("state", "failure", "attempts")) == {("due", "try_later", 1)}
    mails.answers = {}
    Notice.objects.update(due_at=timezone.now())
    assert [notify.send_due(), notify.send_due()] == [3, 0]
    assert sorted(str(got["To"]) for got in mails.letters) == [
        f"{name}@example.com" for name in ("ani", "budi", "citra")
    ]
    assert {got.get_content_type() for got in mails.letters} == {"multipart/alternative"}


def test_a_crash_after_the_answer_of_the_mail_server_is_the_only_way_to_a_second_letter(
    mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    start(ani, method="card", instrument="token")
    with monkeypatch.context() as patch:
        patch.setattr(notify, "compose", dies)
        patch.setattr(notify, "failure_of", dies)
        with pytest.raises(Died):
            notify.send_due()
    assert (len(mails.letters), rows()) == (0, [("confirmed", "due")])
    with monkeypatch.context() as patch:
        patch.setattr(notify, "_forget_contact", dies)
        with pytest.raises(Died):
            notify.send_due()
    assert (len(mails.letters), rows()) == (1, [("confirmed", "due")])
    assert [notify.send_due(), notify.send_due()] == [1, 0]
    assert len({got["Message-ID"] for got in mails.letters}) == 1


def test_a_letter_that_failed_is_sent_again_to_the_address_that_a_person_corrects(mails: MailServer) -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    start(ani, method="card", instrument="token")
    mails.answers = {"RCPT": "550 unknown"}
    assert (notify.send_due(), rows()) == (0, [("confirmed", "failed")])
    notify_again.correct_address(notice=Notice.objects.get(), email="ani.baru@example.com", by="staff")
    mails.answers = {}
    assert (notify.send_due(), rows()) == (1, [("confirmed", "sent")])
    notify_again.send_again(notice=Notice.objects.get(), by="staff")
    assert (notify.send_due(), mails.recipients) == (1, ["ani.baru@example.com"] * 2)


class ServiceRefuses(OSError):
    """As django-anymail raises for the answer of a mail service."""

    status_code = 0


class AnymailRecipientsRefused(Exception):
    """As django-anymail raises when the service takes the letter for no recipient."""


@pytest.mark.parametrize(
    ("status", "state", "failure"),
    [(429, "due", "try_later"), (503, "due", "try_later"), (401, "due", "not_accepted"), (None, "failed", "refused")],
)
def test_the_answer_of_a_mail_service_says_whether_a_letter_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, status: int | None, state: str, failure: str
) -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    start(ani, method="card", instrument="token")
    error: Exception = AnymailRecipientsRefused("ani@example.com")
    if status is not None:
        error = ServiceRefuses("ani@example.com")
        error.status_code = status

    def refuse(*_: Any, **__: Any) -> int:
        raise error

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    assert notify.send_due() == 0
    assert Notice.objects.values_list("state", "failure").get() == (state, failure)


def test_a_row_and_a_log_of_a_letter_have_nothing_of_the_buyer(caplog: Any, mails: MailServer) -> None:
    _, (ani, _) = sale_with_letters("ani", "budi")
    start(ani, method="card", instrument="token")
    mails.answers = {"RCPT": "550 <ani@example.com> of Jl. Melati 5"}
    notify.send_due()
    row = str(Notice.objects.values().get())
    assert [word for word in CANARY if word in row + caplog.text] == []
