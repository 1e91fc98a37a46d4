"""All settings of the product. Values that differ between machines come from the environment (see docs/operate.md).

The data folder (`FLASHSALE_VAR`, default `var/`) holds the files that a machine writes: beat's schedule, and in a demo
also the SQLite database, the files of Redis, the logs and secrets.env.
"""

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import environ
import structlog
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from config import (
    accounts,
    alarms,
    beacon,
    codes,
    database,
    mail,
    planning,
    production,
    redis_address,
    secrets,
    staff,
    telemetry,
)

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _list(name: str, default: Sequence[str] = ()) -> list[str]:
    """A list of comma-separated values. Spaces around a value and empty values do not count."""
    return [stripped for value in env.list(name, default=list(default)) if (stripped := value.strip())]


# --- Data folder and mode ---------------------------------------------------------------------------------------------

VAR_DIR = Path(env.str("FLASHSALE_VAR", default=str(BASE_DIR / "var"))).resolve()
VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)

# A demo makes its own secrets.env. The file also has FLASHSALE_DEMO=1, so that a demo's folder always runs as a demo.
# In production the secrets come from the environment.
secrets.load(path=VAR_DIR / "secrets.env", make=env.bool("FLASHSALE_DEMO", default=False))
FLASHSALE_DEMO = env.bool("FLASHSALE_DEMO", default=False)

DEBUG = env.bool("FLASHSALE_DEBUG", default=False)
ALLOWED_HOSTS = _list("FLASHSALE_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = _list("FLASHSALE_ORIGINS")
# The start of the links in e-mails.
FLASHSALE_URL = env.str("FLASHSALE_URL", default="") or [*CSRF_TRUSTED_ORIGINS, "http://127.0.0.1:8000"][0]

# Networks of our own reverse proxies, as CIDR. X-Forwarded-For and X-Forwarded-Proto count only from these.
FLASHSALE_TRUSTED_PROXIES = [str(ip_network(cidr, strict=False)) for cidr in _list("FLASHSALE_TRUSTED_PROXIES")]

# How many bodies one client (an IPv4 address, or an IPv6 network of 64 bits) may send slowly at a time, for each
# process of the doors.
FLASHSALE_SLOW_BODIES = env.int("FLASHSALE_SLOW_BODIES", default=100)

# Who may read /metrics: a bearer token, and networks as CIDR. Without both the page does not exist.
FLASHSALE_METRICS_TOKEN = telemetry.metrics_token(env.str("FLASHSALE_METRICS_TOKEN", default=""))
FLASHSALE_METRICS_NETWORKS = [str(ip_network(cidr, strict=False)) for cidr in _list("FLASHSALE_METRICS_NETWORKS")]
# Sends metrics and traces by OpenTelemetry. Its packages are not installed (docs/operate.md, OpenTelemetry).
FLASHSALE_OTEL = env.bool("FLASHSALE_OTEL", default=False)

# --- Secrets ----------------------------------------------------------------------------------------------------------

SECRET_KEY = env.str("FLASHSALE_SECRET_KEY")
FLASHSALE_PEPPER = secrets.parse_key("FLASHSALE_PEPPER", env.str("FLASHSALE_PEPPER"))
FLASHSALE_TOKEN_KEYS = secrets.parse_token_keys(env.str("FLASHSALE_TOKEN_KEYS"))
FLASHSALE_CONTACT_KEY = secrets.parse_key("FLASHSALE_CONTACT_KEY", env.str("FLASHSALE_CONTACT_KEY"))
FLASHSALE_RECEIPT_KEY = secrets.parse_key("FLASHSALE_RECEIPT_KEY", env.str("FLASHSALE_RECEIPT_KEY"))
# Earlier public keys, so that the receipts that they signed can still be verified.
FLASHSALE_RECEIPT_OLD_KEYS = secrets.parse_public_keys(env.str("FLASHSALE_RECEIPT_OLD_KEYS", default=""))

# Public randomness of the draw. The chain is drand's quicknet, except in tests.
FLASHSALE_BEACON_RELAYS = beacon.relays(_list("FLASHSALE_BEACON_RELAYS", default=beacon.RELAYS))
FLASHSALE_BEACON_CHAIN = beacon.chain(env.str("FLASHSALE_BEACON_CHAIN", default=""))

# --- Apps and middleware ----------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "flashsale",
    "flashsale.web.staff_apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]

MIDDLEWARE = [
    "flashsale.web.errors.answer_every_error",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "flashsale.web.fresh_proof.FreshProofMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- PostgreSQL (the books) -------------------------------------------------------------------------------------------

# Whether a pooler (PgBouncer) gives each transaction another session of PostgreSQL (docs/operate.md, PgBouncer).
FLASHSALE_DB_POOLER = database.pooler(env.str("FLASHSALE_DB_POOLER", default=""))
# Seconds after which PostgreSQL ends a statement, and a session that is idle in a transaction; 0: never.
FLASHSALE_DB_STATEMENT_S = env.int("FLASHSALE_DB_STATEMENT_S", default=0)
FLASHSALE_DB_IDLE_S = env.int("FLASHSALE_DB_IDLE_S", default=10)
DATABASES = {
    "default": database.database_settings(
        env.str("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'books.sqlite3'}"),
        pool=env.int("FLASHSALE_DB_POOL", default=8),
        statement_s=FLASHSALE_DB_STATEMENT_S,
        idle_s=FLASHSALE_DB_IDLE_S,
        test_sqlite=env.str("FLASHSALE_TEST_SQLITE", default=None),
        pooled=FLASHSALE_DB_POOLER,
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: the gate, the rate limits and the broker ------------------------------------------------------------------


def _socket(name: str) -> Path:
    """The path of a socket in the data folder. A path over Linux' limit of 107 bytes moves to the temporary folder."""
    path = VAR_DIR / name
    if len(str(path).encode()) < 100:
        return path
    return Path(tempfile.gettempdir()) / f"flashsale-{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.sock"


REDIS_SOCKET = _socket("redis.sock")
REDIS_URL = env.str("REDIS_URL", default=f"unix://{REDIS_SOCKET}?db=0")
BROKER_URL = env.str("BROKER_URL", default="") or redis_address.broker_of(REDIS_URL)
LIMITS_URL = env.str("LIMITS_URL", default="") or redis_address.limits_of(REDIS_URL)


def _cache(prefix: str) -> dict[str, Any]:
    return {
        "BACKEND": "flashsale.gate.ratelimit_cache.RefusingRedisCache",
        "LOCATION": [LIMITS_URL],
        "KEY_PREFIX": prefix,
        "OPTIONS": {
            "pool_class": "flashsale.gate.ratelimit_cache.LimitsPool",
            "socket_timeout": 0.5,
            "socket_connect_timeout": 0.2,
            "health_check_interval": 30,
        },
    }


CACHES = {"default": _cache("cache"), "limits": _cache("limits")}

RATELIMIT_USE_CACHE = "limits"
RATELIMIT_FAIL_OPEN = False  # refuse requests when Redis cannot count them
# W001 warns about caches that may miscount. Django's Redis backend, which ours extends, counts exactly; tested.
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.W001"]

CELERY_BROKER_URL, _broker_options = redis_address.celery_url(BROKER_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ACKS_LATE = True  # the broker delivers the message again when a worker dies
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 90
CELERY_TASK_SOFT_TIME_LIMIT = 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = env.int("FLASHSALE_WORKER_SHUTDOWN", default=5 if FLASHSALE_DEMO else 30)
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # try to reconnect for ever
CELERY_VISIBILITY_TIMEOUT = 300
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"visibility_timeout": 300}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_keepalive": True,
    "health_check_interval": 10,
    **_broker_options,
}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "beat")

# --- REST API, headers, cookies, static files -------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": [],  # DRF's own let extra requests through under load; ours count in Redis
    "URL_FORMAT_OVERRIDE": None,  # ?format= is no parameter of ours, so it is refused like every unknown one
    "EXCEPTION_HANDLER": "flashsale.web.api.exceptions.handle",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "flashsale",
    "VERSION": "1",
    "DESCRIPTION": "Flash sales in which the limit holds before the sale and anyone can check the line.",
    "OAS_VERSION": "3.1.0",
    "CONTACT": {"name": "The operator of this server"},
    "LICENSE": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [
        "flashsale.web.api.document.complete",
        "flashsale.web.api.webhook_messages.add_messages",
        "flashsale.web.api.document_clients.suit_clients",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}

SESSION_ENGINE = "flashsale.web.sessions"  # which also ends each session after 12 hours
SESSION_COOKIE_AGE = 60 * 60  # seconds without a request, after which a session ends
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not FLASHSALE_DEMO
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = env.int("FLASHSALE_HSTS_SECONDS", default=0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if FLASHSALE_TRUSTED_PROXIES else None
CSRF_FAILURE_VIEW = "flashsale.web.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024  # bytes
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("FLASHSALE_STATIC", default=str(VAR_DIR / "static")))
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
HASHED_STATIC = env.bool("FLASHSALE_HASHED_STATIC", default=not FLASHSALE_DEMO)
WHITENOISE_USE_FINDERS = not HASHED_STATIC
WHITENOISE_ALLOW_ALL_ORIGINS = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if HASHED_STATIC
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- Language, time zone, mail ----------------------------------------------------------------------------------------

LANGUAGE_CODE = "id"
LANGUAGES = [("id", _("Indonesian")), ("en", _("English"))]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Jakarta"  # the default zone for display; PostgreSQL stores UTC

EMAIL_FILE_PATH = str(VAR_DIR / "outbox")
vars().update(
    env.email_url("EMAIL_URL", default=f"filemail:///{EMAIL_FILE_PATH}" if FLASHSALE_DEMO else "smtp://localhost:25")
)
# Seconds. While the mail server does not answer, a shopper waits for a code, and the worker keeps a row locked.
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = env.str("FLASHSALE_MAIL_FROM", default="flashsale@localhost")
# A mail service instead of a mail server, and its options as JSON (docs/operate.md, E-mail).
FLASHSALE_MAIL_SERVICE = env.str("FLASHSALE_MAIL_SERVICE", default="")
vars().update(mail.service_settings(FLASHSALE_MAIL_SERVICE, env.str("FLASHSALE_MAIL_SERVICE_SETTINGS", default="")))

# Rehearsals: where their crowd finds the doors, how large they may be, and how many minutes must be left before a live
# sale opens.
FLASHSALE_REHEARSAL_URL = env.str("FLASHSALE_REHEARSAL_URL", default="") or FLASHSALE_URL
FLASHSALE_REHEARSAL_PEOPLE = env.int("FLASHSALE_REHEARSAL_PEOPLE", default=20_000)
FLASHSALE_REHEARSAL_SPEED = env.int("FLASHSALE_REHEARSAL_SPEED", default=200)
FLASHSALE_REHEARSAL_MINUTES = env.int("FLASHSALE_REHEARSAL_MINUTES", default=30)
FLASHSALE_REHEARSAL_AHEAD = env.int("FLASHSALE_REHEARSAL_AHEAD", default=60)

# The address of the page with a demo's mails. Only the simulation's settings set it.
FLASHSALE_OUTBOX_URL = ""

# What the month view of the admin marks: more people at once than this (0: no bound), and openings at other hours.
FLASHSALE_PLAN_PEOPLE = env.int("FLASHSALE_PLAN_PEOPLE", default=0)
FLASHSALE_PLAN_HOURS = planning.hours(env.str("FLASHSALE_PLAN_HOURS", default=""))

# Text messages with codes in a day, over all sales. The log has an alarm at four fifths of it.
FLASHSALE_CODES_PER_DAY = env.int("FLASHSALE_CODES_PER_DAY", default=200_000)

# The class of the payment provider, or several. Production refuses to start with the demo's.
FLASHSALE_PAYMENT_PROVIDER = env.str("FLASHSALE_PAYMENT_PROVIDER", default=production.DEMO_PROVIDER)
# Keys of the payment accounts, "account:key". The first key of an account is for calls, all are for notifications.
FLASHSALE_PAYMENT_KEYS = accounts.values_by_account(
    "FLASHSALE_PAYMENT_KEYS", env.str("FLASHSALE_PAYMENT_KEYS", default="")
)
# "account:live", "account:sandbox", or "account:https://…" for another address of the provider.
FLASHSALE_PAYMENT_HOSTS = accounts.value_by_account(
    "FLASHSALE_PAYMENT_HOSTS", env.str("FLASHSALE_PAYMENT_HOSTS", default=""), str
)
# The methods that an account offers, "account:method". All of them for an account that is not named.
FLASHSALE_PAYMENT_METHODS = accounts.values_by_account(
    "FLASHSALE_PAYMENT_METHODS", env.str("FLASHSALE_PAYMENT_METHODS", default="")
)
# How many payments a second an account begins, "account:number".
FLASHSALE_PAYMENT_PACES = accounts.value_by_account(
    "FLASHSALE_PAYMENT_PACES", env.str("FLASHSALE_PAYMENT_PACES", default=""), accounts.pace
)

# Webhooks may go to receivers on this machine, also by plain http. Production refuses to start with it.
FLASHSALE_WEBHOOK_LOCAL = env.bool("FLASHSALE_WEBHOOK_LOCAL", default=FLASHSALE_DEMO)

# People who are told of alarms by mail, and the address of a program that gets them, signed (docs/operate.md, Alarms).
FLASHSALE_ALARM_MAILS = alarms.addresses(_list("FLASHSALE_ALARM_MAILS"))
FLASHSALE_ALARM_WEBHOOK = env.str("FLASHSALE_ALARM_WEBHOOK", default="")
FLASHSALE_ALARM_SECRET = alarms.secret_for(FLASHSALE_ALARM_WEBHOOK, env.str("FLASHSALE_ALARM_SECRET", default=""))

# --- One-time codes ---------------------------------------------------------------------------------------------------

# The senders to phones, in the order in which they are tried (docs/operate.md, Codes). "email": codes go to mailboxes
# only.
FLASHSALE_CODE_SENDER = _list("FLASHSALE_CODE_SENDER", default=["outbox" if FLASHSALE_DEMO else "email"])
FLASHSALE_CODE_WEBHOOK = env.str("FLASHSALE_CODE_WEBHOOK", default="")
# The price of a message by sender, and the highest cost of all messages of a day; 0: no bound.
FLASHSALE_CODE_PRICES = codes.parse_prices(_list("FLASHSALE_CODE_PRICES"))
FLASHSALE_CODES_MONEY_PER_DAY = env.int("FLASHSALE_CODES_MONEY_PER_DAY", default=0)

FLASHSALE_WHATSAPP_URL = env.str("FLASHSALE_WHATSAPP_URL", default="")
FLASHSALE_WHATSAPP_TOKEN = env.str("FLASHSALE_WHATSAPP_TOKEN", default="")
FLASHSALE_WHATSAPP_TEMPLATE = env.str("FLASHSALE_WHATSAPP_TEMPLATE", default="")
FLASHSALE_WHATSAPP_SECRET = env.str("FLASHSALE_WHATSAPP_SECRET", default="")
FLASHSALE_WHATSAPP_VERIFY_TOKEN = env.str("FLASHSALE_WHATSAPP_VERIFY_TOKEN", default="")
FLASHSALE_WHATSAPP_PACE = env.int("FLASHSALE_WHATSAPP_PACE", default=80)

FLASHSALE_SMS_URL = env.str("FLASHSALE_SMS_URL", default="")
FLASHSALE_SMS_FORM = env.str("FLASHSALE_SMS_FORM", default="")
FLASHSALE_SMS_USER = env.str("FLASHSALE_SMS_USER", default="")
FLASHSALE_SMS_PASSWORD = env.str("FLASHSALE_SMS_PASSWORD", default="")
FLASHSALE_SMS_TAKEN = env.str("FLASHSALE_SMS_TAKEN", default="")
FLASHSALE_SMS_ID = env.str("FLASHSALE_SMS_ID", default="")
FLASHSALE_SMS_REPORTS = env.str("FLASHSALE_SMS_REPORTS", default="")
FLASHSALE_SMS_PACE = env.int("FLASHSALE_SMS_PACE", default=0)

# --- What must not start in production -----------------------------------------------------------------------------

# By these settings other machines can reach the site. Empty on a machine of one's own.
FLASHSALE_SIGNS_OF_PRODUCTION = production.signs_of_production(
    hosts=ALLOWED_HOSTS,
    origins=[*CSRF_TRUSTED_ORIGINS, FLASHSALE_URL],
    proxies=FLASHSALE_TRUSTED_PROXIES,
    hsts_s=SECURE_HSTS_SECONDS,
)
# Why no server may start with these settings. `manage.py doctor` shows it too.
FLASHSALE_REFUSALS = list(
    production.refusals(
        demo=FLASHSALE_DEMO,
        debug=DEBUG,
        payment_provider=FLASHSALE_PAYMENT_PROVIDER,
        mail_backend=FLASHSALE_MAIL_SERVICE
        or env.email_url("EMAIL_URL", default="smtp://localhost:25")["EMAIL_BACKEND"],
        signs=FLASHSALE_SIGNS_OF_PRODUCTION,
        webhook_local=FLASHSALE_WEBHOOK_LOCAL,
    )
)
FLASHSALE_CODE_PROBLEMS = list(codes.problems(globals(), signs=FLASHSALE_SIGNS_OF_PRODUCTION))
FLASHSALE_REFUSALS += FLASHSALE_CODE_PROBLEMS
# Debug pages and error reports hide secrets by their names and by their values.
DEFAULT_EXCEPTION_REPORTER = "flashsale.web.debug_pages.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "flashsale.web.debug_pages.SecretsFilter"

# --- Staff ------------------------------------------------------------------------------------------------------------

LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
# Whether staff need an authenticator app or a passkey: wherever other machines can reach the site.
_IN_PRODUCTION = bool(FLASHSALE_SIGNS_OF_PRODUCTION) and not FLASHSALE_DEMO
FLASHSALE_STAFF_SECOND_FACTOR = env.bool("FLASHSALE_STAFF_SECOND_FACTOR", default=_IN_PRODUCTION)
# Seconds for which a proof counts before actions that cannot be undone, and exports; 0: they need no fresh proof.
FLASHSALE_FRESH_PROOF_S = env.int(
    "FLASHSALE_FRESH_PROOF_S", default=staff.FRESH_S if FLASHSALE_STAFF_SECOND_FACTOR else 0
)
# Above so many units, two people publish a sale; 0: one person publishes all sales.
FLASHSALE_TWO_PEOPLE_UNITS = env.int("FLASHSALE_TWO_PEOPLE_UNITS", default=staff.UNITS if _IN_PRODUCTION else 0)
# Log-in by an identity provider (OpenID Connect). Empty: only by password.
FLASHSALE_OIDC = {
    "url": env.str("FLASHSALE_OIDC_URL", default=""),
    "name": env.str("FLASHSALE_OIDC_NAME", default="OpenID"),
    "client_id": env.str("FLASHSALE_OIDC_CLIENT_ID", default=""),
    "secret": env.str("FLASHSALE_OIDC_CLIENT_SECRET", default=""),
}
# Whether the identity provider asks for a second factor, so that the admin does not ask again.
FLASHSALE_OIDC_SECOND_FACTOR = env.bool("FLASHSALE_OIDC_SECOND_FACTOR", default=False)
vars().update(staff.allauth_settings(local=not _IN_PRODUCTION, oidc=FLASHSALE_OIDC))
FLASHSALE_REFUSALS += staff.oidc_problems(FLASHSALE_OIDC, demo=FLASHSALE_DEMO)

# --- Logs: one JSON object per line, on standard error ----------------------------------------------------------------

_BEFORE_RENDERING: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
structlog.configure(
    processors=[*_BEFORE_RENDERING, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.processors.JSONRenderer(),
            "foreign_pre_chain": _BEFORE_RENDERING,
        },
    },
    "filters": {
        "no_traceback_of_callers": {"()": "config.logs.NoTracebackOfCallers"},
        "no_secrets_of_callers": {"()": "config.logs.NoSecretsOfCallers"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["no_traceback_of_callers", "no_secrets_of_callers"],
        }
    },
    "root": {"handlers": ["stderr"], "level": env.str("FLASHSALE_LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        # Its lines name the address of each call, and some addresses have the token of a payment page.
        "httpx2": {"level": "WARNING"},
    },
}
