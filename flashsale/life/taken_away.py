"""What was taken away after a backup: people erased, staff switched off, keys revoked. A restore takes it away again.

`read` reads it from the database before the restore, and `take_away_again` applies it to the restored one. It only
takes away. It gives no right, password, device or key that the backup does not have, because the database before may be
the one that an attacker has changed.

Both only work for two databases of one history: the one before must have the last record of the restored trail.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.core.management.color import no_style
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone

from flashsale.models import (
    CalendarLink,
    Campaign,
    PartnerKey,
    PersonRequest,
    Record,
    Reservation,
    Restriction,
    StaffAccount,
    StaffCampaign,
    Webhook,
)
from flashsale.rules.states import WebhookOff

State, Kind = PersonRequest.State, PersonRequest.Kind
FLAGS = ("is_active", "is_staff", "is_superuser")
KEY_FIELDS = ("revoked_at", "expires_at", "scopes", "networks")
REQUEST_USERS = ("made_by_id", "approved_by_id", "done_by_id")


@dataclass(frozen=True, slots=True)
class Access:
    """What opens the admin for one user."""

    username: str
    password: str
    flags: tuple[bool, ...]
    groups: frozenset[int]
    permissions: frozenset[int]
    campaigns: frozenset[int]
    # The table and the id of each device and linked identity, with what tells it from another row with that id.
    factors: frozenset[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Before:
    """The database before the restore, as far as it matters here."""

    head: str
    users: dict[int, Access]
    keys: dict[str, tuple[Any, ...]]
    links: frozenset[str]
    webhooks: frozenset[Any]
    requests: dict[int, dict[str, Any]]
    restricted: dict[int, list[Any]]
    erased_orders: dict[int, set[str]]
    erased_campaigns: frozenset[int]


@dataclass(slots=True)
class TakenAway:
    """What was taken away again, as lines for the person at the shell, and as counts for the trail."""

    lines: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    # The codes of the campaigns that have to be erased again.
    campaigns: list[str] = field(default_factory=list)

    def add(self, what: str, names: list[str], text: str) -> None:
        """Notes what was done to some rows. Nothing if there are none."""
        if names:
            self.counts[what] = len(names)
            self.lines.append(f"{text}: {', '.join(sorted(names))}")


def read(*, records: int) -> Before | None:
    """Reads the database to which Django leads. `records` is how many records the trail of the backup has.

    None if the trail is shorter, or if the database cannot be read by this release.
    """
    try:
        head = Record.objects.filter(position=records).first()
        return None if head is None else _read(head)
    except DatabaseError:
        return None


def _read(head: Record) -> Before:
    later = Record.objects.filter(position__gt=head.position, subject__startswith="personrequest:")
    erased: dict[int, set[str]] = defaultdict(set)
    named: set[int] = set()
    for what, subject, facts in later.values_list("what", "subject", "facts"):
        id_ = int(subject.removeprefix("personrequest:"))
        named.add(id_)
        if what == "erase_person":
            erased[id_] |= set(json.loads(facts)["orders"])
    restricted: dict[int, list[Any]] = defaultdict(list)
    for request, order in Restriction.objects.filter(request__in=named).values_list("request", "reservation"):
        restricted[request].append(order)
    keys = PartnerKey.objects.values_list("digest", *KEY_FIELDS)
    return Before(
        head=head.hash,
        users={user.pk: _access(user) for user in User.objects.all()},
        keys={digest: tuple(values) for digest, *values in keys},
        links=frozenset(CalendarLink.objects.values_list("digest", flat=True)),
        webhooks=frozenset(Webhook.objects.filter(off="").values_list("pk", flat=True)),
        requests={row["id"]: dict(row) for row in PersonRequest.objects.filter(pk__in=named).values()},
        restricted=dict(restricted),
        erased_orders=dict(erased),
        erased_campaigns=frozenset(Campaign.objects.exclude(erased_at=None).values_list("pk", flat=True)),
    )


def _access(user: User) -> Access:
    devices = Authenticator.objects.filter(user=user).values_list("pk", "type", "created_at")
    identities = SocialAccount.objects.filter(user=user).values_list("pk", "provider", "uid")
    return Access(
        username=user.username,
        password=user.password,
        flags=tuple(getattr(user, name) for name in FLAGS),
        groups=frozenset(user.groups.values_list("pk", flat=True)),
        permissions=frozenset(user.user_permissions.values_list("pk", flat=True)),
        campaigns=frozenset(StaffCampaign.objects.filter(user=user).values_list("campaign_id", flat=True)),
        factors=frozenset(
            [("device", pk, f"{kind} {at.isoformat()}") for pk, kind, at in devices]
            + [("identity", pk, f"{provider} {uid}") for pk, provider, uid in identities]
        ),
    )


def end_all_sessions() -> None:
    """Ends all sessions of staff: those in the table, and those whose rows are elsewhere."""
    Session.objects.all().delete()
    now = timezone.now()
    accounts = [StaffAccount(user_id=id_, sessions_from=now) for id_ in User.objects.values_list("pk", flat=True)]
    StaffAccount.objects.bulk_create(
        accounts, update_conflicts=True, unique_fields=["user"], update_fields=["sessions_from"]
    )


def take_away_again(before: Before) -> TakenAway | None:
    """Takes away from the present database what the one before does not have any more, in the caller's transaction.

    None, and nothing is changed, if the two have no common history.
    """
    head = Record.objects.order_by("-position").first()
    if head is None or head.hash != before.head:
        return None
    done = TakenAway()
    _from_staff(before, done)
    _from_partners(before, done)
    _from_people(before, done)
    return done


def _from_staff(before: Before, done: TakenAway) -> None:
    off, void, less = [], [], []
    for user in User.objects.order_by("pk"):
        now, then = _access(user), before.users.get(user.pk)
        if then is None or then.username != now.username:
            # The user was deleted. What the user has decided still names the row.
            then = Access(now.username, "", (False,) * len(FLAGS), *(frozenset() for _ in range(4)))
        was_active, lost = user.is_active, _less_access(user, now, then)
        if was_active and not user.is_active:
            off.append(user.username)
        elif not user.has_usable_password() and now.password != user.password:
            void.append(user.username)
        elif lost:
            less.append(user.username)
    links = CalendarLink.objects.exclude(digest__in=before.links).select_related("user")
    names = [link.user.username for link in links]
    links.delete()
    done.add("users_off", off, "Switched off again")
    done.add(
        "passwords_void", void,
        "The password or the second factor was changed after the backup, so the password is void. Give a new one with "
        "manage.py changepassword NAME to",
    )  # fmt: skip
    done.add("users_less", less, "Rights, devices or campaigns taken away again from")
    done.add("calendar_links", names, "Calendar links ended again of")


def _less_access(user: User, now: Access, then: Access) -> bool:
    """Leaves the user only what both databases give. Returns whether anything was taken away."""
    gone = now.factors - then.factors
    if gone:
        Authenticator.objects.filter(pk__in=[pk for table, pk, _ in gone if table == "device"]).delete()
        SocialAccount.objects.filter(pk__in=[pk for table, pk, _ in gone if table == "identity"]).delete()
    for name, present, earlier in zip(FLAGS, now.flags, then.flags, strict=True):
        setattr(user, name, present and earlier)
    # Without a device, the password alone would add one. So a person decides who gets a new password.
    if now.password != then.password or gone:
        user.set_unusable_password()
    user.save(update_fields=[*FLAGS, "password"])
    user.groups.remove(*(now.groups - then.groups))
    user.user_permissions.remove(*Permission.objects.filter(pk__in=now.permissions - then.permissions))
    if limited := (then.campaigns and then.campaigns != now.campaigns):
        _limit(user, now, then)
    changed = now.flags != then.flags or now.groups - then.groups or now.permissions - then.permissions
    return bool(changed or gone or limited)


def _limit(user: User, now: Access, then: Access) -> None:
    """The user sees the campaigns that both databases allow. With none of them, the user is switched off."""
    wanted = then.campaigns & now.campaigns if now.campaigns else then.campaigns
    known = set(Campaign.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    if not known:
        User.objects.filter(pk=user.pk).update(is_active=False)
        user.is_active = False
        return
    StaffCampaign.objects.bulk_create(
        [StaffCampaign(user=user, campaign_id=id_) for id_ in known - now.campaigns], ignore_conflicts=True
    )
    StaffCampaign.objects.filter(user=user).exclude(campaign__in=known).delete()


def _from_partners(before: Before, done: TakenAway) -> None:
    now, changed = timezone.now(), []
    for key in PartnerKey.objects.select_related("channel").order_by("pk"):
        then = before.keys.get(key.digest, (now, *(getattr(key, name) for name in KEY_FIELDS[1:])))
        if tuple(getattr(key, name) for name in KEY_FIELDS) != then and key.revoked_at is None:
            PartnerKey.objects.filter(pk=key.pk).update(**dict(zip(KEY_FIELDS, then, strict=True)))
            changed.append(f"{key} of {key.channel}")
    done.add("keys", changed, "Keys revoked, ended or limited again (look which partners need a new one)")
    hooks = Webhook.objects.filter(off="").exclude(pk__in=before.webhooks)
    urls = [hook.url for hook in hooks]
    hooks.update(off=WebhookOff.BY_STAFF, off_at=now)
    done.add("webhooks", urls, "Webhooks switched off again")


def _from_people(before: Before, done: TakenAway) -> None:
    """Requests about data are as they were. An erasure is approved again, and `erase_person.carry_on` carries it out.

    An erasure of a campaign needs Redis (the gate), so the caller does it.
    """
    users = set(User.objects.values_list("pk", flat=True))
    again, by_hand, corrected = [], [], []
    for id_, values in before.requests.items():
        if not {values[name] for name in REQUEST_USERS} - {None} <= users:
            by_hand.append(str(id_))
            continue
        stored = PersonRequest.objects.filter(pk=id_).first()
        if values["kind"] == Kind.ERASE and values["state"] in {State.APPROVED, State.DONE}:
            orders = before.erased_orders.get(id_, set()) | set(values["orders"])
            if not orders and stored is None and not values["sealed"]:
                # The person had no order. Only the values would tell which entries of lists are the person's.
                by_hand.append(str(id_))
            kept = (stored.sealed if stored else "") or values["sealed"] or PersonRequest.encrypt({})
            values |= {"state": State.APPROVED, "orders": sorted(orders), "sealed": kept}
            values |= {"done_by_id": None, "done_at": None}
            again.append(str(id_))
        elif values["kind"] == Kind.CORRECT:
            corrected.append(str(id_))
        PersonRequest.objects.update_or_create(pk=id_, defaults=values)
        known = Reservation.objects.filter(pk__in=before.restricted.get(id_, ()))
        Restriction.objects.bulk_create(
            [Restriction(reservation=order, request_id=id_) for order in known], ignore_conflicts=True
        )
    _continue_ids()
    done.add("erasures", again, "People who are erased again (requests)")
    done.add(
        "requests_by_hand", by_hand,
        "Requests about data that could not be taken over whole, because staff or values are not in the backup: read "
        "them in the database before, and carry them out by hand",
    )  # fmt: skip
    done.add("corrections", corrected, "Requests of which corrected contacts may be as before: look at them")
    wanted = Q(pk__in=before.erased_campaigns, erased_at=None)
    done.campaigns = list(Campaign.objects.filter(wanted).order_by("pk").values_list("code", flat=True))


def _continue_ids() -> None:
    """New requests get ids behind those that were taken over."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [PersonRequest]):
            cursor.execute(statement)
