"""The pages of rehearsals: who may start one, what the page says, and what a server without the simulation shows."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from flashsale.admin import rehearsal
from flashsale.models import Rehearsal, Sale
from tests.admin.forms import action_links
from tests.factories import draft_sale, lobby_sale, open_now, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
TERMS = {"people": 50, "no_shows": 20, "speed": 25, "minutes": 2}


@pytest.fixture
def ani(make_user: Callable[..., Client]) -> Client:
    """A scheduler who may rehearse."""
    client = make_user("ani", "scheduler")
    names = ["add_rehearsal", "view_rehearsal"]
    User.objects.get(username="ani").user_permissions.set(Permission.objects.filter(codename__in=names))
    return client


def _page(sale: Sale) -> str:
    return f"/admin/flashsale/sale/rehearse/?id={sale.pk}"


def test_a_rehearsal_needs_a_permission_of_its_own(bob: Client, ani: Client) -> None:
    sale = draft_sale(opens_in_s=86_400)
    assert bob.get(_page(sale)).status_code == bob.post(_page(sale), TERMS).status_code == 403
    change = f"/admin/flashsale/sale/{sale.pk}/change/"
    assert action_links(bob.get(change), "rehearse") == []
    assert len(action_links(ani.get(change), "rehearse")) == 1
    assert Rehearsal.objects.count() == 0


def test_a_server_without_the_simulation_shows_the_command_with_a_one_time_key(
    ani: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "find_spec", lambda _name: None)
    sale = lobby_sale(opens_in_s=86_400)
    text = ani.get(_page(sale)).content.decode()
    assert "pip install -r requirements-demo.txt" in text
    assert "It lasts 30 minutes at most. At most 20000 people come, and at most 200 of them enter in a second." in text
    shown = ani.post(_page(sale), TERMS).content.decode()
    row = Rehearsal.objects.get()
    assert "FLASHSALE_REHEARSAL_KEY=fs_rehearsal_" in shown
    assert "python -m simulation.rehearsal --url http://127.0.0.1:8000" in shown
    assert row.terms | {"seed": 0} == {"people": 50, "no_shows": 0.2, "speed": 25, "minutes": 2, "seed": 0}
    again = ani.get(_page(sale)).content.decode()
    assert "Another rehearsal is not over. Wait for it, or stop it." in again
    stop = f"/admin/flashsale/rehearsal/stop/?id={row.pk}"
    assert ani.get(f"/admin/flashsale/rehearsal/{row.pk}/change/")["Refresh"] == "3"
    assert ani.post(stop).status_code == 302
    row.refresh_from_db()
    assert row.why == "asked"


def test_near_a_live_sale_the_page_says_so_and_starts_only_when_it_is_forced(
    ani: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(rehearsal, "send_crowd", sent.append)
    campaign = poco_campaign()
    live = lobby_sale(campaign)
    open_now(live)
    sale = draft_sale(campaign, opens_in_s=86_400)
    warning = f"The live sale {live.code} runs, or opens within 60 minutes."
    assert warning in ani.get(_page(sale)).content.decode()
    page = ani.post(_page(sale), TERMS)
    refused = page.content.decode()
    assert "Tick this to rehearse all the same." in refused
    assert page.context["form"]["people"].value() == str(TERMS["people"]), "what was typed is kept"
    assert (warning in refused, Rehearsal.objects.count(), sent) == (True, 0, [])
    ani.post(_page(sale), TERMS | {"forced": "on"})
    assert (Rehearsal.objects.get().forced, len(sent)) == (True, 1)
