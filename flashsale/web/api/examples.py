"""The examples of the OpenAPI document: one request of each operation, and its answers, as a real server gave them.

examples.json has them by operation: `body`, `query` and `answers` by status. A test sends the requests to a server, and
compares its answers with the examples. `make reference` records an answer again when its members have changed.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("examples.json")
EXAMPLES: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))


def add_examples(operation: dict[str, Any]) -> None:
    """Adds the examples to the body, the parameters and the answers of an operation."""
    example = EXAMPLES.get(operation["operationId"], {})
    if "body" in example:
        _add(operation["requestBody"], example["body"])
    for parameter in operation.get("parameters", ()):
        sent = PARAMETERS | example.get("query", {})
        if parameter["name"] in sent:
            parameter["example"] = sent[parameter["name"]]
    for status, answer in example.get("answers", {}).items():
        _add(operation["responses"][status], answer)


def _add(part: dict[str, Any], value: object) -> None:
    """Adds the example, if the view has not its own."""
    content = part["content"]["application/json"]
    if "examples" not in content:
        content["example"] = value


PARAMETERS = {
    "Idempotency-Key": "order-4711",
    "code": "poco-m3-26-jan",
    "sale": "poco-m3-26-jan",
    "line": "lazada",
    "id": "c0b078b2-cacb-406b-a807-0a9522e82c2a",
}
