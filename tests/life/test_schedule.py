"""Publication refuses plans that cannot work, says why in both languages, and changes nothing."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from flashsale.gate import bridge
from flashsale.life import sale_control
from flashsale.life.confirm import Buyer, PaymentChoice
from flashsale.life.enter import digest_identity, enter
from flashsale.life.schedule import problems_of, publish
from flashsale.models import Allocation, Record, Sale, Unit
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import PHONE, Shopper, card_of, draft_sale, lobby_sale, open_now, poco_campaign, tend
from tests.life.buyers import confirm_now

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

OPENS = timezone.now() + timedelta(days=1)
HALF_AN_HOUR, AN_HOUR = timedelta(minutes=30), timedelta(hours=1)


def line(code, *, channel="lazada", **rules):
    return {"code": code, "channels": [channel], "stock": {PHONE: 1}} | rules


def draft_of(*lines, campaign=None, **fields):
    return draft_sale(campaign, lines=lines, opens_at=OPENS, closes_at=OPENS + AN_HOUR, **fields)


def refused(sale):
    """Tries to publish the sale and checks that nothing has changed. Returns the reasons in both languages."""
    before = list(Sale.objects.values()), Record.objects.count(), Unit.objects.count()
    with translation.override("en"), pytest.raises(ValidationError) as error:
        publish(sale=sale)
    assert (list(Sale.objects.values()), Record.objects.count(), Unit.objects.count()) == before
    assert Sale.objects.get(pk=sale.pk).state == "draft"
    with translation.override("id"):
        indonesian = problems_of(sale=sale, now=timezone.now())
    return error.value.messages, indonesian


def test_lines_that_roll_over_in_a_circle_are_refused_by_name():
    at = {"rolls_over_at": OPENS + HALF_AN_HOUR}
    sale = draft_of(
        line("before", channel="mi-store", successor="one", rolls_over_at=OPENS + timedelta(minutes=20)),
        line("one", successor="two", **at),
        line("two", channel="akulaku", successor="three", **at),
        line("three", channel="mi.com", successor="one", **at),
    )
    english, indonesian = refused(sale)
    assert english == [
        f"The line {code} rolls over in a circle: its units would come back to it." for code in ("one", "two", "three")
    ]
    assert indonesian == [
        f"Pengalihan sisa antrean {code} berputar: unit yang diserahkannya akan kembali lagi."
        for code in ("one", "two", "three")
    ]


def test_a_line_that_rolls_over_to_a_line_that_has_rolled_over_is_refused_by_name():
    at = {"rolls_over_at": OPENS + HALF_AN_HOUR}
    first, second = line("one", successor="two", **at), line("two", channel="akulaku", successor="three", **at)
    english, indonesian = refused(draft_of(first, second, line("three", channel="mi.com")))
    assert english == [
        "The line one rolls over to a line that has rolled over by then: that line could not call people."
    ]
    assert indonesian != english


@pytest.mark.parametrize(
    "rules", [{"successor": "two", "rolls_over_at": OPENS + HALF_AN_HOUR}, {"opens_at": OPENS + HALF_AN_HOUR}]
)
def test_a_line_with_an_own_time_after_the_closing_is_refused_by_name(rules):
    sale = draft_of(line("one", **rules), line("two", channel="akulaku"))
    # The closing of a draft may change after its lines are planned.
    Sale.objects.filter(pk=sale.pk).update(closes_at=OPENS + HALF_AN_HOUR)
    sale.refresh_from_db()
    english, _ = refused(Sale.objects.get(pk=sale.pk))
    assert english == ["one: Between the sale's opening and its closing."]


def test_lines_that_roll_over_one_after_the_other_are_published():
    sale = draft_of(
        line("one", successor="three", rolls_over_at=OPENS + timedelta(seconds=1)),
        line("two", channel="akulaku", successor="three", rolls_over_at=OPENS + HALF_AN_HOUR),
        line("three", channel="mi.com", successor="four", rolls_over_at=OPENS + HALF_AN_HOUR + timedelta(seconds=1)),
        line("four", channel="mi-store"),
    )
    assert publish(sale=sale).state == "published"


@pytest.mark.parametrize(
    ("opens", "rolls"), [(None, timedelta(0)), (HALF_AN_HOUR, HALF_AN_HOUR), (HALF_AN_HOUR, timedelta(minutes=20))]
)
def test_a_line_that_rolls_over_before_it_opens_is_refused(opens, rolls):
    own = {} if opens is None else {"opens_at": OPENS + opens}
    first = line("first", successor="public", rolls_over_at=OPENS + rolls, **own)
    english, indonesian = refused(draft_of(first, line("public", channel="akulaku")))
    assert english == ["The line first rolls over before it opens: it could not call people."]
    assert indonesian == ["Sisa antrean first dialihkan sebelum antreannya dibuka: tidak seorang pun dapat dipanggil."]


def source_sale(campaign, *, max_entries=1000):
    """An open sale with one person in its line."""
    sale = lobby_sale(campaign, stock={PHONE: 1}, max_entries=max_entries)
    Shopper(sale, "ani").enter()
    return open_now(sale)


def test_the_order_of_a_sale_that_still_runs_is_not_carried_over():
    campaign = poco_campaign()
    source = source_sale(campaign)
    rerun = draft_of(line("again", carries=source.allocations.get()), campaign=campaign)
    english, indonesian = refused(rerun)
    assert english == ["The line again carries over the order of a sale that is not over yet."]
    assert indonesian == ["Antrean again meneruskan urutan penjualan yang belum selesai."]
    sale_control.pause(sale=source)
    assert refused(rerun) == (english, indonesian)
    sale_control.resume(sale=source)
    sale_control.close_early(sale=source)
    publish(sale=rerun)
    assert rerun.allocations.get().block == source.allocations.get().block == 50


def test_the_order_of_a_sale_that_was_called_off_after_its_draw_is_carried_over():
    campaign = poco_campaign()
    source = source_sale(campaign)
    sale_control.call_off(sale=source, message="The phones were stolen")
    rerun = draft_of(line("again", carries=source.allocations.get()), campaign=campaign)
    assert publish(sale=rerun).state == "published"


def test_an_order_that_was_never_drawn_is_not_carried_over():
    campaign = poco_campaign()
    source = lobby_sale(campaign)
    sale_control.call_off(sale=source, message="The phones were stolen")
    english, indonesian = refused(draft_of(line("again", carries=source.allocations.get()), campaign=campaign))
    assert english == ["The line again carries an order over that is not drawn yet."]
    assert indonesian == ["Antrean again meneruskan urutan yang belum diundi."]


def test_a_carried_line_needs_room_for_every_old_number():
    campaign = poco_campaign()
    source = source_sale(campaign)
    sale_control.close_early(sale=source)
    old = source.allocations.get()
    assert old.block == 50
    small = draft_of(line("again", carries=old), campaign=campaign, max_entries=49)
    english, indonesian = refused(small)
    assert english == ["The line again carries numbers up to 50 over: the sale must allow as many entries."]
    assert indonesian == ["Antrean again meneruskan nomor hingga 50: penjualan harus mengizinkan peserta sebanyak itu."]
    Sale.objects.filter(pk=small.pk).update(max_entries=50)
    publish(sale=small)
    assert card_of(small).max_entries == Allocation.objects.get(sale=small).block == 50


def test_units_have_serial_numbers_however_long_the_codes_are():
    offers = [{"sku": "S" * 40, "name": "Phone", "price": 1}]
    long = {"code": "l" * 40, "channels": ["lazada"], "stock": {"S" * 40: 1}}
    publish(sale=draft_sale(code="s" * 40, offers=offers, lines=[long]))
    assert Unit.objects.get().serial == f"{'s' * 40}/{'l' * 40}/{'S' * 40}/000001"


def offering(count):
    """A draft with one line that sells `count` offers."""
    skus = [f"phone-{number:03}" for number in range(count)]
    offers = [{"sku": sku, "name": "Phone", "price": 1} for sku in skus]
    return draft_of({"code": "first", "channels": ["lazada"], "stock": dict.fromkeys(skus, 1)}, offers=offers, code="s")


def test_a_line_offers_as_much_as_its_public_status_can_say_at_its_longest():
    english, indonesian = refused(offering(15))
    # A SKU takes 20: nine letters, seven digits, quotes, a colon and a comma.
    assert english == [
        (
            "The public status of the line first could take 1027 bytes, 1024 at most: offer less in it, "
            "or give the sale, the line or the SKUs shorter codes."
        )
    ]
    assert indonesian == [
        (
            "Status publik antrean first dapat mencapai 1027 byte, paling banyak 1024: kurangi penawarannya, "
            "atau pendekkan kode penjualan, antrean, atau SKU."
        )
    ]
    Sale.objects.all().delete()
    assert publish(sale=offering(14)).state == "published"


class Account(Shopper):
    """A shopper whom the partner identifies by an account."""

    def enter(self):
        known = digest_identity(card=self.card, values={Axis.ACCOUNT: self.name}, channel=self.channel.id)
        self.entry = bridge.run(enter(card=self.card, line=self.line, channel=self.channel, digests=known))
        return self.entry


def test_an_account_is_one_person_at_one_partner_only():
    campaign = poco_campaign(axes={Axis.ACCOUNT: "hard enter"})
    listed = line("akulaku", channel="akulaku", listed=[(Axis.ACCOUNT, "budi")])
    sale = publish(sale=draft_of(line("lazada"), listed, campaign=campaign))
    at_lazada, at_akulaku = Account(sale, "budi"), Account(sale, "Budi", channel="akulaku")
    assert [person.enter().created for person in (at_lazada, at_akulaku, at_lazada)] == [True, True, False]
    with pytest.raises(Refused) as stranger:
        Account(sale, "ani", channel="akulaku").enter()
    open_now(sale)
    for person in (at_lazada, at_akulaku):
        tend(sale)
        row, payment_choice = person.reserve().id, PaymentChoice(1_799_000, "qris", "w")
        contact = {"name": "Budi", "address": "Jl. Melati 5", "phone": "081234567890", "email": "budi@example.com"}
        buyer = Buyer({Axis.ACCOUNT: "BUDI"}, contact, "id")
        assert (
            confirm_now(reservation=row, channel=person.channel.id, buyer=buyer, payment_choice=payment_choice).state
            == "confirmed"
        )
    assert stranger.value.outcome is Outcome.NOT_ELIGIBLE


def test_a_list_of_accounts_names_the_channel_of_the_accounts():
    where = line("both") | {"channels": ["lazada", "akulaku"], "listed": [(Axis.ACCOUNT, "budi")]}
    with translation.override("en"), pytest.raises(ValidationError) as error:
        draft_of(where)
    assert error.value.messages == [
        "An account is known to one partner: a list of accounts needs a line with one channel."
    ]


def test_a_list_of_accounts_is_refused_when_their_channel_no_longer_leads_to_the_line():
    campaign = poco_campaign(axes={Axis.ACCOUNT: "hard enter"})
    sale = draft_of(line("loyal", listed=[(Axis.ACCOUNT, "budi")]), campaign=campaign)
    channels = sale.allocations.get().channels
    channels.set(campaign.channels.filter(code="akulaku"))
    english, indonesian = refused(sale)
    assert english == ["The list of the line loyal has accounts of lazada, which does not lead to it."]
    assert indonesian == ["Daftar antrean loyal memuat akun dari lazada, yang tidak menuju ke antrean itu."]
    channels.add(campaign.channels.get(code="lazada"))
    assert publish(sale=sale).state == "published"
