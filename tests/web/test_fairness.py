"""The fairness report as a page in two languages and as JSON in the documented schema."""

import csv
import re
from datetime import timedelta

import pytest
from django.test import Client

from flashsale.gate import bridge, refusal_counts
from flashsale.models import FairnessReport, Sale
from flashsale.web.hot.door import VERBS
from tests.factories import PHONE, Shopper, end_now, forget, identity, lobby_sale, open_now, tend
from tests.faults.steps import buy
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


@pytest.mark.django_db(transaction=True)
def test_the_page_begins_with_a_sentence_and_gives_the_plots_as_csv(gate: object, client: Client) -> None:
    sale = lobby_sale(stock={PHONE: 8})
    people = [Shopper(sale, f"person-{n}") for n in range(3)]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    for person in people[:2]:
        buy(person)
    path = end(sale)
    sale.reservations.update(confirmed_at=sale.opens_at + timedelta(seconds=252))
    data = client.get(f"/v1/sales/{sale.code}/fairness").json()
    html = client.get(path, headers={"accept-language": "en"}).content.decode()
    sentence = "2 of 3 people in the line bought 2 of 8 units, at most 1 each; the last unit was paid 4 min 12 s after"
    assert sentence in html
    for name, head in (
        ("over-time", "at_s,called,reserved,bought"), ("channels", "channel,bought,kept"),
        ("entering", "part,people,bought"), ("returned", "to,units,sold"), ("refused", "verb,reason,times"),
    ):  # fmt: skip
        answer = client.get(f"{path}/{name}.csv")
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert answer.content.decode().splitlines()[0] == head
        assert "attachment" in answer["Content-Disposition"]
    last = client.get(f"{path}/over-time.csv").content.decode().splitlines()[-1].split(",")
    assert [int(n) for n in last] == [data["over_time"][name][-1] for name in ("at_s", "called", "reserved", "bought")]
    assert client.get(f"{path}/people.csv").status_code == 404
    assert client.get("/s/nothing/fairness/channels.csv").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_tables_of_the_page_have_the_rows_of_their_csv_files(gate: object, client: Client) -> None:
    sale = lobby_sale(stock={PHONE: 8})
    people = [Shopper(sale, f"person-{n}") for n in range(30)]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    buy(min(people, key=Shopper.number))
    # Each verb at which a person can be refused.
    for times, verb in enumerate(VERBS, start=1):
        for _ in range(times):
            refusal_counts.count(sale.code, verb, "not_open")
    path = end(sale)
    html = client.get(path, headers={"accept-language": "en"}).content.decode()
    for name, columns in (("refused", 1), ("channels", 2), ("entering", 2)):
        table = html.partition(f"{name}.csv")[0].rpartition("<tbody>")[2]
        shown = [re.findall(r"<td>(\d+)</td>", row)[:columns] for row in table.split("<tr>")[1:]]
        _, *told = csv.reader(client.get(f"{path}/{name}.csv").content.decode().splitlines())
        assert shown == [row[-columns:] for row in told] != [], name


def test_a_report_of_an_earlier_release_is_still_shown(sale: Sale, held: object, client: Client) -> None:
    path = end(sale)
    client.get(path)
    row = FairnessReport.objects.get(sale=sale)
    for name in ("headline", "over_time", "by_entering", "more_than_one"):
        row.document.pop(name)
    row.save()
    html = client.get(path, headers={"accept-language": "en"}).content.decode()
    assert "Every unit is accounted for." in html
    assert "after the opening." not in html
    assert client.get(f"{path}/over-time.csv").content.decode() == "at_s,called,reserved,bought\r\n"


def test_the_page_of_a_sale_leads_there_once_it_is_over(sale: Sale, client: Client) -> None:
    link = f'href="/s/{sale.code}/fairness"'
    assert link not in client.get(f"/s/{sale.code}/").content.decode()
    open_now(sale)
    end(sale)
    forget(sale)
    assert link in client.get(f"/s/{sale.code}/").content.decode()
