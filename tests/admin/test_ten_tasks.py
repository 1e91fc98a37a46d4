"""Ten tasks of an admin, walked on real pages. The clicks are those that the manual names."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from flashsale.life import review
from flashsale.models import Case, PublishedRuleSet, Reservation, ReviewRun, Sale
from tests.admin.forms import form_values
from tests.admin.orders import buy, cases
from tests.factories import PHONE, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "first_rules")]
ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r'<a\b[^>]*\bhref="([^"]+)"[^>]*>(.*?)</a>', re.DOTALL)


class Walk:
    """A person on a page. Each link, each choice and each button is one click; typing is none."""

    def __init__(self, client: Client, start: str) -> None:
        self.client, self.clicks = client, 0
        self._typed: dict[str, Any] = {}
        self.at, self.page = start, client.get(start, follow=True)

    def follow(self, words: str) -> "Walk":
        """Clicks the link with these words, or with this address."""
        html = self.page.content.decode().partition('id="main"')[2]
        for address, shown in LINK.findall(html):
            if words == re.sub(r"<[^>]+>", "", shown).strip() or words == address:
                target = address.replace("&amp;", "&")
                self.at = self.at.partition("?")[0] + target if target.startswith("?") else target
                self.page = self.client.get(self.at, follow=True)
                assert self.page.status_code == 200
                self.clicks += 1
                return self
        raise AssertionError(f"{self.at} has no link {words!r}")

    def choose(self, **typed: Any) -> "Walk":
        """Clicks a choice."""
        self.clicks += 1
        return self.type(**typed)

    def type(self, **typed: Any) -> "Walk":
        """Types into fields."""
        self._typed |= typed
        return self

    def send(self) -> "Walk":
        """Clicks the button of the form."""
        self.page = self.client.post(self.at, {**form_values(self.page), **self._typed}, follow=True)
        assert self.page.status_code == 200
        self._typed, self.clicks = {}, self.clicks + 1
        return self


def _promised() -> list[int]:
    """The right column of the table in the manual."""
    chapter = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8").partition("## Ten tasks in clicks")[2]
    rows = re.findall(r"^\| .+\| (\d+) \|$", chapter.partition("\n## ")[0], re.MULTILINE)
    return [int(row) for row in rows]


@pytest.fixture
def ring() -> Sale:
    """Four orders from one device, of which one has no case."""
    sale = lobby_sale(stock={PHONE: 5})
    orders = buy(sale, ["ani", "budi", "citra", "dewi"], device="one")
    slow = Reservation.objects.get(pk=orders[-1].pk)
    Reservation.objects.filter(pk=slow.pk).update(made_at=slow.made_at - timedelta(minutes=10))
    review.execute(run=review.start(sale=sale).pk)
    return sale


def test_ten_tasks_take_the_clicks_that_the_manual_names(ring: Sale, bob: Client, carol: Client) -> None:
    case = f"/admin/flashsale/case/{cases()[0].pk}/change/"
    taken = []
    taken.append(Walk(bob, case).follow("The rest of this ring"))
    assert taken[-1].page.context["tables"][0].title == "All orders of this ring: 4"
    taken.append(Walk(bob, case).follow("The rest of this ring").send())
    assert Case.objects.count() == 4
    for client in (bob, carol):
        for one in cases():
            client.get(f"/admin/flashsale/case/{one.pk}/change/")  # the sample
    walk = Walk(bob, case).follow("The rest of this ring").follow("Propose to cancel all 4 open cases")
    taken.append(walk.choose(reason="one_person_many_identities").send())
    assert {one.state for one in cases()} == {"proposed"}
    for one in cases():
        review.reopen(case=one)
    walk = Walk(carol, case).follow("The rest of this ring").follow("Dismiss all 4 open cases")
    taken.append(walk.type(text="a family").send())
    assert {one.state for one in cases()} == {"dismissed"}

    Case.objects.update(state="open", decided_by=None, decided_at=None, deadline_at=timezone.now() - timedelta(hours=1))
    taken.append(Walk(bob, case).follow("Assign to me").send())
    assert cases()[0].assigned_to.username == "bob"
    taken.append(Walk(bob, "/admin/").follow("/admin/flashsale/case/").follow("overdue"))
    assert len(taken[-1].page.context["cl"].result_list) == 4
    taken.append(Walk(bob, case).follow("Add a note").type(text="a pick-up point").send())
    assert cases()[0].notes.latest("pk").read()["text"] == "a pick-up point"

    walk = (
        Walk(bob, "/admin/")
        .follow("/admin/flashsale/publishedruleset/")
        .follow("/admin/flashsale/publishedruleset/add/")
    )
    taken.append(walk.type(threshold="58").send())
    made = PublishedRuleSet.newest()
    assert made.read().threshold == 58
    hour, now = timedelta(hours=1), timezone.now()
    Sale.objects.filter(pk=ring.pk).update(opens_at=now - 2 * hour, closes_at=now - hour)
    page = f"/admin/flashsale/publishedruleset/{made.pk}/change/"
    taken.append(Walk(bob, page).follow("Try it on a sale that is over").type(sale=ring.pk).send())
    assert ReviewRun.objects.get(dry=True).rules == made
    taken.append(Walk(bob, "/admin/").follow("/admin/flashsale/reservation/"))
    assert "last_letter" in taken[-1].page.context["cl"].list_display
    assert [walk.clicks for walk in taken] == _promised()
