"""Requests of people, as tests take and approve them."""

import json
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from flashsale.life import erase_person, person_requests
from flashsale.models import PersonRequest, Record
from flashsale.rules.identity import Axis
from tests.factories import identity


def staff(name: str) -> User:
    return User.objects.get_or_create(username=name)[0]


def request_of(name: str, kind: str, **values: str) -> PersonRequest:
    """A request of a person of the tests, taken by Sari."""
    known = identity(name)
    return person_requests.take(
        kind=kind, values=values or {"phone": known[Axis.PHONE], "email": known[Axis.EMAIL]}, proof="code",
        received_at=timezone.now(), by=staff("sari"),
    )  # fmt: skip


def erased(name: str, **values: str) -> PersonRequest:
    """The request of a person whose erasure Tono has approved."""
    return erase_person.approve(request=request_of(name, "erase", **values), by=staff("tono"))


def facts_of(what: str) -> list[dict[str, Any]]:
    """The facts of the records with this word, the oldest first."""
    return [json.loads(row.facts) for row in Record.objects.filter(what=what).order_by("position")]
