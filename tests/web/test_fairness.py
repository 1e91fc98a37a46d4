"""The fairness report as a page in two languages and as JSON in the documented schema."""

import re

import pytest
from django.test import Client

from flashsale.gate import bridge, refusal_counts
from flashsale.models import Sale
from tests.factories import end_now, forget, identity, open_now
from tests.web.partner import Partner

INLINE = re.compile(r"<script|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


def end(sale: Sale) -> str:
    """Ends the sale now; the path of its report."""
    end_now(sale)
    bridge.run(refusal_counts.flush())
    return f"/s/{sale.code}/fairness"


def test_there_is_no_report_before_the_end_or_of_an_unknown_sale(sale: Sale, client: Client) -> None:
    for path in (f"/s/{sale.code}/fairness", "/s/nothing/fairness"):
        assert client.get(path).status_code == 404
    for path in (f"/v1/sales/{sale.code}/fairness", "/v1/sales/nothing/fairness"):
        assert (client.get(path).status_code, client.get(path).json()["code"]) == (404, "not_found")


def test_refusals_of_the_hot_door_are_counted(sale: Sale, lazada: Partner, akulaku: Partner, client: Client) -> None:
    place = lazada.enter("ani")
    assert lazada.reserve(place).json["code"] == "not_open"
    assert lazada.reserve(place).json["code"] == "not_open"
    open_now(sale)
    open_now(sale)
    assert lazada.reserve(place).status == 201
    again = akulaku.post("enter", {"identity": {axis.value: value for axis, value in identity("ani").items()}})
    end(sale)
    data = client.get(f"/v1/sales/{sale.code}/fairness").json()
    assert {(row["verb"], row["reason"], row["times"]) for row in data["refused"]} == {
        ("reserve", "not_open", 2), ("enter", "place_elsewhere", 1),
    }  # fmt: skip
    assert again.json["code"] == "place_elsewhere"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Fairness report", "Units by channel", "Every unit is accounted for.", "entering: "]),
        ("id", ["Laporan keadilan", "Unit per kanal", "Setiap unit tercatat."]),
    ],
)
def test_the_page_has_both_languages_and_escapes_texts(
    sale: Sale, held: object, client: Client, language: str, words: list[str]
) -> None:
    refusal_counts.count(sale.code, "enter", "limit_reached")
    page = client.get(end(sale), headers={"accept-language": language})
    html = page.content.decode()
    assert [word for word in words if word not in html] == []
    assert INLINE.findall(html) == []
    assert "style-src 'self'" in page["Content-Security-Policy"]
    assert "<svg" in html
    assert page["Cache-Control"] == "private, max-age=30"


def test_the_page_of_a_sale_leads_there_once_it_is_over(sale: Sale, client: Client) -> None:
    link = f'href="/s/{sale.code}/fairness"'
    assert link not in client.get(f"/s/{sale.code}/").content.decode()
    open_now(sale)
    end(sale)
    forget(sale)
    assert link in client.get(f"/s/{sale.code}/").content.decode()
