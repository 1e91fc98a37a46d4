"""`GET /metrics` for Prometheus: the sums of all processes, and what Redis and PostgreSQL say now.

Whichever process is asked, the answer is the same, so Prometheus needs one address of the installation. Without Redis
there are no sums, and `flashsale_up` says so. The page is off until a setting names who may read it.
"""

import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.db import Error
from django.db.models import Count, Min, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from flashsale import metrics
from flashsale.gate import bridge
from flashsale.gate import metrics as gate_metrics
from flashsale.gate.client import GateDown
from flashsale.life import monitor, samples
from flashsale.models import Delivery, Inbox, Notice, PaymentAttempt, Refund, Sale
from flashsale.rules.key_rights import network_in
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import DeliveryState, NoticeState
from flashsale.web.client_ip import address_of
from flashsale.web.errors import problem_response

# The values of a gauge: those of its labels, and the number.
Values = Iterable[tuple[metrics.Labels, float]]
SAMPLE_FRESH_S = 10


@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The metrics in the form that the caller accepts; 404 where they are off, 401 or 403 for others."""
    if not (settings.FLASHSALE_METRICS_TOKEN or settings.FLASHSALE_METRICS_NETWORKS):
        raise Http404
    if not (_has_token(request) or _is_near(request)):
        refused = Outcome.UNAUTHENTICATED if settings.FLASHSALE_METRICS_TOKEN else Outcome.FORBIDDEN
        response = problem_response(request, refused)
        if refused is Outcome.UNAUTHENTICATED:
            response["WWW-Authenticate"] = "Bearer"
        return response
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _has_token(request: HttpRequest) -> bool:
    token = settings.FLASHSALE_METRICS_TOKEN
    return bool(token) and constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}")


def _is_near(request: HttpRequest) -> bool:
    address = ip_address(address_of(request))
    return any(address in network_in(cidr, strict=False) for cidr in settings.FLASHSALE_METRICS_NETWORKS)


class _Collector:
    """All metrics of this moment, as prometheus_client wants them."""

    def collect(self) -> Iterator[Metric]:
        """The sums of all processes, then the gauges."""
        sums, signs, answers = _from_redis()
        for metric in metrics.COUNTED:
            if metric.name in sums:
                yield _family(metric, sums[metric.name])
        gauges = _Gauges()
        gauges.add(metrics.UP, [(("gate",), float(answers))])
        now_ms = time.time() * 1000
        gauges.add(
            metrics.SIGN_AGE,
            (((name,), max(0.0, now_ms - signs[name]) / 1000) for name in monitor.SIGNS if name in signs),
        )
        gauges.add(metrics.QUEUE, [((), signs["queue"])] if "queue" in signs else [])
        try:
            _read_books(gauges)
        except Error:
            gauges.add(metrics.UP, [(("books",), 0.0)])
        else:
            gauges.add(metrics.UP, [(("books",), 1.0)])
        yield from gauges.families.values()


def _from_redis() -> tuple[dict[str, dict[metrics.Labels, list[int]]], dict[str, int], bool]:
    try:
        return bridge.run(gate_metrics.read()), bridge.run(gate_metrics.signs()), True
    except GateDown:
        return {}, {}, False


def _family(metric: metrics.Counter | metrics.Histogram, cells: dict[metrics.Labels, list[int]]) -> Metric:
    if isinstance(metric, metrics.Counter):
        counter = CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, cell in sorted(cells.items()):
            counter.add_metric(labels, cell[0])
        return counter
    histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for labels, (*counts, micros) in sorted(cells.items()):
        bounds = [*(str(float(bound)) for bound in metric.bounds), "+Inf"]
        upto = [sum(counts[: at + 1]) for at in range(len(counts))]
        buckets: Any = list(zip(bounds, upto, strict=True))
        histogram.add_metric(labels, buckets, micros / metrics.MICRO)
    return histogram


class _Gauges:
    """The gauges that have values, by name."""

    def __init__(self) -> None:
        self.families: dict[str, GaugeMetricFamily] = {}

    def add(self, gauge: metrics.Gauge, values: Values) -> None:
        for labels, value in values:
            if gauge.name not in self.families:
                self.families[gauge.name] = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
            self.families[gauge.name].add_metric(labels, value)


def _read_books(gauges: _Gauges) -> None:
    """The gauges that PostgreSQL has. Raises django.db.Error."""
    now = timezone.now()
    running = samples.running_sales(now)
    gauges.add(metrics.RUNNING, [((), len(running))])
    _add_checks(gauges, now.timestamp())
    for sale in running:
        _add_sample(gauges, sale, now.timestamp())
    rows: dict[str, QuerySet[Any]] = {
        "attempts": PaymentAttempt.objects.filter(next_look_at__lte=now),
        "refunds": Refund.objects.filter(next_look_at__lte=now),
        "notifications": Inbox.objects.filter(done_at=None, next_look_at__lte=now),
    }
    for name, due in rows.items():
        _add_due(gauges, metrics.PAYMENTS_DUE, metrics.PAYMENTS_LATE, due, "next_look_at", name)
    deliveries = Delivery.objects.filter(state=DeliveryState.DUE, due_at__lte=now, webhook__off="")
    _add_due(gauges, metrics.WEBHOOKS_DUE, metrics.WEBHOOKS_LATE, deliveries, "due_at")
    letters = Notice.objects.filter(state=NoticeState.DUE, due_at__lte=now)
    _add_due(gauges, metrics.LETTERS_DUE, metrics.LETTERS_LATE, letters, "due_at")


def _add_due(
    gauges: _Gauges, count: metrics.Gauge, late: metrics.Gauge, rows: "QuerySet[Any]", field: str, *labels: str
) -> None:
    found = rows.order_by().aggregate(count=Count("pk"), oldest=Min(field))
    oldest = found["oldest"]
    gauges.add(count, [(labels, found["count"])])
    gauges.add(late, [(labels, max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0)])


def _add_checks(gauges: _Gauges, now: float) -> None:
    for code, check in monitor.latest().sales.items():
        broken = {fault.promise for fault in check.broken}
        names = {promise: str(promise) if promise else "events" for promise in monitor.CHECKS}
        gauges.add(metrics.BROKEN, (((code, name), promise in broken) for promise, name in names.items()))
        gauges.add(metrics.CHECK_AGE, [((code,), max(0.0, now - check.at.timestamp()))])
        gauges.add(metrics.GATE_BEHIND, [((code,), check.gate_behind_s)])
        gauges.add(metrics.BOOKS_BEHIND, [((code,), check.books_behind_s)])


def _add_sample(gauges: _Gauges, sale: Sale, now: float) -> None:
    sample = samples.latest(sale)
    if sample is None or now - sample.at.timestamp() > SAMPLE_FRESH_S:
        return
    for line in sample.lines:
        where = (sale.code, line.code)
        steps = ("entered", "called", "claimed", "lapsed")
        gauges.add(metrics.SALE_PEOPLE, (((*where, step), getattr(line, step)) for step in steps))
        states = ("free", "held", "sold")
        gauges.add(metrics.SALE_UNITS, (((*where, state), getattr(line, state)) for state in states))
    gauges.add(metrics.SALE_REFUSED, (((sale.code, reason), times) for reason, times in sample.refused.items()))
    if sample.door_p95_ms is not None:
        gauges.add(metrics.SALE_P95, [((sale.code,), sample.door_p95_ms / 1000)])
    gauges.add(metrics.SALE_PAYMENTS, [((sale.code,), sample.payments_waiting)])
    gauges.add(metrics.SALE_REVIEW, [((sale.code,), sample.review_backlog)])
