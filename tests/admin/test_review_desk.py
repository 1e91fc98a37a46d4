"""The desk around cases: rings, assignment, notes, deadlines, the allow and block lists, rule sets in a form."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import case_desk, refund_window, review
from flashsale.life.appeal import ledger
from flashsale.models import (
    Case,
    CaseNote,
    Contact,
    ListedValue,
    PublishedRuleSet,
    Record,
    Reservation,
    Restriction,
    ReviewRun,
    RingOrder,
    Sale,
    Trait,
)
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Refused
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET
from flashsale.rules.trail import text_digest
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.admin.orders import buy, cases
from tests.factories import PHONE, end_now, identity, lobby_sale, poco_campaign
from tests.life.people import erased, request_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
REASON = "one_person_many_identities"
CASES = "/admin/flashsale/case/"
LISTS = "/admin/flashsale/listedvalue/"


def _page(action: str, *rows: Case) -> str:
    return reverse(f"admin:flashsale_case_{action}") + "?" + "&".join(f"id={row.pk}" for row in rows)


def _user(name: str) -> User:
    return User.objects.get(username=name)


@pytest.fixture
def ring() -> Sale:
    """Four orders from one device, of which one was paid slowly and stays below the threshold; and a stranger."""
    sale = lobby_sale(poco_campaign(undo_s=600), stock={PHONE: 6})
    orders = buy(sale, ["ani", "budi", "citra", "dewi"], device="one")
    buy(sale, ["eka"])
    slow = Reservation.objects.get(pk=orders[-1].pk)
    Reservation.objects.filter(pk=slow.pk).update(made_at=slow.made_at - timedelta(minutes=10))
    return sale


def _reviewed(sale: Sale) -> ReviewRun:
    run = review.start(sale=sale)
    review.execute(run=run.pk)
    return run


def test_the_rest_of_a_ring_is_listed_opened_and_dismissed_together_with_one_reason(ring: Sale, bob: Client) -> None:
    run = _reviewed(ring)
    first = cases()[0]
    assert (len(cases()), RingOrder.objects.filter(run=run, group=first.group).count()) == (3, 4)
    case_page = bob.get(f"{CASES}{first.pk}/change/")
    assert case_page.context["panel"]["evidence"].foot[:2] == ["total", "people look from 60 points on"]
    assert f">ring {first.group}</a>" in bob.get(CASES).content.decode()
    (url,) = action_links(case_page, "ring")[:1]
    page = bob.get(url)
    rows = page.context["tables"][0].rows
    assert [row[-1] for row in rows] == ["open"] * 3 + ["no case: below the threshold of 60"]
    assert page.context["tables"][0].title == "All orders of this ring: 4"
    read = Record.objects.filter(what="read_evidence").latest("position")
    assert all(str(row.reservation_id) in read.facts for row in RingOrder.objects.all())

    page = submit(bob, url)
    opened = Case.objects.latest("pk")
    stored = RingOrder.objects.get(reservation=opened.reservation_id)
    assert (opened.score, opened.evidence, opened.run, opened.group) == (
        stored.score,
        stored.evidence,
        run,
        first.group,
    )
    assert (opened.rules_hash, opened.state) == (ring.rules.hash, "open")
    assert opened.score < 60 == opened.evidence["rules"]["threshold"]
    assert Record.objects.get(what="open_case").subject == f"reservation:{opened.reservation_id}"
    assert page.context["obstacles"] == ["Each order that can have a case has one."]
    assert case_desk.open_rest(case=first, by=_user("bob")) == []
    assert Case.objects.count() == 4, "a repeat opens no second case"
    assert [title for title, _url in page.context["next_steps"]] == [
        "Propose to cancel all 4 open cases", "Dismiss all 4 open cases",
    ]  # fmt: skip

    dismiss = page.context["next_steps"][1][1]
    bob.post(dismiss, {"text": "a family"})
    assert {case.state for case in cases()} == {"open"}, "the person must open a sample first"
    for case in cases():
        bob.get(f"{CASES}{case.pk}/change/")
    submit(bob, dismiss, text="")
    assert {case.state for case in cases()} == {"open"}, "several cases are not dismissed without a reason"
    assert messages_on(submit(bob, dismiss, text="a family, says the shop")) == ["Dismiss the case: 4 of 4 done."]
    assert {(case.state, case.deadline_at) for case in cases()} == {("dismissed", None)}
    assert [note.read()["text"] for note in CaseNote.objects.all()] == ["a family, says the shop"] * 4
    assert set(Record.objects.filter(what="dismiss").values_list("why", flat=True)) == {
        text_digest("a family, says the shop")
    }


def test_a_restricted_or_erased_order_gets_no_case_from_its_ring_and_its_evidence_stays_erased(
    ring: Sale, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _reviewed(ring)
    rest = RingOrder.objects.exclude(reservation__in=Case.objects.values("reservation")).get()
    first, restriction = cases()[0], Restriction(reservation=rest.reservation, request=request_of("dewi", "restrict"))
    restriction.save()
    assert case_desk.open_rest(case=first, by=_user("bob")) == []
    with pytest.raises(Refused, match="restricted"):
        review.open_case(reservation=rest.reservation, by=_user("bob"), ring=rest)
    page = bob.get(_page("ring", first))
    assert page.context["tables"][0].rows[-1][-1] == "no case: the buyer has restricted the order, or is erased"
    assert page.context["obstacles"] == ["Each order that can have a case has one."]
    restriction.delete()
    for case in cases():
        review.dismiss(case=case, by=_user("bob"))
    end_now(ring)
    erased("dewi")
    assert case_desk.open_rest(case=first, by=_user("bob")) == []
    assert Case.objects.count() == 3

    # A review that has read the orders before the erasure of Ani stores nothing of her after it.
    Case.objects.all().delete()
    ReviewRun.objects.filter(pk=run.pk).update(finished_at=None)
    store = review._store_rings
    ani = next(one.reservation for one in Contact.objects.all() if one.read()["email"] == identity("ani")[Axis.EMAIL])
    others = RingOrder.objects.exclude(reservation__in=[ani, rest.reservation])

    def erased_in_between(*args: Any) -> None:
        erased("ani")
        assert not Trait.objects.filter(reservation=ani).exists()
        RingOrder.objects.all().delete()
        store(*args)

    monkeypatch.setattr(review, "_store_rings", erased_in_between)
    review.execute(run=run.pk)
    for table in (RingOrder, Case):
        (row,) = table.objects.filter(reservation=ani)
        assert {one["trace"] for one in row.evidence["shared"]} == {""}
    assert [bool(one["trace"]) for row in others.all() for one in row.evidence["shared"]] == [True, True]


def test_an_order_of_another_sale_or_that_has_ended_gets_no_case_from_the_ring(ring: Sale, bob: Client) -> None:
    later = lobby_sale(ring.campaign, stock={PHONE: 2}, name="27 January")
    buy(later, ["fajar"], device="one")
    _reviewed(ring)
    slow = RingOrder.objects.filter(reservation__sale=ring).earliest("pk")
    Case.objects.filter(reservation=slow.reservation_id).delete()
    Reservation.objects.filter(pk=slow.reservation_id).update(state="cancelled", ended_at=timezone.now())
    found = {row[-1] for row in bob.get(_page("ring", cases()[0])).context["tables"][0].rows}
    assert found == {
        "open", "no case: the order is not valid any more", "no case: it belongs to another sale, 27 January",
    }  # fmt: skip
    before = Case.objects.count()
    assert bob.get(_page("ring", cases()[0])).context["obstacles"] == ["Each order that can have a case has one."]
    bob.post(_page("ring", cases()[0]), {})
    assert Case.objects.count() == before


def test_a_case_is_assigned_noted_and_ordered_by_its_deadline(
    ring: Sale, bob: Client, carol: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    _reviewed(ring)
    one, two, three = cases()
    now = timezone.now()
    for case in (one, two, three):
        # The demo's provider sends money back without a limit. A case takes its two times from two clocks.
        wait = case.deadline_at - case.opened_at - timedelta(seconds=ring.campaign.appeal_s)
        assert abs(wait) < timedelta(minutes=5)
    Case.objects.filter(pk=one.pk).update(deadline_at=now + timedelta(hours=2))
    Case.objects.filter(pk=two.pk).update(deadline_at=now - timedelta(hours=2))
    Case.objects.filter(pk=three.pk).update(deadline_at=now + timedelta(days=3))
    page = bob.get(CASES)
    assert [row.pk for row in page.context["cl"].result_list] == [two.pk, one.pk, three.pk]
    assert page.content.decode().count('<strong class="overdue">overdue</strong>') == 1
    for choice, expected in (("overdue", [two]), ("soon", [two, one]), ("undecided", [two, one, three])):
        shown = bob.get(CASES, {"deadline": choice}).context["cl"].result_list
        assert list(shown) == expected, choice

    chosen = bob.post(CASES, {"action": "assign-to-me", "_selected_action": [one.pk, two.pk]}, follow=True)
    submit(bob, chosen.redirect_chain[-1][0])
    submit(bob, _page("assign", three), to=_user("carol").pk)
    assert list(bob.get(CASES, {"whose": "mine"}).context["cl"].result_list) == [two, one]
    assert list(carol.get(CASES, {"whose": "mine"}).context["cl"].result_list) == [three]
    assert list(bob.get(CASES, {"whose": "others"}).context["cl"].result_list) == [three]
    records = Record.objects.filter(what="assign").count()
    submit(bob, _page("assign", three), to=_user("carol").pk)
    assert (Record.objects.filter(what="assign").count(), records) == (3, 3)
    submit(bob, _page("assign", three), to="")
    assert list(bob.get(CASES, {"whose": "none"}).context["cl"].result_list) == [three]

    submit(carol, _page("note", one), text="called the buyer")
    note = CaseNote.objects.get()
    table = bob.get(f"{CASES}{one.pk}/change/").context["panel"]["notes"]
    assert [row[1:] for row in table.rows] == [["carol", "called the buyer"]]
    assert "called the buyer" not in note.sealed
    assert Record.objects.get(what="note").why == text_digest("called the buyer")
    with pytest.raises(ValueError, match="never written again"):
        note.save()

    paid = [case.reservation for case in (one, two)]
    monkeypatch.setattr(refund_window, "refund_by", lambda attempt: attempt.made_at + timedelta(days=30))
    due = refund_window.decide_cases_by([order.pk for order in paid], ring.campaign, now)
    after = timedelta(seconds=ring.campaign.undo_s + ring.campaign.appeal_s) + refund_window.BEFORE_THE_END
    assert due == {order.pk: order.attempts.get(state="paid").made_at + timedelta(days=30) - after for order in paid}
    monkeypatch.setattr(refund_window, "refund_by", lambda _attempt: now + timedelta(hours=30))
    assert set(refund_window.decide_cases_by([paid[0].pk], ring.campaign, now).values()) == {now + timedelta(hours=6)}


def _list(client: Client, sale: Sale, kind: str, axis: str, *, value: str, days: int = 30) -> Any:
    until = timezone.now() + timedelta(days=days)
    typed = {"expires_at_0": f"{until:%Y-%m-%d}", "expires_at_1": f"{until:%H:%M:%S}"}
    return submit(
        client, f"{LISTS}add/", campaign=sale.campaign_id, kind=kind, axis=axis, value=value, why="known", **typed
    )


def test_the_end_of_an_entry_is_typed_and_shown_in_the_zone_of_its_campaign(bob: Client) -> None:
    campaign = poco_campaign(time_zone="Asia/Jayapura")
    values = {"campaign": campaign.pk, "kind": "block", "axis": "phone", "value": "081234567890", "why": "known"}
    submit(bob, f"{LISTS}add/", **values, expires_at_0="2031-01-29", expires_at_1="10:00")
    assert ListedValue.objects.get().expires_at == datetime.fromisoformat("2031-01-29T10:00:00+09:00")
    assert "29 January 2031 10:00 WIT" in bob.get(LISTS).content.decode()


def test_the_lists_count_in_later_reviews_until_they_expire_and_old_evidence_stays(ring: Sale, bob: Client) -> None:
    before = _reviewed(ring)
    frozen = {case.pk: case.evidence for case in cases()}
    phone = identity("eka")[Axis.PHONE]
    page = _list(bob, ring, "block", "phone", value=f"+62 {phone[1:5]}-{phone[5:]}")
    assert page.redirect_chain, page.context["errors"]
    entry = ListedValue.objects.get()
    stranger = Reservation.objects.get(case=None, ring_orders=None)
    assert entry.digest == stranger.traits.get(axis="phone").digest
    facts = Record.objects.get(what="list_value")
    assert phone[1:] not in facts.facts + facts.why
    assert phone[1:] not in bob.get(LISTS).content.decode()
    assert "on a list already" in str(_list(bob, ring, "allow", "phone", value=phone).context["errors"])
    assert "must be in the future" in str(_list(bob, ring, "block", "email", value="x@y.id", days=-1).context["errors"])
    assert "cannot be read" in str(_list(bob, ring, "block", "phone", value="12").context["errors"])
    assert "does not know people" in str(
        _list(bob, ring, "block", "national_id", value="3174012345670001").context["errors"]
    )
    assert ListedValue.objects.count() == 1

    again = _reviewed(ring)
    case = Case.objects.get(reservation=stranger)
    assert (case.run, case.score) == (again, 60)
    assert case.evidence["lists"] == [{"list": "block", "axis": "phone", "entry": entry.pk}]
    assert case.reservation.state == "confirmed", "a list never cancels an order"
    assert ["on the block list: phone", "", f"entry {entry.pk}", ""] in bob.get(f"{CASES}{case.pk}/change/").context[
        "panel"
    ]["evidence"].rows
    assert {one.pk: one.evidence for one in Case.objects.filter(run=before)} == frozen

    assert messages_on(submit(bob, reverse("admin:flashsale_listedvalue_end") + f"?id={entry.pk}")) == [
        "The entry has ended."
    ]
    Case.objects.filter(pk=case.pk).delete()
    _reviewed(ring)
    assert not Case.objects.filter(reservation=stranger).exists()
    _list(bob, ring, "block", "phone", value=phone)
    ListedValue.objects.filter(ended_at=None).update(
        made_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(days=1)
    )
    _reviewed(ring)
    assert not Case.objects.filter(reservation=stranger).exists(), "an expired entry has no effect"
    assert _list(bob, ring, "allow", "phone", value=phone).redirect_chain, "an expired entry does not hold its value"


def test_a_rule_set_is_edited_in_a_form_tried_and_used(ring: Sale, bob: Client) -> None:
    add = reverse("admin:flashsale_publishedruleset_add")
    first = PublishedRuleSet.make(DEFAULT_RULE_SET)
    page = bob.get(add)
    html = page.content.decode()
    for text in (
        "People look at an order with this score or a higher one. 0 to 100; default: 60.",
        "Buyers read: “paid only seconds after reserving”.",
    ):
        assert text in html.replace("&ldquo;", "“"), text
    errors = submit(bob, add).context["errors"]
    assert "already has these rules" in str(errors), "a form without a change is no new set"
    assert "no field may be empty" in str(submit(bob, add, linked_3="").context["errors"])
    assert "hard fact" in str(submit(bob, add, marks_over_limit="10").context["errors"])
    assert "less than or equal to 100" in str(submit(bob, add, threshold="101").context["errors"])
    assert PublishedRuleSet.objects.count() == 2

    typed = form_values(page)
    pairs = [pair for pair in typed["together"] if pair != "address+name"]
    submit(bob, add, threshold="55", besides_name="", linked_11="80", together=pairs, trial="on", note="softer")
    made = PublishedRuleSet.objects.first()
    rules: Any = made.read()
    assert (made.version, made.trial, made.note, rules.threshold) == (first.version + 1, True, "softer", 55)
    assert rules.linked == (*DEFAULT_RULE_SET.linked, 80)
    assert set(rules.besides) == set(DEFAULT_RULE_SET.besides) - {"name"}
    assert len(rules.together) == len(DEFAULT_RULE_SET.together) - 1
    assert PublishedRuleSet.newest() == first, "a set that is only to try out is not used"
    change = reverse("admin:flashsale_publishedruleset_change", args=[made.pk])
    table = bob.get(change).context["panel"]["tables"][0]
    assert (table.title, table.rows) == (
        f"Changes since version {first.version}",
        [
            ["threshold", "60", "55"],
            ["Points for what an order shares besides: name at one address", "5", "–"],
            ["Weak values that link together: delivery address + name at one address", "yes", "–"],
            ["11 linked people", "–", "80"],
        ],
    )
    export = bob.get(reverse("admin:flashsale_publishedruleset_json", args=[made.pk]))
    assert json.loads(export.content) == rules.published()
    assert export["Content-Disposition"] == f'attachment; filename="rule-set-{made.version}.json"'

    hour = timedelta(hours=1)
    now = timezone.now()
    Sale.objects.filter(pk=ring.pk).update(opens_at=now - 2 * hour, closes_at=now - hour)
    page = submit(bob, action_links(bob.get(change), "try")[0], sale=ring.pk)
    run = ReviewRun.objects.get()
    assert (run.dry, run.rules, run.sale, page.request["PATH_INFO"]) == (
        True, made, ring, reverse("admin:flashsale_reviewrun_change", args=[run.pk]),
    )  # fmt: skip
    review.execute(run=run.pk)
    assert (Case.objects.count(), RingOrder.objects.count()) == (0, 0), "a dry run stores no ring"
    submit(bob, action_links(bob.get(change), "use")[0])
    assert PublishedRuleSet.newest() == made
    assert Record.objects.get(what="use_rules").subject == f"publishedruleset:{made.pk}"
    assert action_links(bob.get(change), "use") == []

    imported = json.dumps(rules.published() | {"threshold": 70})
    submit(bob, add, content=imported, threshold="not a number")
    assert PublishedRuleSet.newest().read().threshold == 70, "pasted JSON counts instead of the fields"


def test_the_ledger_says_that_nothing_is_decided_until_an_appeal_is_over(ring: Sale, bob: Client) -> None:
    User.objects.create_user("vera")
    _reviewed(ring)
    case = cases()[0]
    review.propose(case=case, code=REASON, by=_user("bob"))
    review.approve(case=case, by=_user("vera"))
    Case.objects.filter(pk=case.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    assert review.carry_out_due() == 1
    rows = bob.get("/admin/flashsale/appeal/").context["table"].rows
    assert {row[-1] for row in rows} == {"nothing decided yet"}
    words = {"1: same device", "1: paid only seconds after reserving", "One person, several identities"}
    assert words <= {row[0] for row in rows}, "no rule is shown by its name in the code"
    assert {(entry.cancelled, entry.decided) for entry in ledger()} == {(1, 0)}
    cancelled = Case.objects.get(pk=case.pk).cancellation
    cancelled.appeal_until = timezone.now() - timedelta(seconds=1)
    cancelled.save()
    rows = bob.get("/admin/flashsale/appeal/").context["table"].rows
    assert {row[-1] for row in rows} == {"100.0%"}
