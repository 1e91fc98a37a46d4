"""The live board: what stands on it, in which order, its charts, its controls, and its alarm line."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from flashsale.admin.board_charts import charts
from flashsale.life import sale_control
from flashsale.life.alarm_list import ALARMS
from flashsale.life.samples import LineSample, Sample
from flashsale.models import Alarm, Record, Sale, SaleSample
from flashsale.models.sale import ms
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.factories import PHONE, Shopper, end_now, lobby_sale, open_now, rewrite, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)
BOARDS = "/admin/flashsale/sale/board/"


def _board(sale: Sale) -> str:
    return reverse("admin:flashsale_sale_board", args=[sale.pk])


def _names(page: Any) -> list[str]:
    return [board.sale.name for board in page.context["boards"]]


class _Table(HTMLParser):
    """The texts of the cells of one table, by its caption."""

    def __init__(self, html: str, caption: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._caption, self._seen, self._in = caption, "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, _attrs: Sequence[tuple[str, str | None]]) -> None:
        self._in = tag if tag == "caption" else self._in
        if tag == "tr" and self._seen == self._caption:
            self.rows.append([])
        if tag in {"td", "th"} and self.rows and self._seen == self._caption:
            self.rows[-1].append("")
            self._in = "cell"

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._seen = ""
        if tag in {"td", "th", "caption"}:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "caption":
            self._seen = data
        elif self._in == "cell":
            self.rows[-1][-1] += data


def _sampled(sale: Sale, *, seconds: int = 120) -> None:
    """Samples of the last minutes: a person enters each second, every second one is called, half of those buy."""
    now = int(timezone.now().timestamp())
    SaleSample.objects.bulk_create(
        SaleSample(
            sale=sale, second=now - seconds + n, phase="open",
            lines=[["first", 100 + n, n // 2, n // 4, n // 8, 1000 - n, n // 2, n - n // 2]],
            refused={"not_called": 3 * n, "sold_out": n}, door_requests=5 * n, door_p95_ms=12, gate_ms=1, books_ms=4,
            payments_waiting=n // 2, review_backlog=7,
        )
        for n in range(seconds)
    )  # fmt: skip


def test_what_runs_stands_first_then_what_comes_and_nothing_of_yesterday(alice: Client) -> None:
    coming = lobby_sale(name="Comes", opens_in_s=7200)
    running = open_now(lobby_sale(name="Runs"))
    paused = open_now(lobby_sale(name="Paused"))
    sale_control.pause(sale=paused)
    over = end_now(open_now(lobby_sale(name="Just over")))
    yesterday = end_now(open_now(lobby_sale(name="Yesterday")))
    assert over.phase(ms(timezone.now())) == "closed"
    rewrite(
        Sale.objects.filter(pk=yesterday.pk),
        paused_ms=0,
        opens_at=timezone.now() - timedelta(hours=20), lobby_at=timezone.now() - timedelta(hours=30),
        closes_at=timezone.now() - timedelta(hours=19),
    )  # fmt: skip
    page = alice.get(BOARDS)
    assert _names(page) == ["Runs", "Paused", "Comes", "Just over"]
    first_page = alice.get("/admin/").content.decode()
    places = [first_page.index(f">{name}</a>") for name in ("Runs", "Paused", "Comes", "Just over")]
    assert places == sorted(places)
    assert "Yesterday</a></h2>" not in first_page
    assert f'href="{BOARDS}"' in first_page
    assert f'href="{_board(coming)}"' in first_page
    assert [board.clock.text for board in page.context["boards"]] == [
        "closes in", "paused; left until the end", "opens in", "closed",
    ]  # fmt: skip
    assert running.pk in {board.sale.pk for board in page.context["boards"]}


def test_the_board_of_a_sale_shows_its_samples_as_charts_and_tables(alice: Client, dave: Client) -> None:
    sale = open_now(lobby_sale(stock={PHONE: 3}))
    Shopper(sale, "ani").enter()
    tend(sale)
    before = alice.get(_board(sale))
    assert before.context["boards"][0].figures.sums == {
        "entered": 1, "called": 1, "claimed": None, "lapsed": None, "free": 3, "held": 0, "sold": 0,
    }  # fmt: skip
    assert before.context["boards"][0].charts == []
    _sampled(sale)
    for language in ("en", "id"):
        page = dave.get(_board(sale), headers={"accept-language": language})
        html = page.content.decode()
        assert page.status_code == 200
        assert INLINE.findall(html) == []
        assert f'lang="{language}"' in html
        assert html.count("<figure") == 5
    (board,) = dave.get(_board(sale)).context["boards"]
    assert board.figures.sums == {
        "entered": 219, "called": 59, "claimed": 29, "lapsed": 14, "free": 881, "held": 59, "sold": 60,
    }  # fmt: skip
    assert board.figures.per_minute == {"entered": 60, "called": 30, "claimed": 15, "lapsed": 7}
    html = dave.get(_board(sale), headers={"accept-language": "en"}).content.decode()
    assert _Table(html, "Units of each line").rows[1][:4] == ["first", "881", "59", "60"]
    refused = _Table(html, "Refused, by reason").rows
    assert refused[1:] == [["not_called", "357", "180"], ["sold_out", "119", "60"]]
    people = _Table(html, "People").rows
    assert people[0] == ["time", "entered", "called", "claimed", "lapsed"]
    assert people[1][1:] == ["219", "59", "29", "14"]
    part = dave.get(_board(sale), {"part": "1"}).content.decode()
    assert "<html" not in part
    assert 'id="figures-' in part
    assert dave.get(_board(sale), {"big": "1"}).content.decode().count("board-page big") == 1
    draft = lobby_sale()
    rewrite(Sale.objects.filter(pk=draft.pk), state="called_off")
    assert alice.get(_board(draft)).status_code == 200
    assert alice.get(reverse("admin:flashsale_sale_board", args=[10**6])).status_code == 404
    assert Client().get(BOARDS).status_code == 302


def test_controls_of_the_board_ask_and_lead_back_to_it(alice: Client, dave: Client) -> None:
    sale = open_now(lobby_sale())
    assert action_links(dave.get(_board(sale)), "pause") == []
    page = alice.get(_board(sale))
    names = ["pause", "resume", "tell", "brake", "add-units", "close-early", "call-off"]
    assert [len(action_links(page, name)) for name in names] == [1, 0, 1, 1, 0, 1, 1]
    url = action_links(page, "pause")[0]
    asked = alice.get(url).content.decode()
    assert "What will happen" in asked
    assert Sale.objects.get().state == "published"
    assert f'href="{_board(sale)}" class="closelink"' in asked
    paused = submit(alice, url, message="Sebentar", message_en="One moment")
    assert paused.redirect_chain == [(_board(sale), 302)]
    assert messages_on(paused) == ["26 January is paused."]
    assert "Sebentar<br>One moment" in paused.content.decode()
    assert [len(action_links(paused, name)) for name in names] == [0, 1, 1, 1, 0, 0, 1]
    submit(alice, action_links(paused, "resume")[0])
    page = submit(alice, action_links(alice.get(_board(sale)), "brake")[0], rate_per_s="50", poll_ms="0")
    assert page.redirect_chain == [(_board(sale), 302)]
    # The sale's own page still leads to itself.
    change = reverse("admin:flashsale_sale_change", args=[sale.pk])
    plain = action_links(alice.get(change), "tell")[0]
    assert submit(alice, plain, message="x").redirect_chain == [(change, 302)]
    submit(alice, action_links(alice.get(_board(sale)), "close-early")[0])
    done = list(
        Record.objects.filter(sale=sale, who__startswith="staff:").order_by("pk").values_list("what", flat=True)
    )
    assert done == ["pause", "resume", "brake", "tell", "close_early"]
    assert "seen" not in form_values(alice.get(_board(sale)))


def test_an_alarm_stands_on_top_of_the_board_and_of_the_first_page(alice: Client) -> None:
    sale = open_now(lobby_sale())
    now = timezone.now() - timedelta(minutes=3)
    fields = {"noticed_at": now, "seen_at": now, "raised_at": now}
    Alarm.objects.create(
        code="webhook_off", subject="webhook:1", facts={"channel": "<b>Lazada", "why": "gone"}, **fields
    )
    Alarm.objects.create(code="of_a_later_release", facts={"a": 1}, **fields)
    Alarm.objects.create(code="gate_down", ended_at=timezone.now(), **fields)
    for url in ("/admin/", BOARDS, _board(sale)):
        html = alice.get(url).content.decode()
        assert html.index("A partner&#x27;s webhook was switched off") < html.rindex(">26 January")
        assert "&lt;b&gt;Lazada: its receiver answered" in html
        assert "docs/operate.md#alarm-webhook_off" in html
        assert "of_a_later_release" in html
        assert "Redis does not answer" not in html
    assert f'href="{reverse("admin_alarms")}#alarm-webhook_off"' in html
    paragraphs = alice.get(reverse("admin_alarms")).content.decode()
    assert [code for code in ALARMS if f'<h2 id="alarm-{code}">' not in paragraphs] == []
    assert '<h2 id="alarm-gate_down">Redis does not answer <code>gate_down</code></h2>' in paragraphs
    assert Client().get(reverse("admin_alarms")).status_code == 302
    indonesian = alice.get(BOARDS, headers={"accept-language": "id"}).content.decode()
    assert "A partner&#x27;s webhook" not in indonesian


def test_a_second_without_a_measurement_is_a_gap_and_not_a_line() -> None:
    at = datetime(2027, 1, 29, 3, 0, tzinfo=UTC)

    def sample(second: int, p95: int | None) -> Sample:
        line = LineSample("first", second, 0, 0, 0, 0, 0, 0)
        return Sample(at + timedelta(seconds=second), "open", (line,), {}, 0, p95, None, None, 0, 0)

    translation.activate("en")
    found = charts([sample(0, 10), sample(1, 20), sample(2, None), sample(3, 40), sample(30, 90)], ZoneInfo("UTC"))
    door = next(chart for chart in found if chart.title.startswith("The door"))
    (curve,) = door.curves
    assert [len(part.split()) for part in curve.parts] == [2, 2, 2]
    assert (curve.last, [text for _y, text in door.scale]) == ("90", ["0", "50", "100"])
    assert [text for _x, text in door.times] == ["03:00:00", "03:00:02", "03:00:30"]
    lag = next(chart for chart in found if chart.title == "Round trips")
    assert [(curve.last, curve.parts) for curve in lag.curves] == [("–", ()), ("–", ())]
    assert charts([sample(0, 10)], ZoneInfo("UTC")) == []
