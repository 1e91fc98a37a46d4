"""The proof page checks draws and receipts in the browser, and the receipt is a page with a QR code."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db.models import F
from playwright.sync_api import Page, Route, expect

from flashsale.gate import bridge
from flashsale.life import receipt as receipts
from flashsale.life.leave import leave
from flashsale.models import Sale
from flashsale.rules import lottery
from flashsale.web.pages.proof_page import fragment
from tests.beacons import CHAIN, INFO, Relay, freeze_now, round_comes
from tests.browser.person import SOON_MS, Person, own_page_sale
from tests.browser.site import Site, serving
from tests.factories import Shopper, lobby_sale, open_now
from tests.forged_draws import FORGED, REMADE, UNREADABLE, a_draw_without_a_beacon, the_older_version

pytestmark = pytest.mark.browser
STORY = Path(__file__).parents[1] / "story/recorded"
VECTORS = json.loads((Path(__file__).parents[1] / "rules/draw-vectors-2.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    """A relay of the tests' own chain of drand."""
    with Relay() as found:
        yield found


@pytest.fixture(scope="module")
def shop(shared_db: None, relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that takes its public randomness from the tests' own chain."""
    chain = {"FLASHSALE_BEACON_CHAIN": json.dumps(INFO), "FLASHSALE_BEACON_RELAYS": relay.url}
    with serving(tmp_path_factory.mktemp("shop"), **chain) as found:
        yield found


@pytest.fixture(autouse=True)
def _chain(settings: LazySettings, relay: Relay) -> None:
    settings.FLASHSALE_BEACON_CHAIN, settings.FLASHSALE_BEACON_RELAYS = CHAIN, (relay.url,)


def results(page: Page) -> dict[str, str]:
    """Presses the button. Returns the class of each check by its title: good, bad or open."""
    page.click("#run")
    expect(page.locator("#run")).to_be_enabled(timeout=SOON_MS)
    expect(page.locator("#verdict")).to_be_focused(timeout=SOON_MS)
    rows = page.locator("#checks li").all()
    return {(row.locator("b").text_content() or "").partition(":")[0]: row.get_attribute("class") or "" for row in rows}


def titles(person: Person, *texts: str) -> set[str]:
    return {person.word(text) for text in texts}


def forged(page: Page, what: str, change: Callable[[dict[str, Any]], None]) -> None:
    """From now on, the address that ends with `what` gives changed JSON."""

    def answer(route: Route) -> None:
        data = route.fetch().json()
        change(data)
        route.fulfill(json=data)

    page.route(f"**/{what}", answer)


def one_ticket_more(transcript: dict[str, Any]) -> None:
    line = transcript["lines"]["mi.com"]
    line["cohort"] += 1
    line["states"]["0"] += 1


def another_order(transcript: dict[str, Any]) -> None:
    transcript["lines"]["mi.com"]["seed"] = "00" * 32


def another_round(transcript: dict[str, Any]) -> None:
    transcript["beacon"]["round"] += 1


def no_beacon(transcript: dict[str, Any]) -> None:
    transcript["beacon"] = None


def another_root(data: dict[str, Any]) -> None:
    data["lines"]["mi.com"]["root"] = "11" * 32


def one_leaf_less(route: Route) -> None:
    route.fulfill(body=route.fetch().body()[:-32])


SECRET, TICKETS, ORDER = "The secret", "The tickets", "The order of the lines"
SEEN, MINE = "The tickets before the draw", "Your ticket among those fixed before"
ALL = "All tickets"
LIES: list[tuple[str, Callable[[dict[str, Any]], None], set[str]]] = [
    ("transcript", lambda data: data.update(secret="00" * 32), {SECRET, ORDER}),
    ("transcript", one_ticket_more, {TICKETS, ALL, ORDER, MINE}),
    ("transcript", another_order, {ORDER}),
    ("transcript", another_round, {"The round of drand"}),
    ("transcript", no_beacon, {"The kind of the draw", ORDER}),
    ("transcript", another_root, {TICKETS, SEEN, ORDER, ALL, MINE}),
    ("transcript", lambda data: data["lines"]["mi.com"]["states"].update({"1": 0}), {TICKETS}),
    ("transcript", lambda data: data.update(lines={}), {TICKETS, SEEN, "Your receipt"}),
    ("draw", another_root, {TICKETS}),
    ("keys", lambda data: data.update(keys=[]), {"Our signature"}),
]


def in_a_line_of_five(shop: Site, page: Page) -> Person:
    """A person with ticket 3 of a sale with a beacon. The person with ticket 5 has left."""
    sale = own_page_sale(draw_version=2, beacon="drand")
    others = [Shopper(sale, f"other-{n}", channel="mi.com") for n in range(4)]
    for other in others[:2]:
        other.enter()
    person = Person(shop, page, sale)
    person.come()
    person.enter()
    for other in others[2:]:
        other.enter()
    bridge.run(leave(card=others[3].card, line=others[3].line, place=others[3].place))
    return person


def test_a_shopper_checks_everything_of_a_draw_with_a_beacon_and_finds_each_lie(shop: Site, page: Page) -> None:
    person = in_a_line_of_five(shop, page)
    sale = person.sale
    page.get_by_role("link", name=person.word("See the receipt of your ticket")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(person.word("Receipt of your ticket"))
    assert (person.overflow(), person.barriers()) == (0, [])
    page.goto(f"{shop.url}/s/{sale.code}/proof")
    before = dict.fromkeys(titles(person, "Your receipt", "Our signature"), "good")
    assert results(page) == before | {person.word("The numbers"): "open"}

    person.come()
    freeze_now(sale)
    person.looks_up()
    page.wait_for_function("code => JSON.parse(localStorage.getItem('fs:' + code)).root", arg=sale.code)
    # The round that comes is another one, because the test does not wait for it: it moves the freeze.
    forget = "code => localStorage.setItem('fs:' + code, localStorage.getItem('fs:' + code).replace('round', 'old'))"
    page.evaluate(forget, sale.code)
    round_comes(sale)
    assert sale.frozen_at is not None
    page.goto(f"{shop.url}/s/{sale.code}/ticket")
    expect(page.locator(".qr")).to_be_visible()
    assert (person.overflow(), person.barriers()) == (0, [])
    page.get_by_role("link", name=person.word("Check this receipt")).click()
    all_of_it = titles(
        person, SECRET, "The kind of the draw", TICKETS, SEEN, ALL, "The round of drand", "The public randomness",
        ORDER, "Your receipt", "Our signature", "Your ticket in the draw", MINE, "Your number",
    )  # fmt: skip
    assert results(page) == dict.fromkeys(all_of_it, "good") | {person.word("The source of the randomness"): "open"}
    expect(page.locator("#verdict")).to_have_text(person.word("All that this browser could check is true."))
    transcript = lottery.read(page.request.get(f"{shop.url}/v1/sales/{sale.code}/transcript").text())
    number = lottery.number_in(transcript, line="mi.com", index=3)
    said = person.word("Number {number} follows from ticket {index}. The waiting page must show the same number.")
    expect(page.locator("#checks li").last).to_contain_text(said.format(number=number, index=3))
    assert (person.overflow(), person.barriers()) == (0, [])
    finds_each_lie(person)
    person.come()
    page.locator("summary").click()
    page.click("#check")
    expect(page.locator("#checked")).to_have_class("good", timeout=SOON_MS)
    forged(page, "transcript", another_round)
    page.click("#check")
    expect(page.locator("#checked")).to_have_class("bad", timeout=SOON_MS)


def finds_each_lie(person: Person) -> None:
    """Changes the language, which keeps the receipt of the link, and shows the page one lie after the other."""
    page = person.page
    page.locator("[name=language][value=en]").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Was the draw honest?")
    assert "#line=mi.com&index=3&" in page.url
    assert (person.overflow(), person.barriers()) == (0, [])
    for what, change, bad in LIES:
        forged(page, what, change)
        found = results(page)
        assert {title for title, word in found.items() if word == "bad"} == bad, (what, bad)
        expect(page.locator("#verdict")).to_have_class("bad")
        page.unroute_all()
    page.route("**/entries/0", one_leaf_less)
    found = results(page)
    assert {title for title, word in found.items() if word == "bad"} == {ALL}
    page.unroute_all()


def test_a_person_who_comes_after_the_freeze_reads_that_they_stand_behind_and_sees_the_number_before_the_opening(
    shop: Site, page: Page
) -> None:
    sale = own_page_sale(draw_version=2, beacon="drand", freeze_s=500)
    for n in range(3):
        Shopper(sale, f"early-{n}", channel="mi.com").enter()
    freeze_now(sale)
    person = Person(shop, page, sale)
    person.come()
    person.enter()
    behind, ticket = page.locator("[data-when=behind]"), page.locator("[data-when=lobby]")
    expect(behind).to_be_visible()
    expect(ticket.locator("[data-n=index]")).to_have_text("4")
    # The three who take part in the draw.
    expect(ticket.locator("[data-n=entered]")).to_have_text("3")
    assert (person.overflow(), person.barriers()) == (0, [])
    round_comes(sale)
    person.looks_up()
    expect(page.locator(".number")).to_have_text("4", timeout=SOON_MS)
    expect(page.locator("[data-when=drawn] [data-n=ahead]")).to_have_text("3")
    # The sale has not opened, and the page says when it does.
    expect(page.locator("[data-step=line] [data-when=early]")).to_be_visible()
    expect(behind).to_be_visible()
    assert (person.overflow(), person.barriers()) == (0, [])
    person.is_called()


def test_a_partners_shopper_pastes_a_receipt_and_learns_what_is_wrong_with_it(shop: Site, page: Page) -> None:
    sale = lobby_sale(channels=("lazada", "akulaku"), opens_in_s=600, draw_version=2)
    ani, budi = (Shopper(sale, name) for name in ("ani", "budi"))
    ani.enter()
    budi.enter()
    early = receipts.receipt(card=ani.card, line=ani.line, place=ani.place)
    open_now(sale)
    person = Person(shop, page, sale, language="en")
    page.goto(f"{shop.url}/s/{sale.code}/proof")
    page.locator("[name=language][value=en]").click()
    assert results(page)["Your receipt"] == "open"
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    def pasted(text: str) -> dict[str, str]:
        page.fill("#receipt", text)
        return results(page)

    page.keyboard.type("{}")
    assert results(page) == {}
    expect(page.locator("#verdict")).to_contain_text("This is not a receipt.")
    found = pasted(json.dumps(early))
    own = [
        "Your receipt",
        "Our signature",
        "Your ticket in the draw",
        "Your ticket among those fixed before",
        "Your number",
    ]
    assert [found[title] for title in own] == ["good", "good", "good", "open", "good"]
    late = Shopper(sale, "cici")
    late.enter()
    # The tree of the entries was committed a minute after the planned freeze, at which Redis fixed who takes part.
    Sale.objects.filter(pk=sale.pk).update(entries_frozen_at=F("entries_frozen_at") + timedelta(minutes=1))
    found = pasted(json.dumps(receipts.receipt(card=late.card, line=late.line, place=late.place)))
    assert [found[title] for title in own if title in found] == ["good", "good", "good", "good"]
    expect(page.locator("#checks")).to_contain_text("Ticket 3 came after the draw")
    changed = deepcopy(early)
    changed["receipt"] |= {"index": 3, "time": early["receipt"]["time"] - 60_000}
    found = pasted(json.dumps(changed))
    # A ticket from before the draw that the draw does not have.
    assert [found[title] for title in own[:3]] == ["good", "bad", "bad"]
    changed["receipt"]["sale"] = "other"
    found = pasted(json.dumps(changed))
    assert [found.get(title) for title in own[:3]] == ["bad", "bad", None]
    page.route("**/transcript", lambda route: route.fulfill(status=503))
    assert pasted("") == {}
    expect(page.locator("#verdict")).to_contain_text("Nothing is checked.")
    assert (person.overflow(), person.barriers()) == (0, [])


Forge = Callable[[dict[str, Any]], None]


class Recorded:
    """The recorded files of a story that was played over HTTP stand in for those of a sale with the same code.

    `transcript` and `draw` are the texts that the page gets.
    """

    def __init__(self, shop: Site, page: Page) -> None:
        sale = Sale.objects.filter(code="26-january").first() or lobby_sale(
            code="26-january", draw_version=2, beacon="drand"
        )
        self.person = Person(shop, page, sale, language="en")
        self.texts = {path.name.partition("-26-")[0]: path.read_text() for path in STORY.glob("*.json")}
        self.transcript, self.draw = self.texts["transcript"], self.texts["draw"]
        self.signed = json.loads(self.texts["receipts"])[0]
        for what in ("transcript", "draw", "keys"):
            page.route(f"**/{what}", self._answer)
        page.goto(f"{shop.url}/s/26-january/proof#{fragment(self.signed)}")
        page.locator("[name=language][value=en]").click()
        page.wait_for_function("document.documentElement.lang === 'en'")
        texts = page.evaluate("JSON.parse(document.getElementById('proof-data').textContent).texts.checks")
        self.titles = {name: title for name, (title, *_) in texts.items()}

    def _answer(self, route: Route) -> None:
        what = route.request.url.rpartition("/")[2]
        text = {"transcript": self.transcript, "draw": self.draw}.get(what, self.texts[what])
        route.fulfill(body=text, content_type="application/json")

    def forge(self, *changes: Forge) -> str:
        """The true transcript after these changes."""
        data = json.loads(self.texts["transcript"])
        for change in changes:
            change(data)
        return json.dumps(data)

    def bad(self) -> set[str]:
        """The titles of the checks that fail."""
        found = results(self.person.page)
        return {title for title, word in found.items() if word == "bad"}


def test_the_page_believes_the_draw_of_a_story_and_no_forged_one(shop: Site, page: Page) -> None:
    recorded = Recorded(shop, page)
    found, titles_of = results(page), recorded.titles
    assert {title for title, word in found.items() if word == "bad"} == set()
    # The files of a story have no tickets of all people.
    assert {title for title, word in found.items() if word == "open"} == {SEEN, ALL, "The source of the randomness"}
    transcript, receipt = lottery.read(recorded.transcript), recorded.signed["receipt"]
    number = lottery.number_in(transcript, line=receipt["line"], index=receipt["index"])
    expect(page.locator("#checks li").last).to_contain_text(f"Number {number} follows from ticket {receipt['index']}.")
    # What the page saw before is in the answer of /draw, and its check of that has the title "The tickets".
    for change, name in (FORGED | REMADE).items():
        recorded.transcript = recorded.forge(change)
        assert {"seen": TICKETS}.get(name, titles_of[name]) in recorded.bad(), change.__name__
        expect(page.locator("#verdict")).to_have_class("bad")
    for fault, spoil in UNREADABLE.items():
        recorded.transcript = spoil(recorded.texts["transcript"])
        assert recorded.bad() == {titles_of["file"]}, fault
    assert (recorded.person.overflow(), recorded.person.barriers()) == (0, [])


def test_a_browser_that_saw_the_entries_finds_another_kind_of_draw_though_the_server_changes_its_word(
    shop: Site, page: Page
) -> None:
    recorded = Recorded(shop, page)
    draw = json.loads(recorded.draw)
    seen = {"root": draw["lines"]["lazada"]["root"], "line": "lazada", "round": draw["beacon"]["round"]}
    page.evaluate("seen => localStorage.setItem('fs:26-january', JSON.stringify(seen))", seen)
    page.reload()
    assert recorded.bad() == set()
    recorded.draw = json.dumps(draw | {"beacon": None})
    recorded.transcript = recorded.forge(a_draw_without_a_beacon)
    assert recorded.bad() == {"The kind of the draw"}
    recorded.draw = json.dumps(draw | {"version": 1, "beacon": None, "frozen_at": None, "lines": {}})
    recorded.transcript = recorded.forge(the_older_version)
    assert recorded.bad() == {SEEN}


def test_the_browser_computes_roots_seeds_and_rounds_as_the_vectors_say(shop: Site, page: Page) -> None:
    page.goto(f"{shop.url}/s/{lobby_sale().code}/proof")
    computed = page.evaluate(
        """async (cases) => Promise.all(cases.map(async (c) => {
            const known = Object.keys(c.proofs || {}).map(Number).filter((index) => c.entries[index - 1]);
            const lead = (more) => Promise.all(known.map((index) => drawChecks.rootOf({
              leaf: c.entries[index - 1].leaf, index, cohort: c.cohort, proof: c.proofs[index].concat(more) })));
            const seed = await draw.seed(c.secret, c.line, c.cohort, c.randomness, c.root);
            return { seed, known: known.length, roots: await lead([]), wrong: await lead([c.root]) };
        }))""",
        VECTORS["cases"],
    )
    assert sum(browser["known"] for browser in computed) >= 10
    for case, browser in zip(VECTORS["cases"], computed, strict=True):
        known = browser.pop("known")
        assert browser == {"seed": case["seed"], "roots": [case["root"]] * known, "wrong": [""] * known}, case["cohort"]
    freezes = [lottery.QUICKNET_GENESIS_S + n for n in (-100, 0, 1, 2, 3, 10**8)]
    chain = {"genesis_s": lottery.QUICKNET_GENESIS_S, "period_s": 3}
    rounds = page.evaluate(
        "([freezes, chain]) => freezes.map((s) => drawChecks.roundAfter(s, chain))", [freezes, chain]
    )
    assert rounds == [lottery.round_after(freeze) for freeze in freezes]
