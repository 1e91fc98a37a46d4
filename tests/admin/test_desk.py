"""Dry runs, new rule sets that leave the old ones unchanged, and approvals that can be undone."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import review
from flashsale.models import (
    Cancellation,
    Case,
    Notice,
    PublishedRuleSet,
    Record,
    Reservation,
    ReviewRun,
    RuleSetChanged,
    Sale,
)
from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES, parse_any_rule_set
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, parse_rule_set
from tests.admin.forms import action_links, messages_on, submit
from tests.admin.orders import buy, cases
from tests.factories import PHONE, draft_sale, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
REASON = "one_person_many_identities"


@pytest.fixture
def sold_sale() -> Sale:
    """Three orders from one device, in a campaign whose approvals can be undone for 600 s."""
    sale = lobby_sale(poco_campaign(undo_s=600), stock={PHONE: 4})
    buy(sale, ["ani", "budi", "citra"], device="one")
    return sale


def _stricter() -> PublishedRuleSet:
    return PublishedRuleSet.make(parse_rule_set(DEFAULT_RULE_SET.published() | {"threshold": 61}))


def test_a_dry_run_counts_the_flagged_orders_and_opens_no_case(sold_sale: Sale, bob: Client) -> None:
    (url,) = action_links(bob.get(reverse("admin:flashsale_sale_change", args=[sold_sale.pk])), "try-out")
    other = _stricter()
    for rules, flagged in ((sold_sale.rules, 3), (other, 0)):
        page = submit(bob, url, rules=rules.pk)
        assert messages_on(page) == ["The dry run has begun."]
        run = ReviewRun.objects.latest("asked_at")
        assert page["Refresh"] == "3", "the page of an unfinished run reloads itself"
        review.execute(run=run.pk)
        run.refresh_from_db()
        assert (run.dry, run.rules, run.summary["orders"], run.summary["flagged"]) == (True, rules, 3, flagged)
        assert sum(run.summary["scores"]) == 3
        assert run.summary["homes"]["one"] == [3, flagged]
    shown = bob.get(reverse("admin:flashsale_reviewrun_change", args=[run.pk]))
    assert "Flagged orders by household" in shown.content.decode()
    assert not Case.objects.exists()


def test_a_review_uses_the_rules_that_the_sale_was_published_with(sold_sale: Sale) -> None:
    newer = _stricter()
    assert PublishedRuleSet.newest() == newer
    review.execute(run=review.start(sale=sold_sale).pk)
    assert {case.rules_hash for case in cases()} == {sold_sale.rules.hash} != {newer.hash}
    assert len(cases()) == 3


def test_an_approval_can_be_undone_until_it_is_carried_out(sold_sale: Sale, bob: Client, carol: Client) -> None:
    review.execute(run=review.start(sale=sold_sale).pk)
    case = cases()[0]
    for client, action, typed in ((bob, "propose", {"reason": REASON}), (carol, "approve", {})):
        (url,) = action_links(client.get(reverse("admin:flashsale_case_change", args=[case.pk])), action)
        page = submit(client, url, **typed)
    assert "can be undone" in messages_on(page)[0]
    assert review.carry_out_due() == 0
    assert (Reservation.objects.get(pk=case.reservation_id).state, Notice.objects.count()) == ("confirmed", 0)
    assert Reservation.objects.get(pk=case.reservation_id).do_not_ship
    (url,) = action_links(bob.get(reverse("admin:flashsale_case_change", args=[case.pk])), "undo")
    assert messages_on(submit(bob, url)) == ["Undone: the case is open again."]
    case.refresh_from_db()
    assert (case.state, case.reason, case.proposed_by, case.decided_by, case.due_at) == ("open", "", None, None, None)
    decisions = Record.objects.exclude(what__startswith="read_").order_by("position")
    assert list(decisions.values_list("what", flat=True))[-3:] == [
        "propose", "approve", "undo",
    ]  # fmt: skip


def test_an_approval_is_carried_out_once_when_the_time_to_undo_is_over(
    sold_sale: Sale, bob: Client, carol: Client
) -> None:
    review.execute(run=review.start(sale=sold_sale).pk)
    staff = [client.get("/admin/").wsgi_request.user for client in (bob, carol)]
    first, second, _ = cases()
    for case in (first, second):
        review.propose(case=case, code=REASON, by=staff[0])
        review.approve(case=case, by=staff[1])
    Case.objects.filter(state="approved").update(due_at=timezone.now() - timedelta(seconds=1))
    Reservation.objects.filter(pk=second.reservation_id).update(state="cancelled", ended_at=timezone.now())
    assert [review.carry_out_due(), review.carry_out_due()] == [1, 0]
    assert [Case.objects.get(pk=case.pk).state for case in (first, second)] == ["cancelled", "dismissed"]
    assert Cancellation.objects.get().reservation_id == first.reservation_id
    assert Notice.objects.count() == 1


def test_new_rules_become_a_new_set_and_the_audit_trail_says_who_made_it(bob: Client) -> None:
    first = PublishedRuleSet.newest()
    url = reverse("admin:flashsale_publishedruleset_add")
    content = json.dumps(DEFAULT_RULE_SET.published() | {"threshold": 70})
    submit(bob, url, content=content, note="fewer false alarms")
    made = PublishedRuleSet.newest()
    assert (made.version, made.note, made.made_by.username, made.read().threshold) == (
        first.version + 1, "fewer false alarms", "bob", 70,
    )  # fmt: skip
    assert Record.objects.get(what="rules").facts == f'{{"number":{made.version},"rules":"{made.hash}"}}'
    for broken in (content, "{}", json.dumps(DEFAULT_RULE_SET.published() | {"threshold": 0})):
        assert submit(bob, url, content=broken).context["errors"]
    assert PublishedRuleSet.objects.count() == 2
    assert bob.get(reverse("admin:flashsale_publishedruleset_change", args=[made.pk])).status_code == 200


def test_a_rule_set_that_was_changed_in_the_database_is_refused() -> None:
    rules = PublishedRuleSet.newest()
    with pytest.raises(RuleSetChanged):
        rules.save()
    PublishedRuleSet.objects.filter(pk=rules.pk).update(content=rules.content | {"threshold": 1})
    with pytest.raises(RuleSetChanged):
        PublishedRuleSet.objects.get().read()


def test_a_draft_takes_the_newest_rules_when_it_is_published_and_keeps_them() -> None:
    draft = draft_sale()
    newer = _stricter()
    assert draft.rules is None
    assert lobby_sale().rules == newer


@pytest.mark.parametrize(("language", "words"), [("en", "Points for a linked group"), ("id", "Poin untuk kelompok")])
def test_the_sales_page_links_to_its_rules_before_the_sale(client: Client, language: str, words: str) -> None:
    sale = lobby_sale(channels=("mi.com",))
    assert 'href="rules"' in client.get(f"/s/{sale.code}/").content.decode()
    page = client.get(f"/s/{sale.code}/rules", headers={"accept-language": language}).content.decode()
    assert words in page
    assert sale.rules is not None
    assert sale.rules.hash in page
    response = client.get(f"/v1/sales/{sale.code}/rules").json()
    assert response == {"number": sale.rules.version, "hash": sale.rules.hash, "rules": DEFAULT_FACT_RULES.published()}
    assert (
        parse_any_rule_set(response["rules"]).content_hash()
        == response["hash"]
        == client.get(f"/v1/sales/{sale.code}").json()["rules"]
    )
    assert client.get(f"/s/{draft_sale(sale.campaign).code}/rules").status_code == 404


def test_an_order_with_an_impossible_place_is_flagged_from_postgresql_alone() -> None:
    sale = lobby_sale(stock={PHONE: 6})
    first, second, third, _ = buy(sale, ["ani", "budi", "citra", "dewi"])
    Reservation.objects.filter(pk=first.pk).update(number=9)
    Reservation.objects.filter(pk=second.pk).update(index=10**9, number=10**9)
    review.execute(run=review.start(sale=sale).pk)
    found = {case.reservation_id: case.evidence["marks"] for case in cases()}
    assert set(found) == {first.pk, second.pk}
    assert all({"mark": "bypassed_line", "points": 100} in marks for marks in found.values())
    assert Reservation.objects.get(pk=third.pk).do_not_ship is False
