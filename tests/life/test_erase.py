"""Erasing a campaign's people: refused while they may need it, whole when it happens, and the books balance after."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from flashsale.gate import sale_cards
from flashsale.life import audit, erase, fairness_report, inbox, notify, retention, review, schedule, webhooks
from flashsale.life.appeal import waive
from flashsale.life.refund import refund_due
from flashsale.models import (
    Campaign,
    Case,
    Contact,
    Delivery,
    FairnessReport,
    Inbox,
    LimitSlot,
    Record,
    Refund,
    Reservation,
    Sale,
    Trait,
)
from flashsale.rules.identity import Axis
from tests.factories import PHONE, Shopper, draft_sale, end_now, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import buy, dying, the_payment
from tests.privacy.canary import in_books

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


@pytest.fixture
def over() -> Sale:
    """A sale that is over, with a ring of four behind one tablet, all with contacts; nothing is cancelled."""
    sale = lobby_sale(poco_campaign(), stock={PHONE: 5})
    people = [Shopper(sale, f"person-{n}") for n in range(5)]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    for person in people:
        buy(person, device="the reseller's tablet" if person is not people[0] else "a phone of one's own")
    return end_now(sale)


@pytest.fixture
def cancelled(over: Sale, django_user_model: Any) -> Case:
    """One of its orders, cancelled by two people; the letter is sent."""
    sari, tono = (django_user_model.objects.create_user(name) for name in ("sari", "tono"))
    review.execute(run=review.start(sale=over).pk)
    for case in Case.objects.order_by("pk")[1:]:
        review.dismiss(case=case, by=sari)
    case = Case.objects.order_by("pk")[0]
    review.propose(case=case, code="one_person_many_identities", by=sari)
    review.approve(case=case, by=tono)
    notify.send_due()
    return Case.objects.get(pk=case.pk)


def final(case: Case) -> Campaign:
    """Its campaign, when the buyer has given up the appeal and has the money back."""
    waive(case=case)
    refund_due()
    return case.reservation.sale.campaign


def reasons(campaign: Campaign) -> list[str]:
    """Why it is refused, and that then nothing changes."""
    before = in_books()
    with pytest.raises(erase.CannotEraseYet) as refused:
        erase.erase(campaign=campaign)
    assert in_books() == before
    return list(map(str, refused.value.args))


def _traces() -> list[str]:
    """What the evidence shows of digests: four digits, too few to look for in everything else."""
    return [shared.get("trace", "") for case in Case.objects.all() for shared in case.evidence["shared"]]


def test_it_is_refused_while_a_sale_is_to_come_or_open() -> None:
    sale = lobby_sale(poco_campaign())
    draft = draft_sale(sale.campaign)
    closes = sale.closes_at.isoformat(timespec="minutes")
    assert reasons(sale.campaign) == [
        f"the sale {sale.code} is not over (it closes at {closes})",
        f"the sale {draft.code} is a draft: run it, or delete it",
    ]


def test_it_is_refused_while_somebody_has_still_to_decide_or_may_appeal(cancelled: Case) -> None:
    campaign = cancelled.reservation.sale.campaign
    until = cancelled.cancellation.appeal_until.isoformat(timespec="minutes")
    assert reasons(campaign) == ["1 payments are not settled", f"appeals are possible until {until}"]
    open_one = review.open_case(reservation=Reservation.objects.filter(case=None)[0])
    assert "1 cases are not decided" in reasons(campaign)
    review.dismiss(case=open_one, by=cancelled.decided_by)
    final(cancelled)
    assert erase.obstacles(campaign=campaign) == []


def test_nothing_of_anybody_is_left_and_the_books_balance(cancelled: Case, gate: Any, admin_client: Client) -> None:
    campaign = final(cancelled)
    salt = bytes(campaign.salt).decode("latin-1")
    assert salt in in_books().decode()
    digests = {*LimitSlot.objects.values_list("digest", flat=True), *Trait.objects.values_list("digest", flat=True)}
    assert any(_traces())
    keys = set(Reservation.objects.values_list("asked", flat=True))
    assert len(digests) == 12
    hook = webhooks.make(channel=cancelled.reservation.channel_id, url="https://shop.example/", types=[], by="shell")
    webhooks.send_test(webhook=hook)
    Delivery.objects.update(answer='{"got": {"metadata": {"who": "person-ani"}}}')
    mail.outbox.clear()
    counts = erase.erase(campaign=campaign)
    assert counts == {
        "notifications": 0, "bank accounts": 0, "contacts": 5, "traits": 15, "limit slots": 8, "unpaid holds": 0,
        "listed people": 0, "values on review lists": 0,
        "notes on cases": 0, "partner calls": 0, "request keys": 5, "references in settlements": 0,
        "traces in evidence": 4,
    }  # fmt: skip
    left = in_books().decode()
    assert [found for found in {*digests, *keys, salt, "person-"} if found in left] == []
    assert not any(_traces())
    campaign.refresh_from_db()
    assert bytes(campaign.salt) == b""
    assert [key for key in gate.scan_iter("fs:{*") if b":pace:" not in key and b":tick:" not in key] == []
    assert {finding.broken for finding in audit.audit(campaign=campaign.code)} == {()}
    for page in (f"case/{cancelled.pk}", f"reservation/{cancelled.reservation_id}", f"campaign/{campaign.pk}"):
        assert admin_client.get(f"/admin/flashsale/{page}/change/").status_code == 200
    told = Record.objects.get(what="erase")
    assert (told.who, told.campaign, json.loads(told.facts)) == ("shell", campaign, counts)


def test_what_providers_told_of_its_payments_and_refunds_goes_with_its_people(cancelled: Case) -> None:
    """A notification may name the account that paid, or its owner."""
    campaign = final(cancelled)
    names = [the_payment(cancelled.reservation_id).reference, Refund.objects.get().reference, "of-another-campaign"]
    told = b'{"payer_name": "person-0", "payer_account_number": "+62811000777"}'
    inbox.store(account="demo", references=names, body=told, headers={})
    assert reasons(campaign) == ["2 notifications of payment providers are not read"]
    Inbox.objects.update(done_at=timezone.now(), next_look_at=None)
    assert erase.erase(campaign=campaign)["notifications"] == 2
    assert list(Inbox.objects.values_list("reference", flat=True)) == ["of-another-campaign"]


def test_the_last_fairness_report_stays_as_it_was(cancelled: Case) -> None:
    campaign = final(cancelled)
    sale = campaign.sales.get()
    erase.erase(campaign=campaign)
    told = fairness_report.report(sale=Sale.objects.get(pk=sale.pk))
    spread = {row["axis"]: row["bought"] for row in told["concentration"]}
    assert spread["device"] == {"holders": 2, "largest": 4, "gini": 0.3}
    FairnessReport.objects.update(made_at=timezone.now() - timedelta(days=1))
    assert fairness_report.report(sale=Sale.objects.get(pk=sale.pk)) == told


def test_doing_it_again_changes_nothing(cancelled: Case) -> None:
    campaign = final(cancelled)
    assert erase.erase(campaign=campaign)
    after = in_books()
    campaign.refresh_from_db()
    assert erase.erase(campaign=campaign) == {}
    assert erase.erase(campaign=Campaign.objects.get(pk=campaign.pk)) == {}
    assert in_books() == after


def test_an_erasure_that_dies_in_between_is_finished_by_the_next_process(
    cancelled: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = final(cancelled)
    dying(monkeypatch, sale_cards, "erase_sale", lambda: erase.erase(campaign=campaign))
    dying(monkeypatch, erase, "without_traces", lambda: erase.erase(campaign=campaign))
    campaign.refresh_from_db()
    assert (campaign.erased_at, Contact.objects.count(), LimitSlot.objects.count() > 0) == (None, 5, True)
    assert erase.erase(campaign=campaign)["contacts"] == 5
    assert {finding.broken for finding in audit.audit(campaign=campaign.code)} == {()}


def test_an_erased_campaign_sells_nothing_more(cancelled: Case) -> None:
    campaign = final(cancelled)
    erase.erase(campaign=campaign)
    draft = draft_sale(Campaign.objects.get(pk=campaign.pk))
    with pytest.raises(ValidationError, match="kampanye baru"):
        schedule.put_on_list(line=draft.allocations.get(), people=[(Axis.PHONE, "081298765432")])
    with pytest.raises(ValidationError, match="kampanye baru"):
        schedule.publish(sale=draft)
    with pytest.raises(IntegrityError, match="erased_without_salt"), transaction.atomic():
        Campaign.objects.filter(pk=campaign.pk).update(salt=b"x" * 16)


def test_the_schedule_waits_until_the_retention_is_over(cancelled: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = final(cancelled)
    assert erase.erase_due() == []
    monkeypatch.setattr(erase, "ERASE_AFTER", timedelta(0))
    blocked = lobby_sale(poco_campaign())
    assert erase.erase_due() == [campaign.code]
    assert erase.erase_due() == []
    assert Record.objects.get(what="erase").who == "clock"
    assert Campaign.objects.get(pk=blocked.campaign_id).erased_at is None


def test_the_command_counts_first_and_says_what_stands_in_the_way(cancelled: Case, capsys: Any) -> None:
    code = cancelled.reservation.sale.campaign.code
    for dry in (True, False):
        with pytest.raises(
            CommandError, match="cannot be erased yet: 1 payments are not settled; appeals are possible"
        ):
            call_command("erase", code, dry_run=dry)
    assert "contacts: 5" in capsys.readouterr().out
    assert Contact.objects.count() == 5
    final(cancelled)
    call_command("erase", code, dry_run=True, json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["erased_at"], told["rows"]["contacts"], told["obstacles"]) == (None, 5, [])
    call_command("erase", code)
    assert "erased at" in capsys.readouterr().out
    with pytest.raises(CommandError, match="There is no campaign"):
        call_command("erase", "nothing")


def test_contacts_past_their_clock_go_before_the_rest(over: Sale) -> None:
    Contact.objects.update(keep_until=timezone.now() - timedelta(seconds=1))
    assert retention.forget_due() == 5
