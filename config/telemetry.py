"""Switches OpenTelemetry on where its packages are installed. Where it is off, nothing of it is imported."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

Application = TypeVar("Application", bound=Callable[..., Any])
TOKEN_CHARS_MIN = 20
NOT_INSTALLED = (
    "FLASHSALE_OTEL is on, and {name} is not installed. Install opentelemetry-sdk and "
    "opentelemetry-exporter-otlp-proto-http in your image, or set FLASHSALE_OTEL=0 (docs/operate.md, OpenTelemetry)."
)


def metrics_token(text: str) -> str:
    """The bearer token for /metrics, "" for none. Raises ImproperlyConfigured for one that can be guessed."""
    if text and len(text) < TOKEN_CHARS_MIN:
        raise ImproperlyConfigured(
            f"FLASHSALE_METRICS_TOKEN has {len(text)} characters. It needs {TOKEN_CHARS_MIN} or more, such as the "
            "output of `openssl rand -hex 24`; leave it empty if only networks may read /metrics."
        )
    return text


def start(*, enabled: bool) -> None:
    """Begins to send metrics and spans of this process. Call it in the process itself, after every fork."""
    if enabled:
        _exporting().start()


def traced(application: Application, *, enabled: bool) -> Application:
    """The ASGI application, with a span around each request."""
    traced_one: Application = _exporting().traced(application) if enabled else application
    return traced_one


def _exporting() -> Any:
    try:
        return import_module("config.exporting")
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(NOT_INSTALLED.format(name=error.name)) from error
