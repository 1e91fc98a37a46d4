"""Users of the admin, logged in: Alice is a scheduler, Bob and Carol are reviewers, Dave is a viewer."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client


def _login(user: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def _fast_passwords(fast_passwords: None) -> None:
    """All tests of the admin log in in this process."""


@pytest.fixture
def make_user() -> Callable[..., Client]:
    """A function that makes a user with a role (scheduler, reviewer or viewer) and logs the user in."""

    def make(name: str, role: str) -> Client:
        call_command("roles")
        user = User.objects.create_user(name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        return _login(user)

    return make


@pytest.fixture
def alice(make_user: Callable[..., Client]) -> Client:
    return make_user("alice", "scheduler")


@pytest.fixture
def bob(make_user: Callable[..., Client]) -> Client:
    return make_user("bob", "reviewer")


@pytest.fixture
def carol(make_user: Callable[..., Client]) -> Client:
    return make_user("carol", "reviewer")


@pytest.fixture
def dave(make_user: Callable[..., Client]) -> Client:
    return make_user("dave", "viewer")


@pytest.fixture
def root(db: None) -> Client:
    """A superuser."""
    return _login(User.objects.create_superuser("root"))
