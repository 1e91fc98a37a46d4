"""The document of a sale has all that a partner must know before it sells, and one clock."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils.dateparse import parse_datetime

from flashsale.gate import inspect
from flashsale.gate.client import LUA, GateDown
from flashsale.life import sale_control
from flashsale.models import Channel, Sale
from flashsale.models.sale import moment
from flashsale.rules.identity import Axis
from flashsale.web.api.requirements import QUOTAS, UNPAID_MAX
from flashsale.web.hot import partners
from tests.factories import PHONE, begun, lobby_sale, poco_campaign
from tests.web.partner import Partner, key_of

pytestmark = pytest.mark.usefixtures("gate", "transactional_db")


def test_axes_limits_windows_quotas_and_money_are_readable(client: Client) -> None:
    axes = {Axis.PHONE: "hard enter", Axis.NATIONAL_ID: "hard confirm", Axis.ADDRESS: "soft"}
    campaign = poco_campaign(axes=axes, limit=3, appeal_s=7200)
    sale = lobby_sale(campaign, limit=2, claim_s=120, hold_s=600, max_entries=4000)
    document = client.get(f"/v1/sales/{sale.code}").json()
    assert sorted(document["axes"], key=lambda one: one["axis"]) == [
        {"axis": "address", "hard": False, "needed_at": "confirm"},
        {"axis": "national_id", "hard": True, "needed_at": "confirm"},
        {"axis": "phone", "hard": True, "needed_at": "enter"},
    ]
    assert document["limits"] == {"campaign": 3, "sale": 2, "unpaid_holds": 2}
    assert document["windows"] == {"claim_s": 120, "claim_with_extra_time_s": 240, "hold_s": 600, "appeal_s": 7200}
    assert document["money"] == {"currency": "IDR", "decimals": 0}
    assert (document["entries_max"], document["channel"]) == (4000, None)
    assert document["quotas"] == [dict(quota) for quota in QUOTAS]
    by_name = {(quota["name"], quota["counted_by"]): quota for quota in document["quotas"]}
    assert by_name["read", "channel"] == {
        "name": "read", "counted_by": "channel", "calls": 6000, "period_s": 60, "at_once": 6000,
    }  # fmt: skip
    enter = [
        quota["calls"] for quota in document["quotas"] if (quota["name"], quota["counted_by"]) == ("enter", "channel")
    ]
    assert enter == [1_200_000, 20_000]
    assert by_name["enter", "person"] == {
        "name": "enter", "counted_by": "person", "calls": 1, "period_s": 1, "at_once": 30,
    }  # fmt: skip


def test_the_limit_of_unpaid_holds_is_that_of_the_scripts() -> None:
    prelude = (Path(str(LUA)) / "prelude.lua").read_text()
    found = re.search(r"UNPAID_MAX = (\d+)", prelude)
    assert found
    assert int(found[1]) == UNPAID_MAX


def test_two_clocks_at_one_moment_make_each_time_of_a_line_a_time_of_day(client: Client) -> None:
    sale = begun(lobby_sale())
    sale_control.pause(sale=sale)
    Sale.objects.filter(pk=sale.pk).update(paused_ms=90_000)
    document = client.get(f"/v1/sales/{sale.code}").json()
    now = parse_datetime(document["now"])
    assert now is not None
    sale.refresh_from_db()
    wall = round(now.timestamp() * 1000)
    assert document["line_now"] == sale.line_ms(wall)
    assert wall - document["line_now"] >= 90_000


def test_a_look_has_both_clocks(sale: Sale, lazada: Partner) -> None:
    found = lazada.post("look", {"place": lazada.enter("ani")}).json
    at = parse_datetime(found["now_at"])
    assert at is not None
    assert abs(at - moment(found["now"])) < timedelta(seconds=5)
    assert found["now_at"].endswith("Z")


class TestOwnChannel:
    @pytest.fixture
    def shared(self) -> Sale:
        campaign = poco_campaign()
        Channel.objects.filter(campaign=campaign, code="akulaku").update(entries_max=7, payment_accounts="partner")
        lines = [
            {"code": "both", "channels": ["lazada", "akulaku"], "stock": {PHONE: 5}},
            {"code": "own", "channels": ["mi-store"], "stock": {PHONE: 5}},
        ]
        return lobby_sale(campaign, lines=lines, max_entries=1000)

    def read(self, sale: Sale, code: str) -> Client:
        key = key_of(sale.campaign, code)
        partners.forget_keys()
        return Client(headers={"authorization": f"Bearer {key}"})

    def test_a_channel_reads_its_share_its_entries_and_its_methods(self, shared: Sale) -> None:
        key = key_of(shared.campaign, "lazada")
        Partner(key, shared, "both").enter("ani")
        reply = Client(headers={"authorization": f"Bearer {key}"}).get(f"/v1/sales/{shared.code}")
        found = reply.json()["channel"]
        assert found["code"] == "lazada"
        assert found["lines"] == [{"code": "both", "entries_max": 500, "entries": 1}]
        assert {method["name"]: method["needs_instrument"] for method in found["payment_methods"]} == {
            "qris": False, "va": False, "card": True,
        }  # fmt: skip
        (qris,) = (method for method in found["payment_methods"] if method["name"] == "qris")
        assert (qris["amount_min"], qris["amount_max"], qris["refund_s"]) == (1, 10**9, None)
        assert (reply["Cache-Control"], reply["Vary"]) == ("no-store", "Authorization, Accept-Language")

    def test_a_channel_reads_nothing_of_another_one(self, shared: Sale) -> None:
        other = Partner(key_of(shared.campaign, "akulaku"), shared, "both")
        other.enter("budi")
        found = self.read(shared, "akulaku").get(f"/v1/sales/{shared.code}").json()["channel"]
        assert found["lines"] == [{"code": "both", "entries_max": 7, "entries": 1}]
        assert [method["name"] for method in found["payment_methods"]] == ["partner"]
        text = self.read(shared, "lazada").get(f"/v1/sales/{shared.code}").content.decode()
        assert '"entries_max":7' not in text
        alone = self.read(shared, "mi-store").get(f"/v1/sales/{shared.code}").json()["channel"]
        assert alone["lines"] == [{"code": "own", "entries_max": 1000, "entries": None}]

    def test_a_channel_reads_the_quotas_that_its_calls_have(self, shared: Sale) -> None:
        Channel.objects.filter(code="lazada").update(quotas="read:20, look:30, pay:40")
        reply = self.read(shared, "lazada").get(f"/v1/sales/{shared.code}")
        assert '"api partner";q=20;w=60' in reply["RateLimit-Policy"]
        found = {(one["name"], one["counted_by"], one["period_s"]): one["calls"] for one in reply.json()["quotas"]}
        default = {(one["name"], one["counted_by"], one["period_s"]): one["calls"] for one in QUOTAS}
        own = {("read", "channel", 60): 20, ("look", "channel", 60): 30, ("pay", "channel", 60): 40}
        assert found == default | own
        assert self.read(shared, "mi-store").get(f"/v1/sales/{shared.code}").json()["quotas"] == list(QUOTAS)

    def test_a_channel_of_another_campaign_reads_what_everybody_reads(self, shared: Sale) -> None:
        other = lobby_sale()
        document = self.read(other, "lazada").get(f"/v1/sales/{shared.code}").json()
        assert document["channel"] is None

    def test_a_wrong_key_is_refused_and_no_key_is_public(self, shared: Sale, client: Client) -> None:
        wrong = client.get(f"/v1/sales/{shared.code}", headers={"authorization": "Bearer fs_live_" + "A" * 43})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthenticated")
        public = client.get(f"/v1/sales/{shared.code}")
        assert (public["Cache-Control"], public["Vary"]) == ("public, max-age=5", "Authorization, Accept-Language")
        assert public.json()["channel"] is None

    def test_it_is_readable_while_redis_does_not_answer(self, shared: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fails(*_: object) -> None:
            raise GateDown

        monkeypatch.setattr(inspect, "entries_of_channel", fails)
        found = self.read(shared, "lazada").get(f"/v1/sales/{shared.code}").json()["channel"]
        assert found["lines"] == [{"code": "both", "entries_max": 500, "entries": None}]
