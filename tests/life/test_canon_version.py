"""A campaign keeps the canonical forms that it was made with, so that a later release never makes two people of one."""

import pytest

from flashsale.life.enter import digest_identity
from flashsale.models import Campaign
from flashsale.rules.identity import CANON_VERSION, Axis
from tests.factories import card_of, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

TYPED = ("siti.aminah@proton.me", "sitiaminah@proton.me")


def mailboxes(campaign: Campaign) -> list[bytes]:
    card = card_of(lobby_sale(campaign))
    return [
        digest_identity(card=card, values={Axis.PHONE: "081234567890", Axis.EMAIL: typed})[Axis.EMAIL]
        for typed in TYPED
    ]


def test_a_new_campaign_knows_the_newest_forms() -> None:
    campaign = poco_campaign()
    assert campaign.canon_version == CANON_VERSION
    dotted, plain = mailboxes(campaign)
    assert dotted == plain


def test_a_campaign_of_an_earlier_release_keeps_its_forms() -> None:
    campaign = poco_campaign()
    Campaign.objects.filter(pk=campaign.pk).update(canon_version=1)
    campaign.refresh_from_db()
    dotted, plain = mailboxes(campaign)
    assert dotted != plain
