"""Partner keys: valid within five seconds, revoked within five seconds, never read one by one."""

import time
from collections.abc import Callable

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from flashsale.models import Campaign, Channel, PartnerKey
from flashsale.rules.key_rights import KeyScope, networks_in
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import DEFAULTS, QuotaClass
from flashsale.web.hot import partners
from tests.factories import poco_campaign
from tests.web.partner import key_of


@pytest.fixture
def campaign(db: None) -> Campaign:
    return poco_campaign()


@pytest.fixture
def key(campaign: Campaign) -> str:
    return key_of(campaign, "lazada")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of the cache forward."""
    clock = {"now": 1000.0}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now"])

    def move(seconds: float) -> None:
        clock["now"] += seconds

    partners.forget_keys()
    move(100)
    return move


def _refusal(authorization: str) -> Outcome:
    with pytest.raises(Refused) as refused:
        partners.partner_of(authorization)
    return refused.value.outcome


def test_a_key_names_its_channel(campaign: Campaign, key: str) -> None:
    partner = partners.partner_of(f"Bearer {key}")
    assert (partner.code, partner.campaign) == ("lazada", campaign.pk)


def test_only_the_hash_of_a_key_is_stored(key: str) -> None:
    row = PartnerKey.objects.get()
    assert key not in str(vars(row))
    assert (row.prefix, row.digest) == (key[:12], PartnerKey.digest_of(key))


def test_a_thousand_wrong_keys_cost_one_query(key: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        assert {_refusal(f"Bearer fs_live_{n:043d}") for n in range(1000)} == {Outcome.UNAUTHENTICATED}
    with django_assert_num_queries(1):  # its first use is written
        partners.partner_of(f"Bearer {key}")
    with django_assert_num_queries(0):
        assert {partners.partner_of(f"Bearer {key}").code for _ in range(1000)} == {"lazada"}


def test_a_revoked_key_works_for_five_seconds_at_most(key: str, later: Callable[[float], None]) -> None:
    partners.partner_of(f"Bearer {key}")
    PartnerKey.objects.update(revoked_at=timezone.now())
    later(5.1)
    assert _refusal(f"Bearer {key}") is Outcome.UNAUTHENTICATED


def test_rights_that_are_taken_away_work_for_five_seconds_at_most(key: str, later: Callable[[float], None]) -> None:
    assert KeyScope.PAY in partners.partner_of(f"Bearer {key}").scopes
    PartnerKey.objects.update(scopes="read", networks="203.0.113.7")
    Channel.objects.update(signatures_required=True, quotas="read:5")
    later(5.1)
    partner = partners.partner_of(f"Bearer {key}")
    assert (partner.scopes, partner.networks) == (frozenset({KeyScope.READ}), networks_in("203.0.113.7"))
    assert (partner.signatures_required, partner.quota(QuotaClass.READ), partner.quota(QuotaClass.PAY)) == (
        True, 5, DEFAULTS[QuotaClass.PAY],
    )  # fmt: skip


def test_a_key_revoked_while_the_books_answer_works_for_five_seconds_at_most(
    key: str, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = partners._active_keys

    def slowly() -> dict[str, partners.Partner]:
        found = read()
        PartnerKey.objects.update(revoked_at=timezone.now())
        later(4)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(partners, "_active_keys", slowly)
        assert partners.partner_of(f"Bearer {key}").code == "lazada"
    later(1.1)
    assert _refusal(f"Bearer {key}") is Outcome.UNAUTHENTICATED


def test_of_all_spellings_of_a_header_one_is_kept(key: str) -> None:
    known = [partners.partner_of(scheme + " " * n + key) for scheme in ("Bearer", "bearer") for n in range(1, 50)]
    assert len(set(known)) == 1
    assert list(partners._cache.headers) == [f"Bearer {key}"]


def test_while_postgresql_is_silent_the_last_keys_count_for_a_minute(
    key: str, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    partners.partner_of(f"Bearer {key}")

    def silent() -> dict[str, partners.Partner]:
        raise OperationalError

    monkeypatch.setattr(partners, "_active_keys", silent)
    later(60)
    assert partners.partner_of(f"Bearer {key}").code == "lazada"
    later(10)
    assert _refusal(f"Bearer {key}") is Outcome.NOT_READY


def test_books_that_did_not_answer_are_not_queried_again_for_five_seconds(
    key: str, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = []

    def silent() -> dict[str, partners.Partner]:
        queries.append(1)
        raise OperationalError

    partners.partner_of(f"Bearer {key}")
    with monkeypatch.context() as patch:
        patch.setattr(partners, "_active_keys", silent)
        later(6)
        assert [partners.partner_of(f"Bearer {key}").code for _ in range(3)] == ["lazada"] * 3
        assert len(queries) == 1
        later(5.1)
        partners.partner_of(f"Bearer {key}")
        assert len(queries) == 2
        later(60)
        assert [_refusal(f"Bearer {key}") for _ in range(3)] == [Outcome.NOT_READY] * 3
        assert len(queries) == 3
    assert _refusal(f"Bearer {key}") is Outcome.NOT_READY
    later(5.1)
    assert partners.partner_of(f"Bearer {key}").code == "lazada"
