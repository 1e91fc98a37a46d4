"""OpenTelemetry sends what is counted, where it is switched on. Where it is off, nothing of it is imported."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config import telemetry

ROOT = Path(__file__).resolve().parents[2]
MESSAGES: dict[str, Any] = {"/v1/metrics": ExportMetricsServiceRequest, "/v1/traces": ExportTraceServiceRequest}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

OFF = """
import sys
sys.modules["opentelemetry"] = None  # redis-py imports it, if it is there
from config import asgi, celery
from flashsale import metrics
celery.start_measuring()
print("config.exporting" in sys.modules, metrics.listener)
"""

ON = """
from uvloop import Loop
from config.asgi import application
from config import exporting
from flashsale import metrics

async def receive():
    return {"type": "http.request", "body": b"{}", "more_body": False}

async def send(message):
    pass

headers = [(b"host", b"localhost"), (b"x-forwarded-for", b"203.0.113.9"), (b"cookie", b"fs_secret=1"),
           (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
scope = {"type": "http", "method": "POST", "path": "/v1/sales/Not-A-Code/lines/l/enter", "query_string": b"token=1",
         "headers": headers, "client": ("203.0.113.9", 1), "scheme": "http", "http_version": "1.1"}
Loop().run_until_complete(application(scope, receive, send))
metrics.fold()
exporting.flush()
"""


class _Collector(ThreadingHTTPServer):
    """Takes what OpenTelemetry sends, as a collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: dict[str, list[bytes]] = {path: [] for path in MESSAGES}

    def taken(self, path: str) -> str:
        """All that came to this path, as JSON."""
        return json.dumps([MessageToDict(MESSAGES[path].FromString(body)) for body in self.bodies[path]])


class _Handler(BaseHTTPRequestHandler):
    server: _Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies[self.path].append(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[_Collector]:
    with _Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def run(program: str, var: Path, **env: str) -> str:
    own = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    own |= {"FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(var), "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    command = [sys.executable, "-W", "error::DeprecationWarning:config", "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=own | env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_where_it_is_off_nothing_of_it_is_imported(tmp_path: Path) -> None:
    assert run(OFF, tmp_path) == "False None\n"


def test_where_it_is_on_a_collector_gets_metrics_and_spans_without_a_word_of_the_caller(
    collector: _Collector, tmp_path: Path
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
    run(ON, tmp_path, FLASHSALE_OTEL="1", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_HEADERS="")
    (sent,) = (json.loads(collector.taken("/v1/metrics"))[:1],)
    counted = {one["name"]: one for one in sent[0]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    (point,) = counted["flashsale_door_requests"]["sum"]["dataPoints"]
    labels = {pair["key"]: pair["value"]["stringValue"] for pair in point["attributes"]}
    assert (labels, point["asInt"]) == ({"verb": "enter", "outcome": "not_found"}, "1")
    (point,) = counted["flashsale_door_request_seconds"]["histogram"]["dataPoints"]
    assert (point["count"], len(point["explicitBounds"])) == ("1", 13)
    (batch,) = json.loads(collector.taken("/v1/traces"))
    spans = {span["name"]: span for span in batch["resourceSpans"][0]["scopeSpans"][0]["spans"]}
    assert set(spans) == {"request", "flashsale_door_request"}
    request, door = spans["request"], spans["flashsale_door_request"]
    attributes = {pair["key"]: next(iter(pair["value"].values())) for pair in request["attributes"]}
    assert attributes == {"http.request.method": "POST", "http.response.status_code": "404"}
    assert door["parentSpanId"] == request["spanId"]
    assert door["traceId"] == request["traceId"]
    everything = collector.taken("/v1/traces") + collector.taken("/v1/metrics")
    written = ("Not-A-Code", "203.0.113.9", "secret", "token=1", "/v1/sales")
    assert [word for word in written if word in everything] == []


def test_without_its_packages_the_start_fails_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "config.exporting", raising=False)
    with pytest.raises(ImproperlyConfigured, match="FLASHSALE_OTEL is on, and opentelemetry is not installed"):
        telemetry.start(enabled=True)
    telemetry.start(enabled=False)


def test_a_token_that_can_be_guessed_is_refused() -> None:
    assert telemetry.metrics_token("") == ""
    assert telemetry.metrics_token("x" * 20) == "x" * 20
    with pytest.raises(ImproperlyConfigured, match=r"FLASHSALE_METRICS_TOKEN has 6 characters\. It needs 20 or more"):
        telemetry.metrics_token("secret")
