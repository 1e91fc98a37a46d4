"""What shoppers' requests meet: proxies, TLS and cookies, static files, open files, time zones, private files."""

import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from flashsale.gate import bridge, untrusted_peers
from flashsale.gate.client import GateDown
from flashsale.management.doctor.check import Check, in_production
from flashsale.models import Campaign

# A process of the doors takes 2,048 connections of shoppers, and has some for Redis, PostgreSQL and providers.
OPEN_FILES_MIN = 4096
NAMED_MAX = 5


def proxies() -> Check:
    """Whether a peer that is not a trusted proxy sent X-Forwarded-For in the last day."""
    expected = "every proxy in FLASHSALE_TRUSTED_PROXIES, and no other way to the ports of doors and web"
    trusted = ", ".join(settings.FLASHSALE_TRUSTED_PROXIES) or "none"
    try:
        peers = bridge.run(untrusted_peers.recent())
    except GateDown:
        return Check("proxies", False, "Redis no answer", expected, "see the check of Redis")
    if peers:
        found = f"trusted: {trusted}\nX-Forwarded-For came from {', '.join(peers)}, which is not trusted"
        fix = f"if it is your proxy: FLASHSALE_TRUSTED_PROXIES={peers[-1]}; otherwise close the port of the doors to it"
        return in_production(Check("proxies", False, found, expected, fix))
    found = f"trusted: {trusted}"
    fix = "set FLASHSALE_TRUSTED_PROXIES to the network of your proxy"
    return in_production(Check("proxies", bool(settings.FLASHSALE_TRUSTED_PROXIES), found, expected, fix))


def tls() -> Check:
    """Whether the site is called by https, and cookies are sent over TLS only."""
    problems = {}
    for origin in [settings.FLASHSALE_URL, *settings.CSRF_TRUSTED_ORIGINS]:
        if urlsplit(origin).scheme != "https":
            problems[f"{origin} is no https"] = "set FLASHSALE_URL and FLASHSALE_ORIGINS to https addresses"
    if not (settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE):
        problems["cookies are sent without TLS, too"] = "unset FLASHSALE_DEMO"
    if not settings.SECURE_HSTS_SECONDS:
        problems["browsers are not told to use TLS only"] = "set FLASHSALE_HSTS_SECONDS=31536000"
    found = "\n".join(problems) or f"https, HSTS for {settings.SECURE_HSTS_SECONDS} s"
    expected = "https addresses, cookies with Secure, HSTS"
    return in_production(Check("TLS", not problems, found, expected, "\n".join(dict.fromkeys(problems.values()))))


def static_files() -> Check:
    """Whether `collectstatic` has run for these static files."""
    expected, fix = "every static file, collected", "python manage.py collectstatic --noinput"
    storage: Any = staticfiles_storage
    if not settings.HASHED_STATIC or not isinstance(storage, ManifestFilesMixin):
        return Check("static files", True, "served from the source", expected)
    manifest: Any = storage.load_manifest()  # the files, and a hash of all
    hashed = manifest[0]
    names = {name for finder in get_finders() for name, _ in finder.list([])}
    missing = sorted(
        name for name in names if name not in hashed or not (Path(settings.STATIC_ROOT) / hashed[name]).is_file()
    )
    some = ", ".join(missing[:NAMED_MAX])
    found = f"{len(missing)} of {len(names)} missing: {some}" if missing else f"{len(names)} in {settings.STATIC_ROOT}"
    return Check("static files", not missing, found, expected, fix)


def open_files() -> Check:
    """How many files and connections this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fix = "ulimit -n 65536   (in the container engine: ulimits: {nofile: 65536})"
    expected = f"at least {OPEN_FILES_MIN:,} for each process of the doors"
    return in_production(Check("open files", soft >= OPEN_FILES_MIN, f"{soft:,} (at most {hard:,})", expected, fix))


def time_zones() -> Check:
    """Whether this machine knows the time zones of the settings and the campaigns."""
    expected, fix = "the data of each time zone", "pip install tzdata   (or apt-get install tzdata)"
    try:
        names = {settings.TIME_ZONE, *Campaign.objects.values_list("time_zone", flat=True).distinct()}
    except (DatabaseError, ImproperlyConfigured):
        names = {settings.TIME_ZONE}  # the check of PostgreSQL says why
    unknown = sorted(_unknown(names))
    now = datetime.now(UTC)
    shown = ", ".join(f"{name} {now.astimezone(ZoneInfo(name)):%z}" for name in sorted(names - {*unknown}))
    found = f"no data of {', '.join(unknown)}" if unknown else shown
    return Check("time zones", not unknown, found, expected, fix)


def _unknown(names: set[str]) -> Iterator[str]:
    for name in names:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            yield name


def private_files() -> Check:
    """Whether other users of this machine can read the files with secrets."""
    files = [Path(settings.BASE_DIR) / ".env", Path(settings.VAR_DIR)]
    open_ = [path for path in files if path.exists() and path.stat().st_mode & 0o077]
    found = ", ".join(f"{path} has mode {path.stat().st_mode & 0o777:04o}" for path in open_)
    fix = "\n".join(f"chmod {'700' if path.is_dir() else '600'} {path}" for path in open_)
    found = found or "only their owner can read them"
    return in_production(Check("private files", not open_, found, "mode 0600, folders 0700", fix))
