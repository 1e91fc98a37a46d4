"""What the log leaves out."""

import logging
import re
from typing import Any

# What opens something by itself: the address of a person's calendar, the token of a letter or a place, a partner's key.
_SECRET = re.compile(
    r"(?<=/calendar/)[A-Za-z0-9_\-]{20,}[^/?\s]*|(?<=fs1\.)[A-Za-z0-9_\-]+|(?<=\bfs_)(?:live|test|sign)_[A-Za-z0-9_\-]+"
)
_HIDDEN = "…"


class NoTracebackOfCallers(logging.Filter):
    """Removes the traceback from Django's records of 4xx responses. The caller is at fault, so it says nothing new."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: the record itself stays."""
        if getattr(record, "status_code", 500) < 500:
            record.exc_info = record.exc_text = None
        return True


class NoSecretsOfCallers(logging.Filter):
    """Hides the secrets that may stand in the path of a request. Django logs the path of each response above 399."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: the record itself stays."""
        record.msg = _without_secrets(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(_without_secrets(value) for value in record.args)
        return True


def _without_secrets(value: Any) -> Any:
    """The text, or the fields of an event, without secrets."""
    if isinstance(value, str):
        return _SECRET.sub(_HIDDEN, value)
    if isinstance(value, dict):
        return {name: _without_secrets(part) if isinstance(part, str) else part for name, part in value.items()}
    return value
