"""What a promise or a letter rests on cannot change after the publication, whichever way a change takes."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import NotSupportedError, connection, models, transaction
from django.utils import timezone, translation

from flashsale.life import sale_control
from flashsale.models import Allocation, Campaign, CampaignAxis, Channel, Offer, PublishedRuleSet, Sale, Stock
from flashsale.models.frozen import BY_DECISION, COMPLETE, FROZEN, Frozen, FrozenChange
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, parse_rule_set
from tests.factories import PHONE, draft_sale, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

NOW = timezone.now()
# The tables refuse these alone in a draft, or they are the publication itself.
NOT_ALONE = {
    ("sale", "published_at"), ("sale", "beacon"), ("sale", "freeze_s"), ("allocation", "successor"),
    ("allocation", "rolls_over_at"),
}  # fmt: skip
ALL = [(name, field) for name in FROZEN for field in (*FROZEN[name], *BY_DECISION.get(name, ()))]
# Fields that hold when a row was made or what Redis knows, and no form shows them; and how letters look, and who gets
# them; and how partners call us. No promise rests on any of them.
BOOKKEEPING = {
    "campaign": {"salt", "erased_at", "letter_name", "letter_address", "letter_colour", "sandbox_of"},
    "channel": {"order_letters", "signatures_required", "quotas", "checkout_url", "frame_origins"},
    "sale": {
        "state",
        "epoch",
        "revision",
        "sealed_secret",
        "secret",
        "frozen_at",
        "paused_at",
        "paused_ms",
        "slower_rate",
        "slower_until",
        "entries_frozen_at",
        "beacon_round",
        "beacon_signature",
    },
    "allocation": {"block", "entered", "cohort", "seed", "called", "lapsed"},
}


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def _row(name: str, sale: Sale) -> Any:
    rows: dict[str, Callable[[], Any]] = {
        "campaign": lambda: Campaign.objects.get(pk=sale.campaign_id),
        "campaignaxis": lambda: sale.campaign.axes.order_by("pk").first(),
        "channel": lambda: sale.campaign.channels.get(code="lazada"),
        "sale": lambda: Sale.objects.get(pk=sale.pk),
        "offer": sale.offers.first,
        "allocation": sale.allocations.first,
        "stock": lambda: Stock.objects.filter(allocation__sale=sale).first(),
    }
    return rows[name]()


def _another(row: Any, name: str) -> Any:
    """Another value than the row has."""
    field, value = row._meta.get_field(name), getattr(row, name)
    if isinstance(field, models.ForeignKey):
        return _another_row(row, field)
    if isinstance(field, models.DateTimeField):
        return (value or timezone.now()) + timedelta(minutes=1)
    if isinstance(field, models.BooleanField):
        return not value
    if isinstance(field, models.DecimalField):
        return value + Decimal("0.5")
    if isinstance(field, models.IntegerField):
        return (value or 0) + 1
    return {"currency": "EUR", "checked_at": "confirm", "kind": "own page", "mode": "direct", "axis": "account"}.get(
        name, f"{value}x"
    )


def _owner_campaign(row: Any) -> Campaign:
    return row.sale.campaign


def _another_row(row: Any, field: Any) -> Any:
    if field.related_model is PublishedRuleSet:
        return PublishedRuleSet.make(parse_rule_set(DEFAULT_RULE_SET.published() | {"threshold": 61}))
    if field.related_model is Campaign:
        return Campaign.objects.create(code="another", name="Another")
    if field.related_model is Sale:
        return Sale.objects.create(
            campaign=_owner_campaign(row),
            code="another",
            lobby_at=NOW,
            opens_at=NOW,
            closes_at=NOW + timedelta(hours=1),
        )
    other = draft_sale()
    return other.allocations.first() if field.related_model is Allocation else other.offers.last()


@pytest.mark.parametrize(("name", "field"), ALL)
def test_a_frozen_field_is_kept_by_the_row_itself(name: str, field: str) -> None:
    sale = lobby_sale()
    row = _row(name, sale)
    stored = type(row)._base_manager.filter(pk=row.pk)
    before = stored.values().get()
    assert row.is_frozen
    setattr(row, field, _another(row, field))
    for call in (row.save, row.clean, lambda: row.save(update_fields=[field])):
        with pytest.raises(FrozenChange, match="published") as refused:
            call()
        assert list(refused.value.error_dict) == [field]
    assert stored.values().get() == before


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in FROZEN for field in FROZEN[name]])
def test_a_frozen_field_is_kept_when_many_rows_are_updated(name: str, field: str) -> None:
    row = _row(name, lobby_sale())
    rows = type(row).objects.filter(pk=row.pk)
    before, value = rows.values().get(), _another(row, field)
    setattr(row, field, value)
    for call in (lambda: rows.update(**{field: value}), lambda: rows.bulk_update([row], [field])):
        with pytest.raises(FrozenChange, match="published"):
            call()
    assert rows.values().get() == before


@pytest.mark.parametrize(("name", "field"), [pair for pair in ALL if pair not in NOT_ALONE])
def test_a_draft_changes_freely(name: str, field: str) -> None:
    """The control: it is the publication that refuses."""
    row = _row(name, draft_sale())
    value = _another(row, field)
    if name == "stock" and field == "allocation":
        value = Allocation.objects.create(sale=row.allocation.sale, code="another")
    setattr(row, field, value)
    row.save()
    assert getattr(type(row).objects.get(pk=row.pk), field) == value


@pytest.mark.parametrize("name", list(FROZEN))
def test_a_frozen_row_is_not_deleted(name: str) -> None:
    row = _row(name, lobby_sale())
    for call in (row.delete, type(row).objects.filter(pk=row.pk).delete):
        with pytest.raises(FrozenChange, match="published"):
            call()
    assert type(row).objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("name", COMPLETE)
def test_nothing_is_added_to_what_is_published(name: str) -> None:
    row = _row(name, lobby_sale())
    count = type(row).objects.count()
    row.pk, row._state.adding = None, True
    for field in {"code", "sku"} & {field.name for field in row._meta.fields}:
        setattr(row, field, "another")
    with pytest.raises(FrozenChange, match="published"):
        row.save()
    assert type(row).objects.count() == count


@pytest.mark.parametrize("name", COMPLETE)
def test_a_row_of_a_draft_does_not_move_into_what_is_published(name: str) -> None:
    draft, published = (_row(name, draft_sale()), _row(name, lobby_sale()))
    owner = type(draft).frozen_with[0]
    for field in {"code", "sku"} & {field.name for field in draft._meta.fields}:
        type(draft)._base_manager.filter(pk=draft.pk).update(**{field: "another"})
    if name == "campaignaxis":
        type(draft)._base_manager.filter(pk=draft.pk).update(axis="account")
    if name == "allocation":
        type(draft)._base_manager.filter(pk=draft.pk).update(line_id=9)
    if name == "stock":
        type(draft)._base_manager.filter(pk=draft.pk).update(offer=published.allocation.sale.offers.last())
    draft.refresh_from_db()
    stored = type(draft)._base_manager.order_by("pk")
    before, rows = list(stored.values()), type(draft).objects.filter(pk=draft.pk)
    target = getattr(published, owner)
    for values in ({owner: target}, {f"{owner}_id": target.pk}):
        with pytest.raises(FrozenChange, match="published"):
            rows.update(**values)
    setattr(draft, owner, target)
    for call in (draft.save, draft.clean, lambda: draft.save(update_fields=[owner])):
        with pytest.raises(FrozenChange, match="published"):
            call()
    with pytest.raises(FrozenChange, match="published"):
        rows.bulk_update([draft], [owner])
    assert list(stored.values()) == before


@pytest.mark.parametrize("name", COMPLETE)
def test_nothing_is_added_to_what_is_published_in_bulk(name: str) -> None:
    row = _row(name, lobby_sale())
    rows, before = type(row).objects, list(type(row).objects.values())
    row.pk, row._state.adding = None, True
    with pytest.raises(FrozenChange, match="published"):
        rows.bulk_create([row], ignore_conflicts=True)
    with pytest.raises(NotSupportedError, match="bulk_create"):
        rows.bulk_create([row], update_conflicts=True, update_fields=["id"], unique_fields=["id"])
    assert list(rows.values()) == before


def test_rows_of_a_draft_are_added_in_bulk() -> None:
    """The control: it is the publication that refuses."""
    draft = draft_sale()
    Offer.objects.bulk_create([Offer(sale=draft, sku="A", name="A", price=1), Offer(sale=draft, sku="B", price=2)])
    assert set(draft.offers.filter(sku__in="AB").values_list("sku", "price")) == {("A", 1), ("B", 2)}


def test_the_channels_of_a_published_line_stay() -> None:
    sale = lobby_sale()
    line, (lazada, akulaku) = sale.allocations.get(), sale.campaign.channels.order_by("pk")[:2]
    calls: list[Callable[[], None]] = [
        lambda: line.channels.set([akulaku]), lambda: line.channels.add(akulaku), lambda: line.channels.remove(lazada),
        line.channels.clear, lambda: akulaku.allocations.add(line), lazada.allocations.clear,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(FrozenChange, match="published"):
            call()
        assert list(line.channels.all()) == [lazada]
    draft = draft_sale(sale.campaign).allocations.get()
    draft.channels.set([akulaku])
    assert list(draft.channels.all()) == [akulaku]


def test_a_channel_that_no_published_sale_uses_can_still_be_prepared() -> None:
    sale = lobby_sale()
    akulaku = sale.campaign.channels.get(code="akulaku")
    assert not akulaku.is_frozen
    akulaku.entry_url = "https://akulaku.example/"
    akulaku.save()
    Channel.objects.create(campaign=sale.campaign, code="new", name="New")
    lobby_sale(sale.campaign, channels=("akulaku",))
    akulaku.entry_url = "https://elsewhere.example/"
    with pytest.raises(FrozenChange, match="entry_url"):
        akulaku.save()
    assert Channel.objects.get(pk=akulaku.pk).entry_url == "https://akulaku.example/"


def test_decisions_may_change_what_they_are_about_and_nothing_else() -> None:
    sale = lobby_sale()
    later = sale.opens_at + timedelta(hours=1)
    assert sale_control.postpone(sale=sale, opens_at=later).opens_at == later
    assert sale_control.brake(sale=sale, rate_per_s=7, poll_ms=9).rate_per_s == 7
    stock = Stock.objects.get(offer__sku=PHONE)
    assert sale_control.add_units(stock=stock, quantity=12).quantity == 12
    sale.name = "renamed"
    with pytest.raises(FrozenChange, match="published"):
        sale.save(decided=True)
    assert Sale.objects.get().name == "26 January"


def test_the_list_has_every_field_of_these_tables() -> None:
    """A new field is frozen, changed by decisions, or bookkeeping. Its author has to say which."""
    frozen = {model._meta.model_name: model for model in apps.get_app_config("flashsale").get_models()
              if issubclass(model, Frozen)}  # fmt: skip
    assert set(frozen) == set(FROZEN)
    for name, model in frozen.items():
        fields = {field.name for field in model._meta.concrete_fields if not field.primary_key}
        assert fields - set(model.frozen_fields()) == BOOKKEEPING.get(name, set()), name


@pytest.mark.parametrize("guarded", [False, True])
def test_a_change_that_has_read_a_draft_does_not_pass_a_publication(
    monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """Without the lock, the control, it is written after the publication."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    if not guarded:
        monkeypatch.setattr(Frozen, "locked_and_published", lambda self: self._owner().is_published)
    campaign = poco_campaign()
    offer = draft_sale(campaign).offers.first()
    read, published, refused = threading.Event(), threading.Event(), []
    checks = Frozen.locked_and_published

    def check_late(self: Frozen) -> bool:
        """Lets the publication begin after the change has read the draft."""
        if isinstance(self, Offer):
            self.sale.is_published  # noqa: B018 - reads the row
            read.set()
            assert published.wait(20)
        return checks(self)

    monkeypatch.setattr(Frozen, "locked_and_published", check_late)

    def change() -> None:
        offer.price = 1
        try:
            offer.save()
        except FrozenChange:
            refused.append(True)
        finally:
            connection.close()

    thread = threading.Thread(target=change)
    thread.start()
    assert read.wait(20)
    with transaction.atomic():
        Sale._base_manager.select_for_update().get(pk=offer.sale_id)
        Sale._base_manager.filter(pk=offer.sale_id).update(
            state="published", published_at=timezone.now(), sealed_secret=b"x", rules=PublishedRuleSet.newest()
        )
        published.set()
    thread.join(20)
    assert (Offer.objects.get(pk=offer.pk).price == 1, refused) == ((False, [True]) if guarded else (True, []))
    assert CampaignAxis.objects.exists()
