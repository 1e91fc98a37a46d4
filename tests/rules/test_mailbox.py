"""Which spellings of a mail address are one mailbox, provider by provider, with the page that says so."""

import pytest

from flashsale.rules.identity import Axis, BadValue, canonical_value

# Provider, the page, spellings of one mailbox, the canonical value.
ONE = [
    ("Google", "support.google.com/mail/answer/7436150 (dots), /answer/22370 (+)",
     "siti.aminah@gmail.com s.iti.aminah@googlemail.com SitiAminah+poco@gmail.com", "sitiaminah@gmail.com"),
    ("Fastmail", "fastmail.help/hc/en-us/articles/360060591053 (plus and subdomain addressing)",
     "siti@fastmail.com siti+poco@fastmail.com poco@siti.fastmail.com", "siti@fastmail.com"),
    ("Fastmail", "emailplus.org/help, reallyfast.info/help, warpmail.net/docs: Fastmail's manual at its other domains",
     "siti+1@warpmail.net 1@siti.warpmail.net siti@warpmail.net", "siti@warpmail.net"),
    ("Fastmail", "the same", "siti+1@emailplus.org siti@emailplus.org", "siti@emailplus.org"),
    ("Proton", "proton.me/support/change-username (. _ - are transparent), /addresses-and-aliases (domains, +)",
     "siti.aminah@proton.me siti_aminah@protonmail.com sitiaminah+x@pm.me siti-aminah@protonmail.ch",
     "sitiaminah@proton.me"),
    ("Apple", "support.apple.com/118230 (icloud.com, me.com, mac.com)",
     "siti@icloud.com siti@me.com siti@mac.com siti+poco@icloud.com", "siti@icloud.com"),
    ("Microsoft", "techcommunity.microsoft.com: plus addressing; support.microsoft.com: aliases (domains)",
     "siti+1@outlook.com siti@outlook.com Siti+2@OUTLOOK.com", "siti@outlook.com"),
    ("Microsoft", "the same", "siti+1@hotmail.co.id siti@hotmail.co.id", "siti@hotmail.co.id"),
    ("Microsoft", "the same", "siti+1@live.com.sg siti@live.com.sg", "siti@live.com.sg"),
    ("Microsoft", "the same", "siti+1@outlook.id siti@outlook.id", "siti@outlook.id"),
    ("Microsoft", "the same", "siti+1@windowslive.com siti@windowslive.com", "siti@windowslive.com"),
    ("Yahoo", "help.yahoo.com: disposable addresses (base-keyword)",
     "toko-1@yahoo.co.id toko-satu@yahoo.co.id", "toko@yahoo.co.id"),
    ("Yahoo", "the same", "toko-1@ymail.com toko-2@ymail.com", "toko@ymail.com"),
    ("Yandex", "yandex.com/support/domain/additional/mailbox-alias.xml (domains); /support/id: . and - are one",
     "siti.aminah@yandex.com siti-aminah@ya.ru siti.aminah+1@yandex.ru siti-aminah@yandex.kz",
     "siti-aminah@yandex.com"),
    ("Zoho", "zoho.com/mail/help: plus addressing", "siti+1@zohomail.com siti@zohomail.com", "siti@zohomail.com"),
]  # fmt: skip
TWO = [
    "siti.a@outlook.com sitia@outlook.com",  # Microsoft counts dots
    "siti@outlook.com siti@hotmail.com",  # each name is given once a domain
    "siti@yahoo.com siti@ymail.com",
    "siti+1@yahoo.com siti@yahoo.com",  # Yahoo has no tags with a plus
    "siti_a@yandex.com siti-a@yandex.com",
    "siti@fastmail.com siti@fastmail.fm",
    "siti_a@gmail.com sitia@gmail.com",
    "siti@proton.me siti@gmail.com",
    "siti+1@toko.example siti@toko.example",
    "siti+1@live.xyz siti@live.xyz",  # only .com and domains of countries are Microsoft's
    "siti-1@yahoo.top siti-2@yahoo.top",
    "siti+1@outlook.example.com siti@outlook.example.com",
    "siti+1@myoutlook.com siti@myoutlook.com",
    "1@siti.gmail.com siti@gmail.com",  # only Fastmail has names in the domain
    "siti@mail.ru siti@yandex.com",
]


@pytest.mark.parametrize(("provider", "page", "typed", "value"), ONE, ids=lambda part: part if " " not in part else "")
def test_a_mailbox_is_one_in_all_spellings_of_its_provider(provider: str, page: str, typed: str, value: str) -> None:
    spellings = typed.split()
    assert {spelling: canonical_value(Axis.EMAIL, spelling) for spelling in spellings} == dict.fromkeys(
        spellings, value
    ), (provider, page)


@pytest.mark.parametrize("typed", TWO)
def test_mailboxes_that_may_belong_to_two_people_stay_two(typed: str) -> None:
    one, other = (canonical_value(Axis.EMAIL, spelling) for spelling in typed.split())
    assert one != other


@pytest.mark.parametrize("typed", ["poco@siti-aminah.fastmail.fm", "a@b-c.fastmail.com"])
def test_a_name_in_the_domain_that_may_be_two_names_is_refused(typed: str) -> None:
    # fastmail.com/blog/two-address-resolving-additions: the hyphen may stand for an underscore.
    with pytest.raises(BadValue):
        canonical_value(Axis.EMAIL, typed)


@pytest.mark.parametrize(
    "typed",
    [
        "bukan-alamat", "a@b", "a@@b.example", "a@b@c.example", "a b@c.example", "a@b .example", "a,b@c.example",
        "<a@b.example>", "Ani <ani@b.example>", "mailto:ani@b.example", "a@b.example;c@d.example", "a@b..example",
        "a@.b.example", "a@-b.example", "a@b-.example", "a@b.example-", "a@b_c.example", ".a@b.example", "a.@b.example",
        "a..b@c.example", "a@[127.0.0.1]", '"a b"@c.example', "a@b.example\nBcc: c@d.example", "a@b.example,",
        "a\u200b@b.example", "a@b\u200b.example", "a\u202e@b.example", "a@b.example/", "a@b.example?x=1", "@b.example",
        "a@", "a", "@", "a@b.", "a\x00@b.example", "a:b@c.example", "a(b)@c.example", "a@xn--.example\u00ad",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(BadValue):
        canonical_value(Axis.EMAIL, typed)


@pytest.mark.parametrize(
    ("typed", "versions"),
    [
        ("siti+1@live.xyz", ["siti+1@live.xyz", "siti@live.xyz", "siti+1@live.xyz"]),
        ("siti+1@warpmail.net", ["siti+1@warpmail.net", "siti+1@warpmail.net", "siti@warpmail.net"]),
        ("siti+1@fastmail.org", ["siti+1@fastmail.org", "siti@fastmail.org", "siti@fastmail.org"]),
    ],
)
def test_each_version_keeps_its_rules(typed: str, versions: list[str]) -> None:
    assert [canonical_value(Axis.EMAIL, typed, version) for version in (1, 2, 3)] == versions
