"""After a person is erased, no store has any of their values or digests, and no other person has lost anything."""

import asyncio
import io
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from flashsale.life import (
    case_desk,
    inbox,
    listed_values,
    notify,
    person_data,
    person_requests,
    retention,
    review,
    webhooks,
)
from flashsale.life.find_person import noted_values
from flashsale.life.trail_keys import records_about
from flashsale.models import (
    Case,
    CaseNote,
    Contact,
    Delivery,
    LimitSlot,
    ListedValue,
    ListEntry,
    Reservation,
    RingOrder,
    Trait,
)
from flashsale.providers.webhooks import Receiver
from flashsale.rules.identity import Axis
from tests.admin.orders import buy
from tests.factories import PHONE, end_now, identity, lobby_sale
from tests.faults.steps import broken
from tests.hooks import Hooks
from tests.life.deliveries import channel_id, run, webhook_to
from tests.life.people import erased, request_of, staff
from tests.privacy import canary

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """What all loggers write."""
    written = io.StringIO()
    handler, root = logging.StreamHandler(written), logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


def _digests(name: str, *, campaign: Any) -> set[str]:
    ids = [one.reservation_id for one in Contact.objects.all() if one.read()["email"] == identity(name)[Axis.EMAIL]]
    own = {"reservation__in": ids, "reservation__sale__campaign": campaign}
    found = {
        digest
        for table in (Trait, LimitSlot)
        for digest in table.objects.filter(**own).values_list("digest", flat=True)
    }
    assert len(found) == 3
    return found


def _anywhere(gate: redis.Redis, logs: io.StringIO) -> bytes:
    return b"\n".join([canary.in_books(), canary.in_redis(gate), logs.getvalue().encode()])


def _in(content: bytes, texts: set[str]) -> set[str]:
    """The texts that stand in the content: as they are, and digests also as raw bytes."""
    raws = {text: bytes.fromhex(text) for text in texts if len(text) == 32 and set(text) <= set("0123456789abcdef")}
    raw_found = {text for text, raw in raws.items() if raw in content or raw.decode("latin-1").encode() in content}
    return raw_found | {text for text in texts if text.encode() in content}


def test_no_store_holds_a_value_or_a_digest_of_an_erased_person(
    gate: redis.Redis, admin_client: Client, logs: io.StringIO
) -> None:
    sale = lobby_sale(stock={PHONE: 4})
    buy(sale, ["ani", "budi"], device="one")
    line = sale.allocations.get()
    campaign = sale.campaign
    ani = identity("ani")
    values = {ani[Axis.PHONE].lstrip("0"), ani[Axis.EMAIL], "LZD-ANI-4711"}
    order = next(one.reservation for one in Contact.objects.all() if one.read()["email"] == ani[Axis.EMAIL])
    Reservation.objects.filter(pk=order.pk).update(partner_reference="LZD-ANI-4711", metadata={"who": ani[Axis.EMAIL]})
    _answer_webhooks(order, "got LZD-ANI-4711")
    for axis in (Axis.PHONE, Axis.EMAIL):
        digest = Trait.objects.get(reservation=order, axis=axis).digest
        ListEntry.objects.create(allocation=line, axis=axis, digest=digest)
        listed_values.list_value(
            campaign=campaign, kind="block", axis=axis, digest=bytes.fromhex(digest), why="Ani of Bandung",
            expires_at=timezone.now() + timedelta(days=9), by=staff("wati"),
        )  # fmt: skip
    device = bytes.fromhex(Trait.objects.get(reservation=order, axis="device").digest)
    household = listed_values.list_value(
        campaign=campaign, kind="allow", axis=Axis.DEVICE, digest=device, why="a household",
        expires_at=timezone.now() + timedelta(days=9), by=staff("wati"),
    )  # fmt: skip
    run = review.start(sale=sale)
    review.execute(run=run.pk)
    trace = next(row.evidence["shared"][0]["trace"] for row in RingOrder.objects.filter(reservation=order))
    assert trace
    for case in Case.objects.all():
        case_desk.add_note(case=case, text="she called twice", by=staff("wati"))
        review.dismiss(case=case, by=staff("wati"))
    (answer,) = person_data.collect(request=request_of("ani", "find"), by=staff("wati"))["orders"]
    assert len(answer["review"]["notes_by_staff"]) == 1
    # Staff look, correct and search on the way.
    admin_client.post("/admin/flashsale/reservation/support/", {"typed": ani[Axis.PHONE], "why": "order"})
    correction = request_of("ani", "correct")
    person_requests.correct(request=correction, order=order.pk, changes={"name": "Ani Baru"}, by=staff("sari"))
    person_requests.close(request=correction, state="done", by=staff("sari"))
    notify.send_due()
    inbox.read_inbox()
    end_now(sale)
    digests = _digests("ani", campaign=campaign)
    others = _digests("budi", campaign=campaign) - digests
    own = digests - _digests("budi", campaign=campaign)
    before = _anywhere(gate, logs)
    assert _in(before, own) == own, "the search finds what is there"
    assert b"LZD-ANI-4711" in before
    assert erased("ani").state == "done"
    retention.forget_due()
    call_command("audit", stdout=logs)
    after = _anywhere(gate, logs)
    assert _in(after, values | own) == set()
    assert _in(after, others) == others, "another person stays as they are"
    assert list(Delivery.objects.order_by("pk").values_list("answer", flat=True)) == ["", "OK"]
    assert list(records_about(noted_values({Axis.PHONE: ani[Axis.PHONE]}))) == []
    assert list(ListedValue.objects.all()) == [household], "the value of another person's order stays on its list"
    _only_others_have_notes_and_traces(order)
    assert broken(sale) == []


def test_an_answer_that_comes_after_the_erasure_of_the_person_is_not_kept(
    gate: redis.Redis, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FLASHSALE_WEBHOOK_LOCAL = True
    sale = lobby_sale(stock={PHONE: 4})
    with Hooks(tmp_path / "hooks") as receiver:
        hook = webhook_to(receiver, channel_id(sale))
        buy(sale, ["ani", "budi"])
        inbox.read_inbox()
        end_now(sale)
        ani = next(one for one in Contact.objects.all() if one.read()["email"] == identity("ani")[Axis.EMAIL])
        order, post, once = str(ani.reservation_id), Receiver.post, asyncio.Lock()

        def erase_ani() -> None:
            if Contact.objects.filter(pk=ani.pk).exists():
                assert erased("ani").state == "done"
            connection.close()

        async def post_and_erase(self: Any, headers: Any, body: bytes) -> Any:
            """The receiver has the message and has answered. Then the person is erased, before the answer is noted."""
            answer = await post(self, headers, body)
            async with once:
                await asyncio.to_thread(erase_ani)
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(Receiver, "post", post_and_erase)
            run()
        answers = {(one.subject == order, one.answer) for one in hook.deliveries.filter(state="delivered")}
        assert answers == {(True, ""), (False, "xx")}


def _answer_webhooks(order: Reservation, answer: str) -> None:
    """A receiver has answered this about the order, and something else about a sale."""
    hook = webhooks.make(channel=order.channel_id, url="https://shop.example/", types=[], by="shell")
    for subject, text in ((str(order.pk), answer), ("sale:another", "OK")):
        told = webhooks.send_test(webhook=hook)
        Delivery.objects.filter(pk=told.pk).update(subject=subject, answer=text)


def _only_others_have_notes_and_traces(order: Reservation) -> None:
    assert [note.case.reservation_id for note in CaseNote.objects.all()] == [
        case.reservation_id for case in Case.objects.exclude(reservation=order)
    ]
    for table in (Case, RingOrder):
        (row,) = table.objects.filter(reservation=order)
        assert [one["trace"] for one in row.evidence["shared"]] == [""], "as in the erasure of a campaign"
