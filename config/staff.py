"""Settings of staff: the second factor, fresh proofs, log-in by an identity provider, two people who publish."""

from typing import Any

# Seconds for which a password or a second factor counts as fresh.
FRESH_S = 600
# Units that one person may publish in production.
UNITS = 1000


def allauth_settings(*, local: bool, oidc: dict[str, str]) -> dict[str, Any]:
    """The settings of django-allauth: no sign-up, no password by e-mail, no linking by e-mail, our own rate limits.

    `local`: only this machine reaches the site, so that passkeys work without TLS.
    """
    return {
        "ACCOUNT_ADAPTER": "flashsale.web.staff_adapters.AccountAdapter",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "password1*"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_RATE_LIMITS": False,
        "ACCOUNT_LOGIN_TIMEOUT": 300,
        "MFA_ADAPTER": "flashsale.web.staff_adapters.DeviceAdapter",
        "MFA_SUPPORTED_TYPES": ["totp", "webauthn", "recovery_codes"],
        "MFA_TOTP_ISSUER": "flashsale",
        "MFA_TOTP_TOLERANCE": 1,
        "MFA_RECOVERY_CODES_SHOW_ONCE": True,
        "MFA_ALLOW_UNVERIFIED_EMAIL": True,
        "MFA_RATE_LIMITS": False,
        "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN": local,
        "SOCIALACCOUNT_ADAPTER": "flashsale.web.staff_adapters.IdentityAdapter",
        "SOCIALACCOUNT_AUTO_SIGNUP": False,
        "SOCIALACCOUNT_EMAIL_AUTHENTICATION": False,
        "SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT": False,
        "SOCIALACCOUNT_LOGIN_ON_GET": False,
        "SOCIALACCOUNT_STORE_TOKENS": False,
        "SOCIALACCOUNT_PROVIDERS": {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": _apps(oidc)}},
    }


def _apps(oidc: dict[str, str]) -> list[dict[str, Any]]:
    if not oidc["url"]:
        return []
    return [
        {
            "provider_id": "oidc",
            "name": oidc["name"],
            "client_id": oidc["client_id"],
            "secret": oidc["secret"],
            "settings": {"server_url": oidc["url"]},
        }
    ]


def oidc_problems(oidc: dict[str, str], *, demo: bool) -> list[str]:
    """Why log-in by the identity provider cannot work with these settings."""
    if not oidc["url"]:
        return []
    problems = []
    if not oidc["url"].startswith("https://") and not demo:
        problems.append(f"FLASHSALE_OIDC_URL is {oidc['url']}: it must begin with https://")
    if not oidc["client_id"] or not oidc["secret"]:
        problems.append("FLASHSALE_OIDC_URL needs FLASHSALE_OIDC_CLIENT_ID and FLASHSALE_OIDC_CLIENT_SECRET")
    return problems
