"""What was taken away after a backup is taken away again in the restored database, and nothing is given."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from flashsale.life import calendar_feed, erase_person, person_requests, restore, staff_accounts, taken_away
from flashsale.models import (
    CalendarLink,
    Contact,
    PartnerKey,
    PersonRequest,
    Record,
    Reservation,
    Restriction,
    Sale,
    StaffAccount,
    StaffCampaign,
    Trait,
    Webhook,
)
from flashsale.rules.identity import Axis
from flashsale.web.sessions import SessionStore
from tests.admin.orders import buy
from tests.factories import PHONE, end_now, identity, lobby_sale
from tests.life.people import erased, request_of, staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def _order(name: str) -> Reservation:
    email = identity(name)[Axis.EMAIL]
    return next(one.reservation for one in Contact.objects.all() if one.read()["email"] == email)


@pytest.fixture
def backup() -> Sale:
    """What the backup has: buyers, staff with devices, a partner with two keys and a webhook, calendar links."""
    sale = lobby_sale(stock={PHONE: 4})
    buy(sale, ["ani", "budi", "citra"])
    end_now(sale)
    for name in ("left", "stolen", "demoted", "limited", "stays", "sari", "tono"):
        user = User.objects.create_user(name, password=f"{name}-17-kopi", is_staff=True)
        TOTP.activate(user, generate_totp_secret())
        calendar_feed.make_link(user=user, drafts=False, seen="")
        user.groups.add(Group.objects.get_or_create(name="reviewer")[0])
    SocialAccount.objects.create(user=User.objects.get(username="demoted"), provider="oidc", uid="17")
    channel = sale.allocations.get().channels.get()
    for _ in range(2):
        PartnerKey.make(channel)
    Webhook.objects.create(channel=channel, url="https://a.example", cursor=0, sealed=Webhook.encrypt({"secret": "s"}))
    return sale


def _after(sale: Sale) -> None:
    """What people take away after the backup."""
    user = {user.username: user for user in User.objects.all()}
    staff_accounts.switch_off(user=user["left"], by=user["sari"])
    user["stolen"].set_password("another-17-kopi")
    user["stolen"].save()
    user["demoted"].groups.clear()
    staff_accounts.reset_second_factor(user=user["demoted"], by=user["sari"])
    StaffCampaign.objects.create(user=user["limited"], campaign=sale.campaign)
    calendar_feed.revoke_link(user=user["limited"], by=user["limited"])
    # What is given after the backup does not come with it.
    User.objects.create_superuser("new")
    user["stays"].groups.add(Group.objects.get_or_create(name="publisher")[0])
    PartnerKey.objects.order_by("pk")[0].revoke()
    Webhook.objects.all().delete()
    erased("ani")
    budi = request_of("budi", "restrict")
    person_requests.restrict(request=budi, by=user["sari"])
    person_requests.close(request=request_of("citra", "correct"), state="done", by=user["sari"])


def _staff_have_less(kept: dict[str, str]) -> None:
    """`kept` are the hashes of the passwords in the backup."""
    now = {user.username: user for user in User.objects.all()}
    assert {name for name, user in now.items() if not user.is_active} == {"left"}
    void = {name for name, user in now.items() if user.password != kept[name]}
    assert void == {"stolen", "demoted"}
    assert not any(now[name].has_usable_password() for name in void)
    assert {name: [group.name for group in user.groups.all()] for name, user in now.items()} == {
        name: [] if name == "demoted" else ["reviewer"] for name in kept
    }
    assert not Authenticator.objects.filter(user=now["demoted"]).exists()
    assert not SocialAccount.objects.exists()
    assert Authenticator.objects.filter(user=now["stays"]).exists()
    assert [row.user.username for row in StaffCampaign.objects.all()] == ["limited"]
    assert not CalendarLink.objects.filter(user=now["limited"]).exists()
    assert CalendarLink.objects.filter(user=now["stays"]).exists()


def test_a_restore_takes_away_again_what_was_taken_away_after_the_backup(backup: Sale, gate: Any) -> None:
    ani, budi = _order("ani"), _order("budi")
    waiting = request_of("budi", "find")
    records = Record.objects.count()
    with transaction.atomic():
        _after(backup)
        person_requests.close(request=waiting, state="done", by=staff("sari"))
        assert not Contact.objects.filter(reservation=ani).exists()
        before = taken_away.read(records=records)
        # What is left is the backup.
        transaction.set_rollback(True)
    assert Contact.objects.filter(reservation=ani).exists(), "the backup has the person whom people have erased since"
    assert before is not None
    SessionStore().save()
    kept = dict(User.objects.values_list("username", "password"))
    began = timezone.now()
    done = restore.prepare(entries=10, message="later", facts={"rows": 1}, before=before).taken_away
    assert done is not None

    assert Session.objects.count() == 0
    assert all(row.sessions_from >= began for row in StaffAccount.objects.all())
    assert StaffAccount.objects.count() == User.objects.count() == len(kept), "no user and no right comes along"
    _staff_have_less(kept)
    assert [key.revoked_at is None for key in PartnerKey.objects.order_by("pk")] == [False, True]
    assert Webhook.objects.get().off == "by_staff"
    waiting.refresh_from_db()
    assert (waiting.state, waiting.sealed) == ("done", "")
    assert [row.reservation for row in Restriction.objects.all()] == [budi]
    facts = Record.objects.latest("position").facts
    assert Record.objects.latest("position").what == "restore"
    for name in ("users_off", "passwords_void", "keys", "webhooks", "calendar_links", "erasures", "corrections"):
        assert f'"{name}":' in facts, name
    assert any("Switched off again: left" in line for line in done.lines)

    request = PersonRequest.objects.get(kind="erase")
    assert (request.state, request.orders) == ("approved", [str(ani.pk)])
    assert erase_person.carry_on() == 1
    assert not Contact.objects.filter(reservation=ani).exists()
    assert not Trait.objects.filter(reservation=ani).exists()
    assert Contact.objects.filter(reservation=budi).exists()
    assert PersonRequest.objects.get(kind="erase").state == "done"
    assert request_of("budi", "find").pk > request.pk, "a new request gets an id of its own"


def test_a_database_of_another_history_takes_nothing_away(backup: Sale) -> None:
    assert taken_away.read(records=Record.objects.count() + 1) is None
    before = taken_away.read(records=Record.objects.count() - 1)
    assert before is not None
    users = list(User.objects.order_by("pk").values_list("username", "is_active", "password"))
    assert taken_away.take_away_again(before) is None, "the head of its trail is another record"
    assert list(User.objects.order_by("pk").values_list("username", "is_active", "password")) == users
