"""A channel reads its events in order and without a gap, for a month; then they are deleted."""

from datetime import timedelta

import pytest
from django.utils import timezone

from flashsale.life import cancel, events, sale_control
from flashsale.models import Event, Reservation, Sale
from flashsale.models.sale import ms
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import PHONE, Shopper, lobby_sale, move_opening, tend
from tests.faults.steps import buy, called

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


# The cases are made when the tests are collected.
NOW_MS = ms(timezone.now())


def everything(channel: int, *, limit: int = 2) -> list[events.ChannelEvent]:
    """All events of a channel, read in pages."""
    found, page = [], events.read_events(channel=channel, after="", limit=limit)
    while True:
        found += page.events
        if not page.more:
            return found
        page = events.read_events(channel=channel, after=page.after, limit=limit)


class TestAChannelReads:
    @pytest.fixture
    def sale(self) -> Sale:
        sale = lobby_sale(stock={PHONE: 2}, channels=("lazada", "akulaku"), max_entries=500)
        self.people = [Shopper(sale, "ani"), Shopper(sale, "budi", channel="akulaku")]
        for person in self.people:
            person.enter()
        move_opening(sale)
        for _drawn_then_called in range(2):
            tend(sale)
        for person in self.people:
            buy(person)
        return sale

    def test_its_own_events_and_those_of_its_sales_in_order(self, sale: Sale) -> None:
        other = lobby_sale(sale.campaign, channels=("mi-store",))
        for person in self.people:
            found = everything(person.channel.id)
            assert [event.type for event in found] == [
                "sale.published", "sale.opened", "reservation.held", "payment.started", "payment.paid",
                "reservation.confirmed",
            ]  # fmt: skip
            assert {(event.sale, event.line) for event in found[2:]} == {(sale.code, person.channel_code)}
            assert [event.id for event in found] == sorted(event.id for event in found)
        assert other.code not in {event.sale for event in everything(self.people[0].channel.id)}

    def test_on_from_its_cursor_whatever_happened_elsewhere(self, sale: Sale) -> None:
        channel = self.people[0].channel.id
        page = events.read_events(channel=channel, after="", limit=100)
        again = events.read_events(channel=channel, after=page.after, limit=100)
        assert (page.more, len(page.events), again.events, again.more) == (False, 6, [], False)
        sale_control.pause(sale=sale)
        for after in (page.after, again.after):
            assert [one.type for one in events.read_events(channel=channel, after=after, limit=1).events] == [
                "sale.paused"
            ]

    @pytest.mark.usefixtures("sale")
    def test_nothing_older_than_a_month(self) -> None:
        Event.objects.filter(type__startswith="payment.").update(at=timezone.now() - timedelta(days=30, seconds=1))
        found = [event.type for event in everything(self.people[0].channel.id)]
        assert found == ["sale.published", "sale.opened", "reservation.held", "reservation.confirmed"]

    @pytest.mark.usefixtures("sale")
    @pytest.mark.parametrize(
        ("after", "outcome"),
        [
            ("1", Outcome.MALFORMED),
            ("1-", Outcome.MALFORMED),
            ("x-1", Outcome.MALFORMED),
            ("-1-1", Outcome.MALFORMED),
            ("١-1", Outcome.MALFORMED),
            ("1-1600000000000", Outcome.NOT_FOUND),
            (f"{10**17}-9999999999999", Outcome.NOT_FOUND),
            pytest.param(f"{10**17}-{NOW_MS}", Outcome.NOT_FOUND, id="an id beyond the newest"),
            ("1-9999999999999", Outcome.NOT_FOUND),
            ("999999999999999999-999999999999999", Outcome.NOT_FOUND),
        ],
    )
    def test_nothing_by_a_cursor_that_is_too_old_or_not_ours(self, after: str, outcome: Outcome) -> None:
        with pytest.raises(Refused) as refused:
            events.read_events(channel=self.people[0].channel.id, after=after, limit=10)
        assert refused.value.outcome is outcome

    @pytest.mark.usefixtures("sale")
    def test_a_page_of_old_events_ends_in_a_cursor_that_ages_with_them(self) -> None:
        Event.objects.update(at=timezone.now() - timedelta(days=29))
        page = events.read_events(channel=self.people[0].channel.id, after="", limit=2)
        assert page.more
        age = timezone.now().timestamp() - int(page.after.partition("-")[2]) / 1000
        assert timedelta(days=28, hours=23) < timedelta(seconds=age) < timedelta(days=29, hours=1)


class TestTheRetention:
    @pytest.fixture
    def old(self) -> Reservation:
        _, (ani,) = called("ani", stock=1)
        row = buy(ani)
        Event.objects.update(at=timezone.now() - timedelta(days=31, minutes=1))
        return row

    def test_deletes_old_events_and_the_next_one_still_has_a_new_sequence(self, old: Reservation) -> None:
        assert (events.forget_events(most=3), events.forget_events(), events.forget_events()) == (3, 1, 0)
        assert set(Event.objects.values_list("type", flat=True)) == {"sale.published", "sale.opened"}
        assert Reservation.objects.get().events_deleted == 4
        cancel.cancel(reservation=old.pk, channel=old.channel_id, code="buyer_request")
        found = Event.objects.filter(reservation=old.pk).order_by("pk").values_list("sequence", "type")
        assert list(found) == [(5, "reservation.cancelled"), (6, "refund.due")]

    def test_keeps_what_is_not_old(self, old: Reservation) -> None:
        Event.objects.update(at=timezone.now() - timedelta(days=30, hours=23))
        assert events.forget_events() == 0
        assert Event.objects.filter(reservation=old.pk).count() == 4
