"""Sends metrics and traces by OpenTelemetry (OTLP over HTTP). Imported only where FLASHSALE_OTEL is on.

The metrics are those of /metrics, of this process alone. A trace has a span for each request, and below it a span for
each thing that is measured in seconds: the door, a call of Redis, a commit, a call of a provider. Spans have the labels
of the metrics and no others: no path, no address, no header. The usual variables OTEL_* set the collector, the share of
requests that is traced (OTEL_TRACES_SAMPLER) and the name of the service.
"""

import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from flashsale import metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SECONDS = "_seconds"
_providers: list[MeterProvider | TracerProvider] = []


def start() -> None:
    """Begins to send. Does nothing the second time."""
    if _providers:
        return
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"):
        if not os.environ.get(name, "x"):
            del os.environ[name]  # left empty in .env: the default of OpenTelemetry
    resource = Resource.create(
        {
            SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "flashsale"),
            # Each process counts for itself.
            SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{os.getpid()}",
        }
    )
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource)
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _providers.extend([meters, tracers])
    meter, tracer = meters.get_meter("flashsale"), tracers.get_tracer("flashsale")
    histograms = {}
    for metric in metrics.COUNTED:
        if isinstance(metric, metrics.Counter):
            meter.create_observable_counter(metric.name, [_reader(metric)], description=metric.meaning)
        else:
            histograms[metric.name] = meter.create_histogram(
                metric.name,
                "s" if metric.name.endswith(SECONDS) else "1",
                metric.meaning,
                explicit_bucket_boundaries_advisory=list(metric.bounds),
            )

    def listen(metric: metrics.Histogram, value: float, labels: metrics.Labels) -> None:
        if metric.name not in histograms:
            return
        attributes = dict(zip(metric.labels, labels, strict=True))
        histograms[metric.name].record(value, attributes)
        if metric.name.endswith(SECONDS):
            end = time.time_ns()
            span = tracer.start_span(
                metric.name.removesuffix(SECONDS), attributes=attributes, start_time=end - int(value * 1e9)
            )
            span.end(end)

    metrics.listener = listen


def _reader(counter: metrics.Counter) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(_: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(n, dict(zip(counter.labels, labels, strict=True))) for labels, n in counter.counts().items()
        ]

    return read


def traced(application: Application) -> Application:
    """The application, with a span for each request. It continues the caller's trace (`traceparent`)."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        tracer = next(one for one in _providers if isinstance(one, TracerProvider)).get_tracer("flashsale")
        attributes = {"http.request.method": scope["method"]}
        parent = propagate.extract(headers)
        with tracer.start_as_current_span("request", parent, SpanKind.SERVER, attributes) as span:
            await application(scope, receive, _noting(send, span))

    return serve


def _noting(send: Send, span: trace.Span) -> Send:
    async def note(message: Message) -> None:
        if message["type"] == "http.response.start":
            span.set_attribute("http.response.status_code", message["status"])
            if message["status"] >= 500:
                span.set_status(StatusCode.ERROR)
        await send(message)

    return note


def flush() -> None:
    """Sends what waits."""
    for provider in _providers:
        provider.force_flush()
