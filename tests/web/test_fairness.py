"""The fairness report as a page in two languages and as JSON in the documented schema."""

import csv
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override

from flashsale.gate import bridge, refusal_counts
from flashsale.models import FairnessReport, Sale
from flashsale.rules.lottery import QUICKNET_CHAIN
from flashsale.web.hot.door import VERBS
from flashsale.web.pages.fairness_page import entering_table, units_table
from flashsale.web.pages.fairness_sentences import headline, kind_of_draw, verdicts
from tests.factories import PHONE, Shopper, end_now, forget, identity, lobby_sale, open_now, tend
from tests.faults.steps import buy
from tests.web.partner import Partner

INLINE = re.compile(r"<script|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Texts that are made without a request are in English."""
    with override("en"):
        yield


def line(**changed: Any) -> dict[str, Any]:
    """A line of a report in which all units were sold."""
    units = {"new": 7, "moved_in": 0, "moved_out": 0, "free": 0, "held": 0, "sold": 7, "returned": 0}
    return {"by_our_line": True, "units": units} | changed


def document(**changed: Any) -> dict[str, Any]:
    """The parts of a report from which its sentences are made."""
    return {
        "headline": None,
        "draw": {"drawn": True, "verified": True},
        "order": {"kept": True, "reservations": 7, "wrong": 0, "before_call": 0},
        "lines": [line()],
        "channels": [{"bought": 12, "kept": 12}],
        "returned": {"to_line": 0},
        "by_entering": [],
    } | changed


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
    assert "Kind of draw (version 1): " in html
    assert "Everyone can check the draw again, without us." in html
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
        # The page adds a row for all quarters of the draw, as a sum.
        assert shown[: len(told)] == [row[-columns:] for row in told] != [], name
        assert len(shown) - len(told) == (name == "entering")


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


def test_a_long_sale_and_a_short_one_are_told_in_their_own_units() -> None:
    told = {"people": 2000, "units": 12, "bought": 12, "buyers": 12, "most": 1}
    for seconds, words in ((3, "3 s after"), (60, "1 min 0 s after"), (7325, "122 min 5 s after")):
        (sentence,) = headline(document(headline=told | {"sold_s": seconds}))
        assert sentence.startswith(
            "12 of 2,000 people in the line bought 12 of 12 units, at most 1 each; the last unit was paid "
        )
        assert words in sentence


def test_the_first_sentences_say_what_cancellations_took_back() -> None:
    told = {"people": 66, "units": 12, "bought": 13, "buyers": 13, "most": 1, "sold_s": 3}
    # A shopper gave one unit back during the sale, and the next person bought it.
    data = document(headline=told, channels=[{"bought": 13, "kept": 8}], returned={"to_line": 1})
    first, second = headline(data)
    assert "bought 12 of 12 units" in first
    assert second == ("Afterwards orders for 4 of the 12 units were cancelled. 8 units are still with their buyers.")


def test_a_sale_in_which_no_unit_was_bought_says_so() -> None:
    told = {"people": 1, "units": 3, "bought": 0, "buyers": 0, "most": 0, "sold_s": None}
    data = document(headline=told, channels=[{"bought": 0, "kept": 0}])
    assert headline(data) == ["No unit was bought. People in the line: 1. Units: 3."]
    data = document(order={"kept": True, "reservations": 0, "wrong": 0, "before_call": 0})
    assert verdicts(data)[1] == (None, "There was no reservation, so there is no order to check.")


def test_the_report_does_not_claim_an_order_that_it_cannot_check() -> None:
    lost = document(order={"kept": True, "reservations": 7, "wrong": 0, "before_call": None})
    held, sentence = verdicts(lost)[1]
    assert held is None
    assert sentence.startswith("All 7 reservations fit their numbers. The times of the calls are lost, so we cannot ")
    direct = document(lines=[line(by_our_line=False)])
    assert verdicts(direct)[1][0] is None
    held, sentence = verdicts(document())[1]
    kept = "The order was kept: each of the 7 reservations came after its number was called."
    assert (held, sentence) == (True, kept)
    broken = document(order={"kept": False, "reservations": 7, "wrong": 1, "before_call": None})
    assert verdicts(broken)[1] == (False, "The order was broken: 1 of 7 reservations do not fit their number.")


def test_each_kind_of_draw_is_told_in_words() -> None:
    chains = ((1, "", ""), (2, "", ""), (2, "drand", QUICKNET_CHAIN.hash), (2, "drand", "a chain of the operator"))
    secret, tickets, public, other = (
        kind_of_draw(Sale(draw_version=version, beacon=beacon, beacon_chain=chain)) for version, beacon, chain in chains
    )
    assert secret.startswith("Kind of draw (version 1): ")
    assert tickets.startswith("Kind of draw (version 2): ")
    assert public.startswith("Kind of draw (version 2 with public randomness): ")
    assert other.startswith("Kind of draw (version 2 with randomness of another source than drand's public chain): ")


def test_quarters_are_compared_with_what_chance_gives() -> None:
    parts = [{"part": str(part), "people": 50, "bought": bought} for part, bought in enumerate((20, 14, 15, 1), 1)]
    told = {"people": 260, "units": 60, "bought": 60, "buyers": 60, "most": 1, "sold_s": 3}
    later = {"part": "later", "people": 60, "bought": 10}
    table = entering_table(document(headline=told, by_entering=[*parts, later]))
    assert [row[3] for row in table.rows] == ["7–18", "7–18", "7–18", "7–18", None, None]
    assert [row[0] for row in table.rows] == [*(f"Quarter {n}" for n in range(1, 5)), "After the draw", "All quarters"]
    assert table.rows[-1][1:] == (200, 50, None, 25)
    # Buyers of two units make the quarters differ more, so there is nothing to compare with.
    table = entering_table(document(headline=told | {"most": 2}, by_entering=parts))
    assert {row[3] for row in table.rows} == {None}


def test_a_line_that_a_partner_sells_itself_is_marked() -> None:
    table = units_table(document(lines=[line(name="mi.com"), line(name="Lazada", by_our_line=False)]))
    assert [row[0] for row in table.rows] == ["mi.com", "Lazada (sold by a partner, without our line)"]


def test_the_page_of_a_sale_leads_there_once_it_is_over(sale: Sale, client: Client) -> None:
    link = f'href="/s/{sale.code}/fairness"'
    assert link not in client.get(f"/s/{sale.code}/").content.decode()
    open_now(sale)
    end(sale)
    forget(sale)
    assert link in client.get(f"/s/{sale.code}/").content.decode()
