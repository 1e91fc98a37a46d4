"""A day that is over has a file for each sale and channel. It never changes, and agrees with the books to the unit."""

import hashlib
import json
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Sum
from django.utils import timezone

from flashsale.books.events import Horizon
from flashsale.gate import bridge
from flashsale.life import audit, cancel, erase, refund, settlement
from flashsale.life.receipt import public_keys
from flashsale.life.release import release
from flashsale.life.settle import settle
from flashsale.life.status import status
from flashsale.models import (
    Campaign,
    Event,
    PaymentAttempt,
    Refund,
    Reservation,
    Sale,
    Settlement,
    SettlementDay,
    SettlementLine,
)
from flashsale.providers import payments
from flashsale.rules import receipts
from flashsale.rules.states import RefundState, ReservationState, StandingState
from tests import guard
from tests.factories import PHONE, Shopper, card_of, end_now, lobby_sale, move_opening, tend
from tests.faults.steps import buy
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
PRICE = 1_799_000
# 17:00 UTC is midnight in Jakarta.
MIDNIGHT = datetime(2026, 11, 28, 17, tzinfo=UTC)
TODAY = date(2026, 11, 28)


@pytest.fixture
def sale() -> Sale:
    """Four people in two channels, of whom three have bought and one holds a unit."""
    sale = lobby_sale(stock={PHONE: 5}, channels=("lazada", "akulaku"), max_entries=500)
    names = {"ani": "lazada", "budi": "lazada", "citra": "akulaku", "dodi": "akulaku"}
    people = [Shopper(sale, name, channel=channel) for name, channel in names.items()]
    for person in people:
        person.enter()
    move_opening(sale)
    for _drawn_then_called in range(2):
        tend(sale)
    for person in people[:3]:
        buy(person)
    people[3].reserve()
    happened(MIDNIGHT - timedelta(hours=1))
    return sale


def happened(at: datetime, **which: Any) -> None:
    """Moves events to a time."""
    Event.objects.filter(**which).update(at=at)


def lines(**which: Any) -> list[tuple[Any, ...]]:
    """The lines of files, in the order of the files: type, units, amount, paid, refunded."""
    rows = SettlementLine.objects.filter(**which).order_by("settlement__date", "event")
    return [
        (row.type, row.units, row.amount, int(row.paid), int(row.refunded)) for row in rows
    ]  # fmt: skip


def contents() -> dict[tuple[str, str, str], str]:
    """All files in both forms, by channel and day."""
    return {
        (file.channel.code, str(file.date), form): "".join(settlement.content(file, form))
        for file in settlement.own_files()
        for form in ("csv", "json")
    }


def total(name: str) -> Decimal:
    return SettlementLine.objects.aggregate(total=Sum(name))["total"] or Decimal(0)


def agrees_with_status_and_books(sale: Sale) -> None:
    """The sums of all files are the units that the status calls sold, the orders, the payments and the refunds."""
    card = card_of(sale)
    sold = sum(bridge.run(status(card=card, line=line))["sold"] for line in card.lines)
    orders = Reservation.objects.filter(state=ReservationState.CONFIRMED)
    money = PaymentAttempt.objects.filter(state__in=settlement.WITH_US)
    refunds = Refund.objects.filter(state=RefundState.CONFIRMED)
    assert total("units") == sold == orders.aggregate(all=Sum("quantity"))["all"]
    assert total("amount") == orders.aggregate(all=Sum("amount"))["all"]
    assert total("paid") == money.aggregate(all=Sum("paid"))["all"]
    assert total("refunded") == (refunds.aggregate(all=Sum("amount"))["all"] or 0)
    broken = [one for one in audit.audit(campaign=sale.campaign.code) if one.verdict is audit.Verdict.BROKEN]
    assert broken == []


def over(sale: Sale) -> Campaign:
    """The campaign when the sale has ended and nothing is held."""
    held = Reservation.objects.get(state=ReservationState.HELD)
    release(reservation=held.pk, channel=held.channel_id)
    return end_now(sale).campaign


BOUGHT = [("payment.paid", 0, 0, PRICE, 0), ("reservation.confirmed", 1, PRICE, 0, 0)]


def test_a_day_that_is_over_has_a_file_for_each_channel_with_what_was_sold_and_paid(sale: Sale) -> None:
    assert settlement.make_due(now=MIDNIGHT + settlement.MADE_AFTER - timedelta(seconds=1)) == 0
    assert settlement.make_due(now=MIDNIGHT + settlement.MADE_AFTER) == 1
    files = {file.channel.code: file for file in settlement.own_files()}
    assert {code: (file.date, file.lines, file.totals) for code, file in files.items()} == {
        "lazada": (TODAY, 4, {"IDR": {"units": 2, "amount": 2 * PRICE, "paid": 2 * PRICE, "refunded": 0, "fee": 0}}),
        "akulaku": (TODAY, 2, {"IDR": {"units": 1, "amount": PRICE, "paid": PRICE, "refunded": 0, "fee": 0}}),
    }
    assert lines(settlement=files["lazada"]) == BOUGHT * 2
    assert lines(settlement=files["akulaku"]) == BOUGHT
    agrees_with_status_and_books(sale)


@pytest.mark.usefixtures("sale")
def test_a_file_shows_its_lines_and_sums_as_csv_and_as_json() -> None:
    settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    file = settlement.own_files().get(channel__code="akulaku")
    order = Reservation.objects.get(channel__code="akulaku", state="confirmed")
    attempt = PaymentAttempt.objects.get(reservation=order)
    events = list(Event.objects.filter(reservation=order, type__in=["payment.paid", "reservation.confirmed"]))
    paid_at = attempt.settled_at.astimezone(order.sale.campaign.zone).isoformat(timespec="milliseconds")
    same = {
        "at": "2026-11-28T23:00:00.000+07:00", "line": "akulaku", "reservation": str(order.pk), "partner_reference": "",
        "payment": attempt.reference, "method": "qris", "paid_at": paid_at, "refund": "", "refunded": 0, "fee": 0,
        "currency": "IDR",
    }  # fmt: skip
    assert json.loads("".join(settlement.content(file, "json"))) == {
        "sale": order.sale.code, "channel": "akulaku", "date": "2026-11-28", "time_zone": "Asia/Jakarta", "version": 1,
        "lines": [
            same | {"event": events[0].pk, "type": "payment.paid", "units": 0, "amount": 0, "paid": PRICE},
            same | {"event": events[1].pk, "type": "reservation.confirmed", "units": 1, "amount": PRICE, "paid": 0},
        ],
        "totals": file.totals,
    }  # fmt: skip
    head, *rows = "".join(settlement.content(file, "csv")).split("\r\n")
    assert head == (
        "event,at,type,line,reservation,partner_reference,units,amount,payment,method,paid_at,paid,refund,refunded,"
        "fee,currency"
    )
    assert rows[1] == (
        f"{events[1].pk},2026-11-28T23:00:00.000+07:00,reservation.confirmed,akulaku,{order.pk},,1,{PRICE},"
        f"{attempt.reference},qris,{paid_at},0,,0,0,IDR"
    )
    assert rows[2:] == [""]


def test_a_later_change_is_a_line_of_its_day_and_no_file_of_an_earlier_day_changes(sale: Sale) -> None:
    settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    before = contents()
    order = Reservation.objects.filter(channel__code="lazada", state="confirmed").earliest("made_at")
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    refund.refund_due()
    assert Refund.objects.get().state == "confirmed"
    happened(MIDNIGHT + timedelta(hours=2), pk__gt=SettlementDay.objects.get().upto)
    assert settlement.make_due(now=MIDNIGHT + timedelta(hours=20)) == 0
    assert settlement.make_due(now=MIDNIGHT + timedelta(hours=25)) == 1
    after = contents()
    assert {key: text for key, text in after.items() if key in before} == before
    assert {key[:2] for key in after.keys() - before.keys()} == {("lazada", "2026-11-29")}
    assert lines(settlement__date="2026-11-29") == [
        ("reservation.cancelled", -1, -PRICE, 0, 0), ("refund.confirmed", 0, 0, 0, PRICE),
    ]  # fmt: skip
    row = SettlementLine.objects.get(type="refund.confirmed")
    assert (row.refund, row.payment) == (Refund.objects.get().reference, order.attempts.get().reference)
    agrees_with_status_and_books(sale)


def test_an_event_that_was_committed_after_its_day_was_cut_stands_in_the_next_file(
    sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = Event.objects.filter(type="reservation.confirmed").latest("pk").pk - 1
    with monkeypatch.context() as patch:
        patch.setattr(settlement, "horizon", lambda: Horizon(last, last + 10))
        assert settlement.make_due(now=MIDNIGHT + timedelta(hours=1)) == 1
    before = contents()
    assert settlement.make_due(now=MIDNIGHT + timedelta(hours=1)) == 0
    assert settlement.make_due(now=MIDNIGHT + timedelta(hours=25)) == 1
    late = SettlementLine.objects.get(settlement__date="2026-11-29")
    assert (late.type, late.event, late.at) == ("reservation.confirmed", last + 1, MIDNIGHT - timedelta(hours=1))
    assert {key: text for key, text in contents().items() if key in before} == before
    agrees_with_status_and_books(sale)


def test_days_that_were_missed_are_made_one_after_the_other(sale: Sale) -> None:
    happened(MIDNIGHT + timedelta(minutes=1), reservation__channel__code="akulaku")
    # The order of ids is not that of the days.
    assert settlement.make_due(now=MIDNIGHT + timedelta(days=40)) == 2
    found = {(file.channel.code, str(file.date)): file.lines for file in settlement.own_files()}
    assert found == {("lazada", "2026-11-28"): 4, ("akulaku", "2026-11-29"): 2}
    assert settlement.make_due(now=MIDNIGHT + timedelta(days=40)) == 0
    agrees_with_status_and_books(sale)


def test_money_that_a_provider_takes_back_and_pays_again_is_noted_each_time(sale: Sale) -> None:
    settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    attempt = PaymentAttempt.objects.filter(reservation__channel__code="akulaku").get(state="paid")
    for state, paid in (("reversed", PRICE), ("paid", PRICE), ("paid", PRICE + 5)):
        standing = payments.Standing(StandingState(state), paid=Decimal(paid), currency="IDR", provider_id="p")
        bridge.run(settle(reference=attempt.reference, standing=standing))
    happened(MIDNIGHT + timedelta(hours=2), pk__gt=SettlementDay.objects.get().upto)
    settlement.make_due(now=MIDNIGHT + timedelta(days=2))
    assert lines(settlement__date="2026-11-29") == [
        ("payment.reversed", 0, 0, -PRICE, 0), ("payment.paid", 0, 0, PRICE + 5, 0),
    ]  # fmt: skip
    assert total("paid") == 3 * PRICE + 5
    agrees_with_status_and_books(sale)


@pytest.mark.usefixtures("sale")
def test_a_file_is_signed_with_the_key_that_signs_receipts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    file = settlement.own_files().get(channel__code="lazada")
    signed = settlement.signature(file)
    assert signed == settlement.signature(file)
    keys, seal = tmp_path / "keys", tmp_path / "seal"
    keys.write_text(json.dumps(public_keys()))
    seal.write_text(json.dumps(signed))
    for form in ("csv", "json"):
        text = "".join(settlement.content(file, form)).encode()
        assert signed["settlement"][form] == hashlib.sha256(text).hexdigest()
        there = tmp_path / form
        there.write_bytes(text)
        assert receipts.main(["verify-file", str(there), str(seal), str(keys)]) == 0
        there.write_bytes(text.replace(b"IDR", b"USD"))
        assert receipts.main(["verify-file", str(there), str(seal), str(keys)]) == 1
    # A signature for another purpose is none.
    signed["receipt"] = signed["settlement"]
    assert not receipts.verify(signed, public_keys())
    assert receipts.main(["verify-file", str(tmp_path / "none"), str(seal), str(keys)]) == 2
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["line", "order", "payment"])
def test_the_audit_finds_a_file_or_a_row_that_was_changed(sale: Sale, fault: str) -> None:
    settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    if fault == "line":
        with guard.taken_off() as sql:
            sql.execute("UPDATE flashsale_settlementline SET paid = 1 WHERE type = 'payment.paid'")
    elif fault == "order":
        Reservation.objects.filter(state="held").update(state="confirmed", confirmed_at=timezone.now())
    else:
        PaymentAttempt.objects.filter(reservation__channel__code="akulaku").update(paid=PRICE + 1)
    found = {one.title: one.broken for one in audit.audit(campaign=sale.campaign.code)}[audit.SETTLEMENTS]
    assert found
    assert ("has changed" in found[0]) == (fault == "line")


def test_the_database_itself_refuses_to_change_a_line_except_to_empty_its_reference(sale: Sale) -> None:
    Reservation.objects.update(partner_reference="budi@example.com")
    settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    rows = SettlementLine.objects.order_by("event")
    before = list(rows.values())
    other = rows.values_list("event", flat=True)[0]
    changes: list[Any] = [
        lambda: rows.update(paid=1),
        lambda: rows.update(paid_at=None, partner_reference=""),
        lambda: rows.update(partner_reference="another"),
        lambda: rows.update(event=F("event") + 1000, partner_reference=""),
        rows.delete,
        lambda: rows.filter(pk=other).delete(),
    ]
    if connection.vendor == "postgresql":
        changes.append(lambda: connection.cursor().execute("TRUNCATE flashsale_settlementline"))
    for change in changes:
        with pytest.raises(DatabaseError, match="settlement_lines_append_only"), transaction.atomic():
            change()
        assert list(rows.values()) == before
    assert rows.filter(pk=other).update(partner_reference="") == 1
    assert list(rows.values())[1:] == before[1:]
    assert rows.get(pk=other).partner_reference == ""


def test_the_erasure_of_a_campaign_empties_what_partners_typed_and_the_files_are_signed_again(sale: Sale) -> None:
    Reservation.objects.update(partner_reference="budi@example.com")
    settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    before, told = contents(), list(Settlement.objects.order_by("pk").values("lines", "totals"))
    assert all("budi@example.com" in text for text in before.values())
    counts = erase.erase(campaign=over(sale))
    assert counts["references in settlements"] == 6
    after = contents()
    assert {key: text.replace("budi@example.com", "") for key, text in before.items()} == after
    assert list(Settlement.objects.order_by("pk").values("lines", "totals")) == told
    for file in settlement.own_files():
        signed = settlement.signature(file)
        for form in ("csv", "json"):
            text = "".join(settlement.content(file, form)).encode()
            assert receipts.verify_file(text, signed, public_keys())
    assert not {one.title: one.broken for one in audit.audit(campaign=sale.campaign.code)}[audit.SETTLEMENTS]
    assert settlement.forget_references(sale.campaign) == 0


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
@pytest.mark.parametrize("guarded", [False, True])
def test_no_file_is_made_while_its_campaign_is_being_erased(
    sale: Sale, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Reservation.objects.update(partner_reference="budi@example.com")
    real = settlement.forget_references

    def another_process_makes_files(campaign: Campaign) -> int:
        emptied = real(campaign)
        assert at_once([lambda: settlement.make_due(now=MIDNIGHT + timedelta(hours=1))]) == [0 if guarded else 1]
        return emptied

    monkeypatch.setattr(settlement, "forget_references", another_process_makes_files)
    if not guarded:
        monkeypatch.setattr(erase, "advisory_lock", lambda *_, **__: nullcontext())
    erase.erase(campaign=over(sale))
    assert settlement.make_due(now=MIDNIGHT + timedelta(hours=1)) == (1 if guarded else 0)
    assert {row.partner_reference for row in SettlementLine.objects.all()} == {"" if guarded else "budi@example.com"}


@pytest.mark.usefixtures("sale")
def test_a_day_whose_making_died_is_made_whole_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(file: Settlement) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(settlement, "_seal", dies)
        with pytest.raises(SystemExit):
            settlement.make_due(now=MIDNIGHT + timedelta(hours=1))
    assert (SettlementDay.objects.count(), Settlement.objects.count(), SettlementLine.objects.count()) == (0, 0, 0)
    assert settlement.make_due(now=MIDNIGHT + timedelta(hours=1)) == 1
    assert SettlementLine.objects.count() == 6
