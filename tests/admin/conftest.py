"""People who use the admin: Alice schedules, Bob and Carol review, Dave looks."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client


def _login(user: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


@pytest.fixture
def person() -> Callable[..., Client]:
    """Makes somebody with a role (scheduler, reviewer or viewer), logged in."""

    def make(name: str, role: str) -> Client:
        call_command("roles")
        user = User.objects.create_user(name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        return _login(user)

    return make


@pytest.fixture
def alice(person: Callable[..., Client]) -> Client:
    return person("alice", "scheduler")


@pytest.fixture
def bob(person: Callable[..., Client]) -> Client:
    return person("bob", "reviewer")


@pytest.fixture
def carol(person: Callable[..., Client]) -> Client:
    return person("carol", "reviewer")


@pytest.fixture
def dave(person: Callable[..., Client]) -> Client:
    return person("dave", "viewer")


@pytest.fixture
def root(db: None) -> Client:
    """Somebody who may do everything."""
    return _login(User.objects.create_superuser("root"))
