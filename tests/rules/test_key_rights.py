"""What a key may do and how much a channel may call are read from short texts, and odd texts are refused."""

import pytest

from flashsale.rules.key_rights import NETWORKS_MAX, KeyScope, is_within, networks_in, scopes_in
from flashsale.rules.quotas import DEFAULTS, QuotaClass, alarm_at, quotas_in


def test_scopes_are_all_or_a_list() -> None:
    assert scopes_in("all") == frozenset(KeyScope)
    assert scopes_in("read, pay") == {KeyScope.READ, KeyScope.PAY}
    for odd in ("", "read;pay", "read,,pay", "READ", "everything", "read, all"):
        with pytest.raises(ValueError, match=r"is not a valid KeyScope"):
            scopes_in(odd)


def test_networks_are_addresses_and_cidr_of_both_versions() -> None:
    networks = networks_in("203.0.113.7, 198.51.100.0/24 ,2001:db8::/32,")
    assert [address for address in ("203.0.113.7", "203.0.113.8", "198.51.100.255", "198.51.101.0", "2001:db8::1",
                                    "2001:db9::1") if is_within(address, networks)] == [
        "203.0.113.7", "198.51.100.255", "2001:db8::1",
    ]  # fmt: skip
    assert networks_in("") == ()
    # The address of a client is never IPv4 inside IPv6, so such a network would match nothing and lock the partner out.
    assert networks_in("::ffff:203.0.113.0/120, ::ffff:198.51.100.7") == networks_in("203.0.113.0/24, 198.51.100.7")
    assert networks_in("::ffff:0:0/96, ::/0") == networks_in("0.0.0.0/0, ::/0")
    for odd in (
        "203.0.113.7/24",
        "203.0.113",
        "example.com",
        "10.0.0.0/33",
        ", ".join(["10.0.0.1"] * (NETWORKS_MAX + 1)),
    ):
        with pytest.raises(ValueError, match=r"."):
            networks_in(odd)


def test_quotas_name_classes_once() -> None:
    assert quotas_in("look:6000, read : 600") == {QuotaClass.LOOK: 6000, QuotaClass.READ: 600}
    assert quotas_in(" ") == {}
    for odd in (
        "look",
        "look:",
        "look:0",
        "look:-1",
        "look:1.5",
        "look:٦",
        "look:1,look:2",
        "loook:1",
        "look:10000001",
    ):
        with pytest.raises(ValueError, match=r"."):
            quotas_in(odd)


def test_each_class_has_a_default_and_an_alarm_at_four_fifths() -> None:
    assert set(DEFAULTS) == set(QuotaClass)
    assert [alarm_at(quota) for quota in (1, 2, 5, 6, 10, 6000)] == [1, 2, 4, 5, 8, 4800]
