"""Users and partner keys of a demo: random passwords and keys, stored in private files of the data folder."""

import json
import secrets
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.core.management import call_command

from flashsale.models import Campaign, Channel, PartnerKey

# Role by user name; an empty role means superuser. There are two reviewers because a decision about an order needs two.
ROLES = {"admin": "", "dewi": "reviewer", "agus": "reviewer", "sari": "scheduler"}
HEAD = "# Logins of this demo: name, password. Change a password in the admin; this file is only a note.\n"


def create_users(path: Path) -> dict[str, str]:
    """Creates the missing users. Returns their passwords by name; empty when all users exist already."""
    call_command("roles", verbosity=0)
    created = {}
    for name, role in ROLES.items():
        if User.objects.filter(username=name).exists():
            continue
        created[name] = secrets.token_urlsafe(9)
        user = User.objects.create_user(name, password=created[name], is_staff=True, is_superuser=not role)
        if role:
            user.groups.add(Group.objects.get(name=role))
    if created:
        lines = "".join(f"{name:8} {password}\n" for name, password in created.items())
        known = path.read_text(encoding="utf-8") if path.exists() else HEAD
        write_private(path, known + lines)
    return created


def partner_keys(path: Path, campaign: Campaign) -> dict[str, str]:
    """The key of every partner of a campaign, by channel code. Replaces a key that the file does not have."""
    known: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    campaign_keys = known.setdefault(campaign.code, {})
    for channel in campaign.channels.filter(kind=Channel.Kind.PARTNER):
        digest = PartnerKey.digest_of(campaign_keys.get(channel.code, ""))
        if not channel.keys.filter(digest=digest, revoked_at=None).exists():
            channel.keys.all().delete()
            campaign_keys[channel.code] = PartnerKey.make(channel)[1]
    write_private(path, json.dumps(known, indent=1))
    return campaign_keys


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read. Replaces the old file in one step: it is never half written."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
