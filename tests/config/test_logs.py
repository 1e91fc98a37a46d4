"""The log has no secret that stands in the path of a request."""

import logging
from typing import Any, cast

import pytest
from django.conf import settings

from config.logs import NoSecretsOfCallers

SECRET = "Kq3s34DlN-tA_MRxYz0123456789abcdefABCDEF"


def written(message: Any, *args: Any) -> Any:
    record = logging.LogRecord("django.request", logging.WARNING, __file__, 1, message, args, None)
    assert NoSecretsOfCallers().filter(record)
    return record.msg if isinstance(record.msg, dict) else record.getMessage()


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (f"/calendar/{SECRET}.ics", "/calendar/…"),
        (f"/appeal/fs1.{SECRET}", "/appeal/fs1.…"),
        (f"/my-order/fs1.{SECRET}!", "/my-order/fs1.…!"),
        (f"/v1/keys/fs_live_{SECRET}", "/v1/keys/fs_…"),
        (f"/x/fs_sign_{SECRET}/fs_test_{SECRET}", "/x/fs_…/fs_…"),
        ("/v1/sales/fs1/lines/calendar/status", "/v1/sales/fs1/lines/calendar/status"),
        ("/admin/flashsale/sale/calendar/", "/admin/flashsale/sale/calendar/"),
    ],
)
def test_a_path_is_written_without_its_secret(path: str, kept: str) -> None:
    assert written("%s: %s", "Not Found", path) == f"Not Found: {kept}"
    assert written(f"Not Found: {path}") == f"Not Found: {kept}"
    event = {"event": "Redis or PostgreSQL did not answer", "path": path, "seconds": 3}
    assert written(event) == event | {"path": kept}


def test_a_record_with_other_values_stays_as_it_is() -> None:
    assert written("%d of %s", 3, ["fs1.x"]) == "3 of ['fs1.x']"


def test_every_handler_has_the_filter() -> None:
    filters = [handler["filters"] for handler in cast("Any", settings.LOGGING["handlers"]).values()]
    assert ["no_secrets_of_callers" in names for names in filters] == [True]
