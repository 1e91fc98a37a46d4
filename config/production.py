"""Says why a set-up must not start: what is for a demo on one machine must not serve other people."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

DEMO_PROVIDER = "flashsale.providers.payments.demo.DemoProvider"
# Two modules have the class, so it has two names.
DEMO_PROVIDERS = {DEMO_PROVIDER, "flashsale.providers.payments.DemoProvider"}


# Django's mail backends that write mails to a file, to the terminal, to memory, or nowhere.
NOT_SENT = {"console", "filebased", "locmem", "dummy"}


class UnsafeInProduction(RuntimeError):
    """Settings of a demo in production. The text names each setting and what to do."""


def signs_of_production(
    *, hosts: Sequence[str], origins: Sequence[str], proxies: Sequence[str], hsts_s: int
) -> list[str]:
    """Settings by which other machines can reach the site. A set-up with one of them is production."""
    return [
        *(f"FLASHSALE_HOSTS names {host}" for host in hosts if not _is_this_machine(host)),
        *(f"FLASHSALE_ORIGINS names {origin}" for origin in origins if not _is_this_machine(_host_of(origin))),
        *(
            f"FLASHSALE_TRUSTED_PROXIES names {cidr}"
            for cidr in proxies
            if not ip_network(cidr, strict=False).is_loopback
        ),
        *([f"FLASHSALE_HSTS_SECONDS is {hsts_s}"] if hsts_s else []),
    ]


def refusals(
    *,
    demo: bool,
    debug: bool,
    payment_provider: str,
    mail_backend: str,
    signs: Sequence[str],
    webhook_local: bool = False,
) -> Iterator[str]:
    """One text for each setting that prevents the start: what was found, why it is wrong, what to do."""
    because = f" This is production, because {signs[0]}." if signs else ""
    if debug and (signs or not demo):
        yield (
            "FLASHSALE_DEBUG is on. Its pages show settings and data of people to everybody who causes an error."
            f"{because} Unset FLASHSALE_DEBUG. To develop on your own machine, set FLASHSALE_DEMO=1 as well."
        )
    if demo and signs:
        yield (
            "FLASHSALE_DEMO is on. A demo shows one-time codes to everybody, takes no money and sends cookies without "
            f"Secure.{because} Unset FLASHSALE_DEMO, in the environment and in secrets.env of the data folder."
        )
    if signs and any(path.strip() in DEMO_PROVIDERS for path in payment_provider.split(",")):
        yield (
            f"FLASHSALE_PAYMENT_PROVIDER is the provider of the demo, which takes no money.{because} "
            "Set FLASHSALE_PAYMENT_PROVIDER to the class of your provider (docs/operate.md, Payments)."
        )
    if signs and not demo and mail_backend.removeprefix("django.core.mail.backends.").split(".")[0] in NOT_SENT:
        yield f"EMAIL_URL sends no mails ({mail_backend}).{because} Set EMAIL_URL to your mail server."
    if signs and webhook_local and not demo:
        yield (
            "FLASHSALE_WEBHOOK_LOCAL is on, so a partner's webhook could call services on this machine."
            f"{because} Unset FLASHSALE_WEBHOOK_LOCAL."
        )


def refuse_unsafe_start(problems: Sequence[str]) -> None:
    """Raises UnsafeInProduction if there is a problem. All entry points of servers call it."""
    if problems:
        raise UnsafeInProduction("\n".join(["This set-up must not start.", *(f"- {text}" for text in problems)]))


def _host_of(origin: str) -> str:
    return urlsplit(origin).hostname or origin


def _is_this_machine(host: str) -> bool:
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
