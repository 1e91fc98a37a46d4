"""The people and keys of a demo: random passwords and partner keys, kept in private files of the data folder."""

import json
import secrets
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.core.management import call_command

from flashsale.models import Campaign, Channel, PartnerKey

# Two reviewers: nobody decides alone about an order.
PEOPLE = {"admin": "", "dewi": "reviewer", "agus": "reviewer", "sari": "scheduler"}
HEAD = "# Logins of this demo, by name. Change a password in the admin; this file is only a note.\n"


def people(path: Path) -> dict[str, str]:
    """Names and passwords of those just made; empty when all were there already."""
    call_command("roles", verbosity=0)
    made = {}
    for name, role in PEOPLE.items():
        if User.objects.filter(username=name).exists():
            continue
        made[name] = secrets.token_urlsafe(9)
        user = User.objects.create_user(name, password=made[name], is_staff=True, is_superuser=not role)
        if role:
            user.groups.add(Group.objects.get(name=role))
    if made:
        lines = "".join(f"{name:8} {password}\n" for name, password in made.items())
        known = path.read_text(encoding="utf-8") if path.exists() else HEAD
        write_private(path, known + lines)
    return made


def keys(path: Path, campaign: Campaign) -> dict[str, str]:
    """The key of every partner of a campaign, by channel code; those that the file has lost are made anew."""
    known: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    mine = known.setdefault(campaign.code, {})
    for channel in campaign.channels.filter(kind=Channel.Kind.PARTNER):
        digest = PartnerKey.digest_of(mine.get(channel.code, ""))
        if not channel.keys.filter(digest=digest, revoked_at=None).exists():
            channel.keys.all().delete()
            mine[channel.code] = PartnerKey.make(channel)[1]
    write_private(path, json.dumps(known, indent=1))
    return mine


def write_private(path: Path, text: str) -> None:
    """A file that only its owner can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
