"""The pages that need no JavaScript: home, a sale, the demo's outbox."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.mail import EmailMessage, get_connection
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from flashsale.gate.client import GateDown
from flashsale.life import places
from flashsale.life.sale_control import close_early
from flashsale.models import Sale
from flashsale.rules.money import format_money
from flashsale.web.formatting import format_time, format_time_ms
from flashsale.web.pages import sale_page
from simulation.outbox_page import MAILS_MAX, newest_mails
from tests.factories import PHONE, begun, draft_sale, forget, lobby_sale, open_now, poco_campaign

pytestmark = pytest.mark.django_db(transaction=True)


def text(path: str, language: str = "en", **settings: Any) -> str:
    answer = Client(headers={"accept-language": language}).get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_home_lists_what_is_published(gate: redis.Redis) -> None:
    campaign = poco_campaign()
    coming, draft = lobby_sale(campaign, name="29 January"), draft_sale(campaign, name="secret plan")
    page = text("/")
    assert f"/s/{coming.code}/" in page
    assert draft.name not in page


def test_home_shows_the_last_three_sales_that_are_over(gate: redis.Redis) -> None:
    campaign = poco_campaign()
    for n in range(5):
        begun(lobby_sale(campaign, name=f"past {n}"))
    long_ago = timezone.now() - timedelta(days=2)
    Sale._base_manager.update(opens_at=long_ago, lobby_at=long_ago, closes_at=long_ago + timedelta(hours=1))
    assert text("/").count("past ") == sale_page.PAST_SHOWN


def test_the_page_has_two_languages_and_local_time(gate: redis.Redis) -> None:
    sale = lobby_sale(channels=("mi.com",))
    assert "Cara kerja antrean" in text(f"/s/{sale.code}/", "id")
    assert "How the line works" in text(f"/s/{sale.code}/", "en")
    assert "Cara kerja antrean" in text(f"/s/{sale.code}/", "")
    assert text(f"/s/{sale.code}/").count(" WIB") == 2


def test_a_line_that_carries_an_order_over_announces_no_draw(gate: redis.Redis) -> None:
    campaign = poco_campaign()
    first = open_now(lobby_sale(campaign, channels=("mi.com",)))
    close_early(sale=first)
    carried = {"code": "again", "channels": ["mi.com"], "stock": {PHONE: 1}, "carries": first.allocations.get()}
    rerun = lobby_sale(campaign, lines=[carried])
    drawn, old = "the draw at the opening decides", "there is no new draw"
    pages_of = [text(f"/s/{sale.code}/") for sale in (lobby_sale(campaign, channels=("mi.com",)), rerun)]
    assert [(drawn in page, old in page) for page in pages_of] == [(True, False), (False, True)]


def test_a_partners_sale_links_to_the_partners(gate: redis.Redis) -> None:
    page = text(f"/s/{lobby_sale(channels=('lazada', 'akulaku')).code}/")
    assert "This sale is only on Lazada, Akulaku." in page
    assert re.findall(r'href="(\S+)" rel="noreferrer">(.+?)<', page) == [
        ("https://lazada.example/flash", "Open Lazada")
    ]
    assert "line.js" not in page


def test_a_sale_that_redis_no_longer_has_is_shown_from_postgresql(gate: redis.Redis) -> None:
    sale = open_now(lobby_sale(channels=("mi.com",)))
    forget(sale)
    page = text(f"/s/{sale.code}/")
    assert sale.commitment in page
    assert "line.js" not in page


def test_a_draft_has_no_page(gate: redis.Redis) -> None:
    assert Client().get(f"/s/{draft_sale().code}/").status_code == 404
    assert Client().get("/s/nothing/").status_code == 404


def test_when_redis_is_down_the_page_reloads_and_places_are_kept(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(**_: str) -> None:
        raise GateDown("card")

    monkeypatch.setattr(places, "sale_card", down)
    answer = Client(headers={"accept-language": "en"}).get("/s/sale/")
    assert (answer.status_code, answer["Retry-After"], answer["Refresh"]) == (503, "20", "20")
    assert "Your place is safe" in answer.content.decode()


def test_texts_of_others_are_escaped(gate: redis.Redis) -> None:
    sale = lobby_sale(channels=("mi.com",), name="</script><b>", message="<img src=x>")
    page = text(f"/s/{sale.code}/")
    assert "<b>" not in page.partition("<main")[2].partition("</h1>")[0]
    assert "<img" not in page
    assert page.count("</script>") == 2  # a file and the JSON data


def test_nothing_is_inline_or_from_another_server(gate: redis.Redis) -> None:
    sale = lobby_sale(channels=("mi.com",))
    answer = Client().get(f"/s/{sale.code}/")
    page = answer.content.decode()
    assert "style=" not in page
    assert "onclick" not in page
    assert "https://" not in page
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]


def test_the_outbox_is_a_demos_alone(gate: redis.Redis, settings: Any, tmp_path: Path) -> None:
    assert Client().get("/outbox").status_code == 404
    settings.FLASHSALE_DEMO, settings.EMAIL_FILE_PATH = True, str(tmp_path)
    assert "Nothing was sent yet." in text("/outbox")


def test_the_outbox_shows_the_newest_mails_as_text(gate: redis.Redis, settings: Any, tmp_path: Path) -> None:
    settings.FLASHSALE_DEMO, settings.EMAIL_FILE_PATH = True, str(tmp_path)
    backend = get_connection("django.core.mail.backends.filebased.EmailBackend", file_path=str(tmp_path))
    letters = [EmailMessage(f"Nº {n}", "<b>héllo</b>", to=["a@example.com"]) for n in range(MAILS_MAX + 2)]
    backend.send_messages(letters)
    mails = newest_mails(folder=tmp_path)
    assert (len(mails), mails[0].subject) == (MAILS_MAX, f"Nº {MAILS_MAX + 1}")
    assert "&lt;b&gt;héllo&lt;/b&gt;" in text("/outbox")


@pytest.mark.parametrize(
    "written", ["Fri, 29 Jan 2027 03:00:00 -0000", "Fri, 29 Jan 2027 03:00:00 +0000", "Fri, 29 Jan 2027 10:00:00 +0700"]
)
def test_the_outbox_tells_the_time_of_a_mail_in_the_sites_zone(tmp_path: Path, written: str) -> None:
    """Django writes "-0000", which Python reads as a time without a zone; it was taken for the time of Jakarta."""
    (tmp_path / "1.log").write_text(f"Subject: Code\nTo: a@example.com\nDate: {written}\n\n123456\n")
    with override("id"):
        assert [mail.date for mail in newest_mails(folder=tmp_path)] == ["Jum, 29 Jan 2027, 10.00 WIB"]


def test_a_mail_that_was_sent_now_has_the_time_of_now_on_the_outbox_page(tmp_path: Path) -> None:
    backend = get_connection("django.core.mail.backends.filebased.EmailBackend", file_path=str(tmp_path))
    before = timezone.now()
    backend.send_messages([EmailMessage("Code", "123456", to=["a@example.com"])])
    times = {format_time(at, "Asia/Jakarta") for at in (before, timezone.now())}
    assert newest_mails(folder=tmp_path)[0].date in times


def test_money_and_moments_are_local() -> None:
    assert format_money(1_799_000, "IDR") == "Rp\u00a01.799.000"
    assert format_time_ms(1_611_889_200_000, "Asia/Makassar").endswith(" WITA")
    with override("id"):
        assert format_time_ms(1_611_889_200_000, "Asia/Jakarta") == "Jum, 29 Jan 2021, 10.00 WIB"
