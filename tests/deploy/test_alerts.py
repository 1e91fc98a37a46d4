"""The alert rules for Prometheus: they can be loaded, each metric exists, and each names its paragraph."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsale import metrics
from flashsale.life.alarm_list import ALARMS

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "config/monitoring/alerts.yml"
# What a counter and a histogram are called in the answer of /metrics.
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _paragraphs() -> set[str]:
    """The addresses of the headings of the manual, as GitHub makes them."""
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {"docs/operate.md#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_each_rule_has_what_prometheus_and_people_need() -> None:
    rules = _rules()
    assert 10 <= len(rules) <= 16
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "runbook"}
        assert re.fullmatch(r"\d+[sm]", rule.get("for", "1s"))
        # A label that the summary names must be kept by the expression.
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert re.search(rf"by \([\w, ]*\b{label}\b", rule["expr"]), rule["alert"]


def test_each_metric_and_label_of_a_rule_exists() -> None:
    known = {
        metric.name + suffix: metric for metric in (*metrics.COUNTED, *metrics.READ) for suffix in SUFFIXES[metric.kind]
    }
    for rule in _rules():
        names = re.findall(r"\bflashsale_\w+", rule["expr"])
        assert names, rule["alert"]
        for name in names:
            assert name in known, (rule["alert"], name)
            for label in re.findall(rf"{name}\{{(\w+)=", rule["expr"]):
                assert label in known[name].labels, (rule["alert"], label)


def test_each_alarm_and_each_alert_names_a_paragraph_of_the_manual() -> None:
    paragraphs = _paragraphs()
    named = {kind.paragraph for kind in ALARMS.values()} | {rule["annotations"]["runbook"] for rule in _rules()}
    assert named - paragraphs == set()
    about_alarms = {one for one in paragraphs if one.startswith("docs/operate.md#alarm-")}
    assert about_alarms == named
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    for part in re.findall(r"^### Alarm \w+\n(.+?)(?=^##)", text, re.MULTILINE | re.DOTALL):
        flat = " ".join(part.split())
        for words in ("**It means**", "**Shoppers see**", "**Look at**", "**Do", "**It is over**"):
            assert words in flat, flat[:60]


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: the structure of the rules is checked, and not their expressions")
    run = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"SUCCESS: {len(_rules())} rules found" in run.stdout
    # A worker that falls silent, and one that comes back.
    age = 'flashsale_sign_of_life_age_seconds{sign="worker"}'
    fires = {"exp_labels": {"severity": "page"}, "exp_annotations": _annotations("FlashsaleWorkerSilent", "4m 0s")}
    story = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "10s",
        "tests": [{
            "interval": "10s",
            "input_series": [{"series": age, "values": "0+10x24 0x12"}, {"series": "flashsale_up", "values": "1x40"}],
            "alert_rule_test": [
                {"eval_time": "2m", "alertname": "FlashsaleWorkerSilent", "exp_alerts": []},
                {"eval_time": "4m", "alertname": "FlashsaleWorkerSilent", "exp_alerts": [fires]},
                {"eval_time": "5m", "alertname": "FlashsaleWorkerSilent", "exp_alerts": []},
            ],
        }],
    }  # fmt: skip
    (tmp_path / "story.yml").write_text(yaml.safe_dump(story), encoding="utf-8")
    told = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "story.yml")], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


def _annotations(alert: str, value: str) -> dict[str, str]:
    found = next(rule["annotations"] for rule in _rules() if rule["alert"] == alert)
    return {name: re.sub(r"\{\{ \$value.*?\}\}", value, text) for name, text in found.items()}
