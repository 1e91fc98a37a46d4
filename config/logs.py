"""What the log leaves out."""

import logging


class NoTracebackOfCallers(logging.Filter):
    """Removes the traceback from Django's records of 4xx responses. The caller is at fault, so it says nothing new."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: the record itself stays."""
        if getattr(record, "status_code", 500) < 500:
            record.exc_info = record.exc_text = None
        return True
