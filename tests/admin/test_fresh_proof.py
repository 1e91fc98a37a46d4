"""Before what cannot be undone, and before exports, staff prove again who they are; what they have typed stays."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from flashsale.admin.action_page import ActionAdmin
from flashsale.life import review
from flashsale.models import BankAccount, Case, PartnerKey, Record, Sale
from flashsale.rules.states import CaseState, SaleState
from tests.admin.forms import form_values, submit
from tests.admin.orders import buy
from tests.factories import draft_sale, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PASSWORD = "kopi-susu-17"


@pytest.fixture(autouse=True)
def _demanded(settings: Any) -> None:
    settings.FLASHSALE_FRESH_PROOF_S = 600


def with_password(client: Client, name: str) -> Client:
    user = User.objects.get(username=name)
    user.set_password(PASSWORD)
    user.save()
    client.force_login(user)
    return client


def age(client: Client) -> None:
    """Makes the proofs of the session too old."""
    session = client.session
    for record in session.get("account_authentication_methods", []):
        record["at"] -= 601
    session.save()


def test_publishing_asks_for_a_proof_and_comes_back_to_the_same_page(alice: Client) -> None:
    with_password(alice, "alice")
    sale = draft_sale()
    url = reverse("admin:flashsale_sale_publish") + f"?id={sale.pk}"
    asked: Any = alice.get(url)
    assert (asked.status_code, asked["Cache-Control"][:9]) == (403, "max-age=0")
    assert b"Is it still you?" in asked.content
    assert alice.post(url).status_code == 403
    assert Sale.objects.get().state == SaleState.DRAFT
    wrong = alice.post(url, {**form_values(asked), "_proof_password": "wrong"})
    assert (wrong.status_code, b"This proof is not right" in wrong.content) == (403, True)
    back: Any = alice.post(url, {**form_values(asked), "_proof_password": PASSWORD})
    assert back.url == url
    page = alice.get(url)
    assert page.status_code == 200
    # The proof gets too old while the page is open. The click is kept, and done after the proof.
    age(alice)
    asked = alice.post(url, form_values(page))
    assert asked.status_code == 403
    assert Sale.objects.get().state == SaleState.DRAFT
    done = alice.post(url, {**form_values(asked), "_proof_password": PASSWORD}, follow=True)
    assert done.status_code == 200
    assert Sale.objects.get().state == SaleState.PUBLISHED


def test_what_was_typed_is_sent_again_and_no_proof_reaches_the_view(alice: Client) -> None:
    with_password(alice, "alice")
    sale = lobby_sale()
    url = reverse("admin:flashsale_sale_call-off") + f"?id={sale.pk}"
    asked = alice.post(url, {"message": "Maaf <b>& sampai jumpa</b>", "twice": ["1", "2"]})
    values = form_values(asked)
    assert values["message"] == ["Maaf <b>& sampai jumpa</b>"]
    assert values["twice"] == ["1", "2"]
    assert PASSWORD not in asked.content.decode()
    alice.post(url, {**values, "_proof_password": PASSWORD}, follow=True)
    sale.refresh_from_db()
    assert (sale.state, sale.message) == (SaleState.CALLED_OFF, "Maaf <b>& sampai jumpa</b>")


def test_every_action_that_the_manual_names_needs_a_proof_by_each_of_its_addresses(
    alice: Client, bob: Client, carol: Client, root: Client
) -> None:
    sale = lobby_sale()
    (order,) = buy(sale, ["ani"])
    case = review.open_case(reservation=order)
    review.propose(case=case, code="unit_unavailable", by=User.objects.get(username="bob"))
    draft = draft_sale(sale.campaign)
    root_user = User.objects.get(username="root")
    for client, url in (
        (alice, reverse("admin:flashsale_sale_publish") + f"?id={draft.pk}"),
        (alice, reverse("admin:flashsale_sale_call-off") + f"?id={sale.pk}"),
        (carol, reverse("admin:flashsale_case_approve") + f"?id={case.pk}"),
        (root, reverse("admin:flashsale_user_reset-second-factor") + f"?id={root_user.pk}"),
        (root, reverse("admin:auth_user_password_change", args=[root_user.pk])),
        (root, reverse("admin:auth_user_delete", args=[root_user.pk])),
    ):
        assert (client.get(url).status_code, client.post(url, {"yes": 1}).status_code) == (403, 403), url
    assert bob.post(reverse("admin:flashsale_refund_transfers")).status_code == 403
    # The list leads to the page of the action, so it is no way around.
    sent: Any = carol.post("/admin/flashsale/case/", {"action": "approve", "_selected_action": [case.pk]})
    assert sent.url.startswith(reverse("admin:flashsale_case_approve"))
    assert Case.objects.get().state == CaseState.PROPOSED
    assert not BankAccount.objects.exists()
    assert not Record.objects.filter(what__in=["list_transfers", "approve", "call_off"]).exists()


# The actions that need no fresh proof, by the reason. All others need one.
WITHOUT_PROOF = {
    "it takes power away or stops something, and must be quick": (
        "User.switch-off PartnerKey.revoke Webhook.switch-off Webhook.delete-webhook ListedValue.end Rehearsal.stop "
        "Sale.pause Sale.brake Sale.postpone"
    ),
    "it is needed within seconds on the day, and can be changed back": "Sale.resume Sale.tell",
    "another person has to approve what follows, and that needs a proof": "Case.propose Reservation.open-case",
    "it lets an order stand as it is": "Case.undo Case.dismiss Case.reopen Case.note-appeal Appeal.uphold",
    "it decides nothing": (
        "Case.ring Case.assign-to-me Case.assign Case.note PublishedRuleSet.try Sale.review Sale.try-out Notice.told"
    ),
    "it changes drafts only, and the publication needs a proof": (
        "Campaign.import Campaign.copy Sale.import Sale.copy Sale.list"
    ),
    "it sells nothing; near a live sale it needs the right to run sales": "Sale.rehearse",
    "it sends again what was sent, to the same address, without personal data or with the buyer's own letter": (
        "Webhook.switch-on Webhook.test Webhook.resend-since Delivery.send-again Notice.send-again"
    ),
}


def test_each_action_needs_a_proof_or_stands_here_with_the_reason_why_not() -> None:
    without = {
        f"{model.__name__}.{action.name}"
        for model, page in admin.site._registry.items()
        for action in getattr(page, "row_actions", ())
        if not action.needs_proof
    }
    assert without == {name for names in WITHOUT_PROOF.values() for name in names.split()}


def test_keys_and_units_are_given_after_a_proof_only(alice: Client, root: Client) -> None:
    sale = lobby_sale()
    channel = sale.allocations.get().channels.get()
    for client, url in (
        (root, reverse("admin:flashsale_channel_make-key") + f"?id={channel.pk}"),
        (root, reverse("admin:flashsale_channel_make-test-key") + f"?id={channel.pk}"),
        (root, reverse("admin:flashsale_channel_add-webhook") + f"?id={channel.pk}"),
        (alice, reverse("admin:flashsale_sale_add-units") + f"?id={sale.pk}"),
    ):
        before = Record.objects.count()
        assert (client.get(url).status_code, client.post(url, {"yes": 1}).status_code) == (403, 403), url
        assert b"Is it still you?" in client.get(url).content
        assert (PartnerKey.objects.count(), Record.objects.count()) == (0, before)


def test_a_proof_is_worth_nothing_for_another_person_address_or_right(alice: Client, dave: Client) -> None:
    with_password(alice, "alice")
    with_password(dave, "dave")
    sale = draft_sale()
    url = reverse("admin:flashsale_sale_publish") + f"?id={sale.pk}"
    # Dave proves himself, but may not publish.
    assert dave.post(url, {"_proof_method": "POST", "_proof_password": PASSWORD}).status_code == 403
    assert Sale.objects.get().state == SaleState.DRAFT
    # Without a session there is nothing to prove.
    stranger = Client()
    answer: Any = stranger.post(url, {"_proof_method": "POST", "_proof_password": PASSWORD})
    assert (answer.status_code, answer.url.startswith("/admin/login/")) == (302, True)
    # A proof does not open the way of a form without a CSRF token.
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(User.objects.get(username="alice"))
    assert careful.post(url, {"_proof_method": "POST", "_proof_password": PASSWORD}).status_code == 403
    assert Sale.objects.get().state == SaleState.DRAFT


def test_proofs_are_limited_and_the_session_stays(alice: Client) -> None:
    with_password(alice, "alice")
    cache.clear()
    url = reverse("admin:flashsale_sale_publish") + f"?id={draft_sale().pk}"
    sent = {"_proof_method": "GET", "_proof_password": "guess"}
    assert [alice.post(url, sent).status_code for _ in range(6)] == [403] * 5 + [429]
    assert alice.get("/admin/").status_code == 200


def test_without_the_setting_nothing_asks(alice: Client, settings: Any) -> None:
    settings.FLASHSALE_FRESH_PROOF_S = 0
    sale = draft_sale()
    submit(alice, reverse("admin:flashsale_sale_publish") + f"?id={sale.pk}")
    assert Sale.objects.get().state == SaleState.PUBLISHED


def test_every_action_that_needs_a_proof_goes_through_the_one_view_that_asks() -> None:
    assert "action_view" not in {
        name for page in ActionAdmin.__subclasses__() for name in vars(page) if name == "action_view"
    }
