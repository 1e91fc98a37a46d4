"""Rehearsals: when they are possible, one at a time, one use of a key, and what ends them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone
from django.utils.translation import override
from pytest_django import Settings

from flashsale.life import rehearse
from flashsale.life.rehearsal_copy import crowd_lines
from flashsale.life.settlement import make_due
from flashsale.models import Allocation, Campaign, Channel, PartnerKey, Record, Rehearsal, Sale, Stock
from flashsale.rules.identity import Axis, canonical_value
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.rehearsals import PREFIX, Facts, Terms, identity, limits_of, read_figures
from flashsale.rules.states import AllocationMode
from flashsale.web import limits
from tests.factories import BIG_PHONE, PHONE, card_of, draft_sale, lobby_sale, open_now, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
TERMS = Terms(people=120, no_shows=0.1, speed=50, minutes=5, seed=1)
FIGURES: dict[str, Any] = {
    "people": 120, "entered": 100, "called": 60, "no_shows": 10, "reserved": 50, "paid": 50, "disappointed": 40,
    "failed": 0, "seconds": 60.5, "late_ms": 3, "calls_per_s": 12.5, "calls_highest": 90, "called_highest": 9.0,
    "paid_highest": 5.0, "first_paid_s": 2.0, "last_paid_s": 42.0, "refused": {"reserve sold_out": 2},
    "quotas": {"lazada/look": 60}, "entered_by_line": {"a": 60, "b": 40}, "over": True,
    "early_wait_s": {"people": 80, "called": 50, "half": 1.0, "p95": 9.0, "most": 12.0},
    "late_wait_s": {"people": 20, "called": 10, "half": 2.0, "p95": 3.0, "most": 4.0},
    "verbs": {"enter": {"calls": 100, "p50_ms": 3.0, "p95_ms": 200.0, "p99_ms": 300.0, "most_ms": 301.0}},
}  # fmt: skip
FACTS = Facts(
    units=50, claim_s=10, lines=2, rate_per_s=5, max_entries=100, quotas={"lazada/look": 600}, pace=10.0, load=0.25
)


def _refused(call: Any, *arguments: Any, **named: Any) -> Outcome:
    with pytest.raises(Refused) as refused:
        call(*arguments, **named)
    return refused.value.outcome


def _reasons(**named: Any) -> list[str]:
    with pytest.raises(ValidationError) as refused, override("en"):
        rehearse.start(**named)
    assert Rehearsal.objects.filter(state="open", forced=False).count() <= 1
    return list(refused.value.messages)


def test_terms_out_of_bounds_are_refused_with_all_reasons_and_change_nothing(settings: Settings) -> None:
    settings.FLASHSALE_REHEARSAL_PEOPLE, settings.FLASHSALE_REHEARSAL_SPEED = 1000, 100
    sale = draft_sale()
    wrong = Terms(people=1001, no_shows=0.96, speed=0, minutes=settings.FLASHSALE_REHEARSAL_MINUTES + 1, seed=-1)
    assert _reasons(sale=sale, terms=wrong) == [
        "people: 1001 is not possible; from 1 to 1000.",
        "no-shows: 0.96 is not possible; from 0 to 0.95.",
        "speed: 0 is not possible; from 1 to 100.",
        "minutes: 31 is not possible; from 1 to 30.",
        "seed: -1 is not possible; from 0 to 2147483648.",
    ]
    assert Rehearsal.objects.count() == 0
    assert (rehearse.default_people(sale), Record.objects.filter(what="rehearse").count()) == (20, 0)


def test_a_live_sale_that_runs_or_opens_soon_is_in_the_way_unless_it_is_forced() -> None:
    campaign = poco_campaign()
    draft = draft_sale(campaign, opens_in_s=86_400)
    live = lobby_sale(campaign, opens_in_s=3500)
    reason = [f"The live sale {live.code} runs, or opens within 60 minutes."]
    assert _reasons(sale=draft, terms=TERMS) == reason
    open_now(live)
    assert _reasons(sale=draft, terms=TERMS) == reason
    planner = User.objects.create_user("planner")
    reason = ["Only people who may run sales can rehearse near a live sale."]
    assert _reasons(sale=draft, terms=TERMS, forced=True, by=planner) == reason
    assert not Rehearsal.objects.exists()
    row, key = rehearse.start(sale=draft, terms=TERMS, forced=True)
    assert rehearse.note(key=key, progress={}) == {"stop": False, "report": None}, "forced, so it goes on"
    Rehearsal.objects.filter(pk=row.pk).update(forced=False)
    assert _refused(rehearse.begin, key=key) is Outcome.NOT_READY
    assert rehearse.note(key=key, progress={})["stop"] is True
    row.refresh_from_db()
    assert (row.why, Campaign.objects.filter(code__startswith=PREFIX).count()) == ("live_sale", 0)


def test_there_is_one_rehearsal_at_a_time_and_the_database_says_so_too() -> None:
    draft = draft_sale(opens_in_s=86_400)
    row, _key = rehearse.start(sale=draft, terms=TERMS)
    assert _reasons(sale=draft, terms=TERMS) == ["Another rehearsal is not over. Wait for it, or stop it."]
    with pytest.raises(IntegrityError):
        Rehearsal.objects.create(sale=draft, name="second", digest="d", terms={})
    assert rehearse.sweep() == 0, "its key waits for a crowd"
    rehearse.stop(rehearsal=row)
    rehearse.stop(rehearsal=row)
    assert rehearse.sweep() == 1
    row.refresh_from_db()
    assert (row.state, row.why) == ("ended", "asked")
    assert [record.what for record in Record.objects.order_by("position") if "rehears" in record.what] == [
        "rehearse", "stop_rehearsal",
    ]  # fmt: skip
    second, _key = rehearse.start(sale=draft, terms=TERMS)
    Rehearsal.objects.filter(pk=second.pk).update(asked_at=timezone.now() - timedelta(minutes=31))
    assert rehearse.sweep() == 1
    second.refresh_from_db()
    assert (second.why, second.report) == ("not_begun", {"figures": None, "limits": [], "promises": [], "units": 0})


def test_the_copy_has_the_plan_of_the_sale_and_no_account_that_takes_money() -> None:
    """The lines, tranches, limits, windows and rates; its channels are partners with test keys."""
    old = lobby_sale(poco_campaign(code="copied"), opens_in_s=90_000)
    opens = timezone.now() + timedelta(days=1)
    lines = [
        {"code": "first", "channels": ["lazada", "akulaku"], "stock": {PHONE: 6, BIG_PHONE: 2},
         "successor": "own", "rolls_over_at": opens + timedelta(minutes=2)},
        {"code": "own", "channels": ["mi.com"], "stock": {PHONE: 3, BIG_PHONE: 1},
         "opens_at": opens + timedelta(seconds=30)},
        {"code": "direct", "channels": ["mi-store"], "stock": {PHONE: 5}, "mode": AllocationMode.DIRECT},
    ]  # fmt: skip
    Channel.objects.filter(campaign=old.campaign, code="akulaku").update(quotas="look:600")
    sale = draft_sale(
        old.campaign, lines=lines, opens_at=opens, closes_at=opens + timedelta(hours=1), claim_s=45, hold_s=70, limit=1,
        rate_per_s=7, max_entries=500,
    )  # fmt: skip
    row, key = rehearse.start(sale=sale, terms=TERMS)
    plan = rehearse.begin(key=key)
    copy = Sale.objects.select_related("campaign").get(campaign__code__startswith=PREFIX)
    assert (plan["sale"], copy.state, copy.campaign.is_test, copy.campaign.is_rehearsal) == (
        copy.code, "published", True, True,
    )  # fmt: skip
    for name in ("claim_s", "hold_s", "limit", "rate_per_s", "max_entries", "overbooking", "extra_time_share"):
        assert getattr(copy, name) == getattr(sale, name), name
    planned = [
        [(line.code, line.mode, line.channels.count(), line.successor and line.successor.code,
          line.opens_at and line.opens_at - one.opens_at, line.rolls_over_at and line.rolls_over_at - one.opens_at)
         for line in Allocation.objects.filter(sale=one)]
        for one in (sale, copy)
    ]  # fmt: skip
    assert planned[0] == planned[1]
    units = [
        sorted(Stock.objects.filter(allocation__sale=one).values_list("allocation__code", "offer__sku", "quantity"))
        for one in (sale, copy)
    ]
    assert units[0] == units[1]
    channels = copy.campaign.channels
    assert set(channels.values_list("kind", "order_letters", "payment_accounts")) == {("partner", False, "")}
    assert channels.get(code="akulaku").quotas == "look:600"
    assert {line["line"] for line in plan["lines"]} == {"first", "own"}, "people do not look for a direct door"
    assert {line["key"][:8] for line in plan["lines"]} == {"fs_test_"}
    assert [one["channel"] for one in crowd_lines(copy)] == [one["channel"] for one in plan["lines"]]
    card = card_of(copy)
    assert (card.test, card.is_sandbox) == (True, False)
    assert make_due() == 0

    assert _refused(rehearse.begin, key=key) is Outcome.FORBIDDEN
    assert _refused(rehearse.begin, key="fs_rehearsal_other") is Outcome.UNAUTHENTICATED
    rehearse.end(key=key, figures=FIGURES)
    assert rehearse.sweep() == 1
    row.refresh_from_db()
    assert row.report is not None
    assert (row.report["units"], row.state) == (17, "ended")
    assert Sale.objects.filter(code=copy.code).count() == 0
    assert PartnerKey.objects.count() == 0
    assert _refused(rehearse.end, key=key, figures=FIGURES) is Outcome.UNAUTHENTICATED


def test_callers_without_a_key_cost_postgresql_nothing_and_are_limited(
    client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    key = f"{rehearse.KEY_PREFIX}{'k' * 32}"
    assert rehearse.KEY.fullmatch(rehearse.start(sale=draft_sale(opens_in_s=86_400), terms=TERMS)[1])

    def ask(bearer: str, step: str = "note") -> tuple[int, str]:
        answer = client.post(
            f"/rehearsals/{step}", b"{}", content_type="application/json", headers={"authorization": f"Bearer {bearer}"}
        )
        return answer.status_code, answer.json()["code"]

    with django_assert_num_queries(0):
        for bearer in ("", "guess", rehearse.KEY_PREFIX, key + "k", key[:-1] + "!"):
            assert ask(bearer, "begin") == ask(bearer, "end") == (401, "unauthenticated"), bearer
    monkeypatch.setattr(limits, "API_ADDRESS", limits.Limit("api address of a test", 2, 3600))
    assert [ask(key) for _ in range(2)] == [(401, "unauthenticated")] * 2
    link = f"/calendar/{'s' * 43}.ics"
    with django_assert_num_queries(0):
        assert ask(key) == (429, "too_many_requests")
        assert client.get(link).status_code == 429
    monkeypatch.undo()
    assert client.get(link).status_code == 404


def test_a_copy_without_its_rehearsal_is_deleted_by_the_sweep() -> None:
    row, key = rehearse.start(sale=draft_sale(opens_in_s=86_400), terms=TERMS)
    rehearse.begin(key=key)
    Rehearsal.objects.filter(pk=row.pk).delete()
    rehearse.sweep()
    assert Campaign.objects.filter(code__startswith=PREFIX).count() == 0


def test_a_draft_that_cannot_be_published_says_why() -> None:
    draft = draft_sale(opens_in_s=86_400)
    draft.offers.all().delete()
    with override("en"):
        assert rehearse.obstacles(sale=draft) == ["The sale offers nothing yet.", "The line lazada sells nothing."]
    assert Campaign.objects.filter(code__startswith=PREFIX).count() == 0


def test_the_steps_of_a_crowd_refuse_what_they_cannot_read() -> None:
    _row, key = rehearse.start(sale=draft_sale(opens_in_s=86_400), terms=TERMS)
    client = Client(headers={"authorization": f"Bearer {key}"})
    assert Client().post("/rehearsals/note", "{}", "application/json").json()["code"] == "unauthenticated"
    assert client.get("/rehearsals/note").status_code == 405
    assert client.post("/rehearsals/other", "{}", "application/json").json()["code"] == "not_found"
    for body in ("[]", "{", '"text"'):
        assert client.post("/rehearsals/note", body, "application/json").json()["code"] == "malformed"
    assert client.post("/rehearsals/end", {"entered": 1}, "application/json").json()["code"] == "malformed"
    assert client.post("/rehearsals/note", "{}", "application/json").json() == {"stop": False, "report": None}


def test_figures_of_another_form_are_refused_by_name() -> None:
    assert read_figures(FIGURES) == FIGURES
    wrong: tuple[tuple[str, Any], ...] = (
        ("entered", "5"), ("paid", -1), ("failed", True), ("refused", {"x": "y"}), ("verbs", []),
        ("early_wait_s", {"people": 1}), ("last_paid_s", "soon"), ("quotas", {"n" * 121: 1}),
    )  # fmt: skip
    for name, value in wrong:
        with pytest.raises(ValueError, match=":"):
            read_figures(FIGURES | {name: value})


def test_what_is_nearest_to_its_end_limits_the_sale_first() -> None:
    limits = {limit.what: limit for limit in limits_of(FIGURES, FACTS)}
    assert [(name, limit.share) for name, limit in limits.items()] == [
        ("calling", 0.9), ("entries", 0.6), ("gateway", 0.5), ("claim", 0.25), ("cpu", 0.25), ("door", 0.2),
        ("quota", 0.1),
    ]  # fmt: skip
    assert limits_of(FIGURES | {"failed": 1}, FACTS)[0].what == "door"
    assert limits_of(FIGURES | {"refused": {"enter line_full": 3}}, FACTS)[0].what == "entries"
    assert limits_of(FIGURES | {"refused": {"again after 429 too_many_requests": 3}}, FACTS)[0].what == "quota"
    assert "gateway" not in {limit.what for limit in limits_of(FIGURES, FACTS._replace(pace=0.0))}


def test_simulated_people_have_a_value_of_each_axis_and_share_none() -> None:
    for axis in set(Axis) - {Axis.NETWORK}:
        assert len({canonical_value(axis, identity(person)[axis]) for person in range(200)}) == 200, axis
