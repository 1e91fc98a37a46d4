"""A partner's reference and metadata come back with the reservation, and lead to it."""

from base64 import b64encode
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import redis
from django.db import OperationalError, connection
from django.utils import timezone

from flashsale.life import spent_place
from flashsale.life.erase import erase
from flashsale.life.rebuild import rebuild
from flashsale.life.schedule import publish
from flashsale.models import Event, Reservation, Sale
from tests.factories import PHONE, draft_sale, end_now, open_now, tend
from tests.web.asgi import Reply
from tests.web.partner import ORDER, Partner, Shop, key_of

pytestmark = [pytest.mark.usefixtures("gate"), pytest.mark.books]

REFERENCE, METADATA = "ORD-2026/000123", {"cart": "c-8812", "kota": "Bandung – Dago"}
ATTACHED: dict[str, Any] = {"partner_reference": REFERENCE, "metadata": METADATA}


def reserve(partner: Partner, place: str, *, key: str = "k1", **members: Any) -> Reply:
    body = {"place": place, "items": [{"sku": PHONE, "quantity": 1}]} | members
    return partner.post("reserve", body, idempotency_key=key)


def called(partner: Partner, *names: str) -> list[str]:
    """The places of people who may reserve now."""
    places = [partner.enter(name) for name in names]
    for _drawn_then_called in range(2):
        open_now(partner.sale)
        tend(partner.sale)
    return places


@pytest.fixture
def shop(lazada: Partner) -> Shop:
    return Shop(lazada)


class TestAttached:
    def test_both_come_back_everywhere(self, lazada: Partner, shop: Shop) -> None:
        (place,) = called(lazada, "ani")
        reply = reserve(lazada, place, **ATTACHED)
        assert (reply.status, reply.json["partner_reference"], reply.json["metadata"]) == (201, REFERENCE, METADATA)
        id_ = reply.json["reservation"]
        for document in (
            shop.get(f"/{id_}").json(),
            *shop.get().json()["results"],
            shop.post(id_, "confirm", ORDER).json(),
            shop.post(id_, "cancel", {"reason": "buyer_request"}, key="k2").json(),
        ):
            assert (document["partner_reference"], document["metadata"]) == (REFERENCE, METADATA)
        events = [one for one in shop.client.get("/v1/events").json()["results"] if one["reservation"]]
        assert {one["type"].partition(".")[0] for one in events} == {"reservation", "payment", "refund"}
        assert all(one["data"] | ATTACHED == one["data"] for one in events)

    def test_a_reservation_without_them_says_so(self, lazada: Partner, shop: Shop) -> None:
        (place,) = called(lazada, "ani")
        reply = reserve(lazada, place, metadata={})
        document = shop.get(f"/{reply.json['reservation']}").json()
        for found in (reply.json, document):
            assert (found["partner_reference"], found["metadata"]) == (None, {})
        events = shop.client.get("/v1/events").json()["results"]
        assert not any({"partner_reference", "metadata"} & one["data"].keys() for one in events)

    def test_the_same_key_gets_the_same_answer_and_with_others_is_refused(self, lazada: Partner) -> None:
        (place,) = called(lazada, "ani")
        first = reserve(lazada, place, **ATTACHED)
        again = reserve(lazada, place, metadata=dict(reversed(METADATA.items())), partner_reference=REFERENCE)
        assert (again.status, again.body) == (201, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        for other in ({}, ATTACHED | {"partner_reference": "ORD-2"}, ATTACHED | {"metadata": {"cart": "c-1"}}):
            assert reserve(lazada, place, **other).code == (422, "key_reused")
        row = Reservation.objects.get()
        assert (row.partner_reference, row.metadata) == (REFERENCE, METADATA)

    def test_the_same_key_gets_the_same_answer_after_redis_has_lost_all(
        self, gate: redis.Redis, lazada: Partner
    ) -> None:
        (place,) = called(lazada, "ani")
        first = reserve(lazada, place, **ATTACHED)
        gate.flushall()
        rebuild(sale=lazada.sale.pk)
        assert reserve(lazada, place, **ATTACHED).body == first.body
        assert reserve(lazada, place).code == (422, "key_reused")

    def test_a_retry_brings_them_when_the_process_died_before_the_commit(
        self, lazada: Partner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (place,) = called(lazada, "ani")
        with monkeypatch.context() as patch:
            patch.setattr("flashsale.books.reservations._write", _fails)
            assert reserve(lazada, place, **ATTACHED).code == (503, "unknown")
        assert not Reservation.objects.exists()
        assert reserve(lazada, place).code == (422, "key_reused")
        assert reserve(lazada, place, **ATTACHED).status == 201
        row = Reservation.objects.get()
        assert (row.state, row.partner_reference, row.metadata) == ("held", REFERENCE, METADATA)

    def test_redis_gets_nothing_of_them(self, gate: redis.Redis, lazada: Partner) -> None:
        (place,) = called(lazada, "ani")
        assert reserve(lazada, place, **ATTACHED).status == 201
        stored = b" ".join(gate.dump(key) or b"" for key in gate.scan_iter())
        assert b"ORD-2026" not in stored
        assert b"c-8812" not in stored

    @pytest.mark.parametrize(
        ("members", "why"),
        [
            ({"partner_reference": "two words"}, "partner_reference must be a string of 1 to 64"),
            ({"partner_reference": None}, "partner_reference is null"),
            ({"metadata": None}, "metadata is null"),
            ({"metadata": {"a": 1}}, "metadata: a must be a string"),
        ],
    )
    def test_others_are_refused_and_nothing_is_held(self, lazada: Partner, members: dict[str, Any], why: str) -> None:
        (place,) = called(lazada, "ani")
        reply = reserve(lazada, place, **members)
        assert reply.code == (400, "malformed")
        assert reply.json["detail"].startswith(why)
        assert not Reservation.objects.exists()
        assert reserve(lazada, place).status == 201

    def test_two_holds_may_have_one_reference(self, lazada: Partner, shop: Shop) -> None:
        made = [
            reserve(lazada, place, key=key, **ATTACHED).json["reservation"]
            for key, place in zip("ab", called(lazada, "ani", "budi"), strict=True)
        ]
        found = shop.get(f"?partner_reference={quote(REFERENCE)}").json()["results"]
        assert sorted(row["id"] for row in found) == sorted(made)

    def test_the_erasure_of_a_campaign_deletes_them(self, lazada: Partner, shop: Shop) -> None:
        (place,) = called(lazada, "ani")
        shop.post(reserve(lazada, place, **ATTACHED).json["reservation"], "release")
        erase(campaign=end_now(lazada.sale).campaign)
        row = Reservation.objects.get()
        assert (row.state, row.partner_reference, row.metadata) == ("released", None, None)


def _fails(_fresh: object) -> None:
    raise OperationalError("the process died")


class TestPlaceSpent:
    def test_it_names_the_reservation_to_the_channel_that_made_it(self, lazada: Partner) -> None:
        (place,) = called(lazada, "ani")
        made = reserve(lazada, place).json["reservation"]
        reply = reserve(lazada, place, key="k2")
        assert (reply.code, reply.json["reservation"]) == ((409, "place_spent"), made)

    def test_it_names_nothing_to_another_channel_with_the_same_place(self, sale: Sale) -> None:
        line = {"code": "both", "channels": ["lazada", "akulaku"], "stock": {PHONE: 5}}
        shared = draft_sale(sale.campaign, lines=[line])
        publish(sale=shared)
        ours, others = (Partner(key_of(sale.campaign, code), shared, "both") for code in ("lazada", "akulaku"))
        places = ours.enter("ani"), others.enter("ani")
        for _drawn_then_called in range(2):
            open_now(shared)
            tend(shared)
        made = reserve(ours, places[0]).json["reservation"]
        refused = reserve(others, places[1])
        assert (refused.code, refused.json.get("reservation")) == ((409, "place_spent"), None)
        assert made not in refused.body.decode()
        assert reserve(ours, places[0], key="k2").json["reservation"] == made

    def test_it_is_the_same_refusal_without_the_name_when_postgresql_does_not_answer(
        self, lazada: Partner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (place,) = called(lazada, "ani")
        reserve(lazada, place)

        def fails(_places: Any) -> None:
            raise OperationalError

        monkeypatch.setattr(spent_place._reading, "_work", fails)
        reply = reserve(lazada, place, key="k2")
        assert (reply.code, "reservation" in reply.json) == ((409, "place_spent"), False)


class TestList:
    def test_filters_narrow_it(self, sale: Sale, lazada: Partner, shop: Shop) -> None:
        places = called(lazada, "ani", "budi", "cici")
        made = [reserve(lazada, place, key=str(n), partner_reference=f"O-{n}").json for n, place in enumerate(places)]
        ids = [one["reservation"] for one in made]

        def found(query: str) -> list[str]:
            return [row["id"] for row in shop.get(query).json()["results"]]

        assert found("?partner_reference=O-1") == [ids[1]]
        assert found("?partner_reference=O-9") == []
        assert found(f"?sale={sale.code}&line=lazada") == ids[::-1]
        assert found(f"?sale={sale.code}&line=akulaku") == []
        for row in shop.get().json()["results"]:
            assert found(f"?sale={sale.code}&line=lazada&index={row['index']}") == [row["id"]]
        shop.post(ids[0], "release")
        assert found("?state=released") == [ids[0]]
        assert found("?state=held&partner_reference=O-0") == []

    @pytest.mark.parametrize(
        "query",
        [
            "index=1",
            "index=1&line=lazada",
            "index=0",
            "index=x",
            "updated_after=yesterday",
            "partner_reference=",
            "updated_after=2026-11-29",
            "updated_after=2026-11-29T10:00:00",
        ],
    )
    def test_a_filter_that_names_nothing_is_refused(self, shop: Shop, query: str) -> None:
        reply = shop.get(f"?{query}")
        assert (reply.status_code, reply.json()["code"]) == (400, "malformed")

    def test_updated_after_finds_what_has_an_event_since(self, lazada: Partner, shop: Shop) -> None:
        ids = [
            reserve(lazada, place, key=str(n)).json["reservation"]
            for n, place in enumerate(called(lazada, "ani", "budi"))
        ]
        Event.objects.update(at=timezone.now() - timedelta(minutes=10))
        read_at = quote(shop.get().json()["now"])
        assert shop.get(f"?updated_after={read_at}").json()["results"] == []
        shop.post(ids[0], "confirm", ORDER)
        assert [row["id"] for row in shop.get(f"?updated_after={read_at}").json()["results"]] == [ids[0]]
        hour_ago = quote((timezone.now() - timedelta(hours=1)).isoformat())
        assert len(shop.get(f"?updated_after={hour_ago}").json()["results"]) == 2
        month_ago = quote((timezone.now() - timedelta(days=31)).isoformat())
        reply = shop.get(f"?updated_after={month_ago}")
        assert (reply.status_code, reply.json()["code"]) == (400, "malformed")
        assert "at most 30 days ago" in reply.json()["detail"]

    def test_a_change_that_is_committed_after_the_reading_is_not_lost(self, lazada: Partner, shop: Shop) -> None:
        (place,) = called(lazada, "ani")
        id_ = reserve(lazada, place).json["reservation"]
        read_at = timezone.now()
        Event.objects.filter(reservation=id_).update(at=read_at - timedelta(seconds=59))
        assert len(shop.get(f"?updated_after={quote(read_at.isoformat())}").json()["results"]) == 1
        Event.objects.filter(reservation=id_).update(at=read_at - timedelta(seconds=61))
        assert shop.get(f"?updated_after={quote(read_at.isoformat())}").json()["results"] == []

    def test_another_channel_finds_nothing_by_a_reference_or_a_time(self, lazada: Partner, akulaku: Partner) -> None:
        (place,) = called(lazada, "ani")
        reserve(lazada, place, **ATTACHED)
        hour_ago = quote((timezone.now() - timedelta(hours=1)).isoformat())
        for query in (f"partner_reference={quote(REFERENCE)}", f"updated_after={hour_ago}"):
            assert Shop(akulaku).get(f"?{query}").json()["results"] == []

    def test_pages_name_each_row_once_when_others_leave_the_filter_meanwhile(self, lazada: Partner, shop: Shop) -> None:
        names = [f"person-{n}" for n in range(6)]
        ids = [reserve(lazada, place, key=str(n)).json["reservation"] for n, place in enumerate(called(lazada, *names))]
        # All of one moment, as after a batch.
        Reservation.objects.update(made_at=timezone.now())
        everything = [row["id"] for row in shop.get("?limit=100").json()["results"]]
        assert everything == sorted(ids, reverse=True)
        page = shop.get("?limit=2&state=held").json()
        seen = [row["id"] for row in page["results"]]
        assert (seen, page["previous"]) == (everything[:2], None)
        for id_ in (everything[0], everything[3]):
            shop.post(id_, "release", key=id_)
        while page["next"]:
            page = shop.client.get(page["next"]).json()
            seen += [row["id"] for row in page["results"]]
        assert seen == [id_ for id_ in everything if id_ != everything[3]]
        back: list[str] = []
        while page["previous"]:
            page = shop.client.get(page["previous"]).json()
            back = [row["id"] for row in page["results"]] + back
        assert back == [id_ for id_ in seen if id_ != everything[0]][: len(back)]
        assert len(back) >= 2

    def test_a_cursor_of_the_release_before_still_leads_on(self, lazada: Partner, shop: Shop) -> None:
        for n, place in enumerate(called(lazada, "ani", "budi")):
            reserve(lazada, place, key=str(n))
        newest, oldest = Reservation.objects.order_by("-made_at")
        Reservation.objects.filter(pk=newest.pk).update(made_at=oldest.made_at + timedelta(seconds=1))
        old = b64encode(f"p={quote((oldest.made_at + timedelta(seconds=1)).isoformat())}".encode()).decode()
        found = shop.get(f"?cursor={quote(old)}").json()
        assert [row["id"] for row in found["results"]] == [str(oldest.pk)]

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL: its plans are read")
    def test_each_filter_has_an_index(self, lazada: Partner) -> None:
        (place,) = called(lazada, "ani")
        reserve(lazada, place, **ATTACHED)
        row = Reservation.objects.get()
        asked = {
            "reservations_by_reference": Reservation.objects.filter(channel=row.channel_id, partner_reference="x"),
            "reservations_by_place": Reservation.objects.filter(allocation=row.allocation_id, index=1),
            "changes_of_a_channel": Event.objects.filter(
                channel=row.channel_id, reservation__isnull=False, at__gte=timezone.now()
            ),
        }
        known = Event.objects.filter(reservation=row).latest("sequence")
        Event.objects.bulk_create(
            Event(type=known.type, channel=known.channel, sale=known.sale, reservation=row, sequence=known.sequence + n,
                  at=known.at - timedelta(hours=n), data={})
            for n in range(1, 1000)
        )  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE flashsale_event")  # in an almost empty table all indexes are worth the same
            cursor.execute("SET enable_seqscan = off")
            try:
                for index, rows in asked.items():
                    assert index in rows.explain()
            finally:
                cursor.execute("SET enable_seqscan = on")
