"""docs/collection.json: the API as a collection of requests, which Postman, Bruno and Insomnia can import.

It comes from docs/openapi.json and its examples. A test sends every request of it to a server. Values that differ from
server to server are variables; the answers of some requests set them for the next ones.
"""

import json
import re
from typing import Any

Item = dict[str, Any]
POSTMAN = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# The requests of one order and of one webhook, in the order in which they are possible. The others come after these, by
# their path.
WALK = [
    "listSales", "readSale", "enter", "look", "status", "reserve", "confirmReservation", "readReservation",
    "listEvents", "addWebhook", "listWebhooks", "readWebhook", "changeWebhook", "testWebhook", "listDeliveries",
    "resendDelivery", "resendEvents", "rotateWebhookSecret", "deleteWebhook",
]  # fmt: skip
# By operation: the variable, and where the answer has its value.
STORED = {
    "readSale": {"line": "lines[0].code", "sku": "offers[0].sku"},
    "enter": {"place": "place"},
    "reserve": {"reservation": "reservation", "amount": "amount"},
    "addWebhook": {"webhook": "id"},
    "listDeliveries": {"delivery": "results[0].id"},
    "cancelReservation": {"refund": "payment.refunds[0].reference"},
}
# Members of bodies that are variables. An order needs a new payment of its own each time, and so does each key.
MEMBERS = {
    "sale": '"{{sale}}"', "line": '"{{line}}"', "place": '"{{place}}"', "sku": '"{{sku}}"',
    "price": "{{amount}}", "refund": '"{{refund}}"',
    "phone": '"{{phone}}"', "email": '"{{email}}"', "since": '"{{$isoTimestamp}}"',
}  # fmt: skip
VARIABLES = {
    "url": "http://127.0.0.1:8000", "key": "", "test_key": "", "reference": "",
    "sale": "", "line": "", "sku": "", "place": "", "reservation": "",
    "amount": "", "refund": "", "webhook": "", "delivery": "", "date": "", "phone": "081234567890",
    "email": "budi.santoso@gmail.com",
}  # fmt: skip
NEW_KEY = "{{$guid}}"


def collection(document: dict[str, Any]) -> str:
    """The text of docs/collection.json."""
    items = [_item(path, method, one) for path, way in document["paths"].items() for method, one in way.items()]
    rank = {name: place for place, name in enumerate(WALK)}
    items.sort(key=lambda item: rank.get(item["name"], len(WALK)))
    whole = {
        "info": {
            "name": "flashsale",
            "description": "Set `url`, `key` and `sale` (listSales shows them), then send the requests from the top. "
            "`look` says when the place is called. `make reference` writes this file.",
            "schema": POSTMAN,
        },
        "auth": _bearer("key"),
        "variable": [{"key": name, "value": value} for name, value in VARIABLES.items()],
        "item": items,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _bearer(variable: str) -> Item:
    return {"type": "bearer", "bearer": [{"key": "token", "value": f"{{{{{variable}}}}}", "type": "string"}]}


def _item(path: str, method: str, operation: dict[str, Any]) -> Item:
    parameters = operation.get("parameters", [])
    # {id} and {code} have the name of the segment before them: reservations/{id} is a {{reservation}}.
    raw = re.sub(r"(\w+)s/\{(?:id|code)\}", r"\1s/{{\1}}", path)
    raw = re.sub(r"(?<!\{)\{(\w+)\}(?!\})", r"{{\1}}", raw)
    query = [
        {"key": one["name"], "value": str(one.get("example", "")), "disabled": True, "description": one["description"]}
        for one in parameters
        if one["in"] == "query"
    ]
    header = [
        {"key": one["name"], "value": NEW_KEY if one["name"] == "Idempotency-Key" else ""}
        for one in parameters
        if one["in"] == "header" and one.get("required")
    ]
    request: Item = {
        "method": method.upper(),
        "header": header,
        "url": {"raw": "{{url}}" + raw, "host": ["{{url}}"], "path": raw.strip("/").split("/"), "query": query},
        "description": operation["description"],
    }
    if not any(operation["security"]):
        request["auth"] = {"type": "noauth"}
    elif "test" in operation["tags"]:
        request["auth"] = _bearer("test_key")
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        first: dict[str, Any] = next(iter(content.get("examples", {}).values()), {"value": {}})
        header.append({"key": "Content-Type", "value": "application/json"})
        text = _with_variables(json.dumps(content.get("example", first["value"]), indent=2, ensure_ascii=False))
        request["body"] = {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    item: Item = {"name": operation["operationId"], "request": request}
    if stored := STORED.get(operation["operationId"]):
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": _script(stored)}}]
    return item


def _with_variables(text: str) -> str:
    names = "|".join(MEMBERS)
    text = re.sub(rf'"({names})": ("[^"]*"|[0-9]+)', lambda found: f'"{found[1]}": {MEMBERS[found[1]]}', text)
    # One payment of a partner's buyer pays for one order.
    return re.sub(r'("method": "partner",\s+"instrument": )"[^"]*"', rf'\1"{NEW_KEY}"', text)


def _script(stored: dict[str, str]) -> list[str]:
    lines = [f'pm.collectionVariables.set("{name}", body.{path});' for name, path in stored.items()]
    return [
        "if (pm.response.code < 300) {",
        "  const body = pm.response.json();",
        *(f"  {line}" for line in lines),
        "}",
    ]
