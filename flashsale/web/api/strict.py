"""Requests of the REST API are read strictly: a member or a query parameter that the API does not know is refused.

A partner that misspells a member, or sends one that we do not have, means something that would not happen. So the
request is refused, names what is unknown, and changes nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from rest_framework import serializers

from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.hot.http import CODE_PATTERN
from flashsale.web.problems import FIELD_PATTERN, FIELDS_NAMED_MAX, unknown_fields

PAGE_MAX = 100


class StrictSerializer(serializers.Serializer[Any]):
    """The base of every serializer that reads a request. Refuses members that it does not declare."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated members. Raises ValidationError, with the code "unknown_field" for each unknown member."""
        unknown = [name for name in data if name not in self.fields] if isinstance(data, Mapping) else []
        if unknown:
            detail = unknown_fields(unknown, self.fields)
            words = [name if FIELD_PATTERN.fullmatch(name) else "" for name in unknown[:FIELDS_NAMED_MAX]]
            raise serializers.ValidationError({word: [detail] for word in words}, code=Outcome.UNKNOWN_FIELD)
        return super().to_internal_value(data)


class NoFields(StrictSerializer):
    """A request without a body, or without query parameters."""


class Digits(serializers.IntegerField):
    """A whole number in a query string: ASCII digits only."""

    def to_internal_value(self, data: Any) -> int:
        """The number, or a validation error."""
        if not (isinstance(data, str) and data.isascii() and data.isdigit() and len(data) < 10):
            self.fail("invalid")
        return super().to_internal_value(data)


class Instant(serializers.DateTimeField):
    """A time with an offset. Without one it would be read in the server's time zone, which a partner does not know."""

    default_error_messages = {"no_offset": "Send a time with an offset, such as 2026-11-29T10:00:00+07:00."}

    def enforce_timezone(self, value: datetime) -> datetime:
        """The time, or a validation error if it has no offset."""
        if timezone.is_naive(value):
            self.fail("no_offset")
        return super().enforce_timezone(value)


class PageSerializer(StrictSerializer):
    """Query parameters of a list in pages."""

    cursor = serializers.CharField(required=False, help_text="From `next` or `previous` of another page.")
    limit = Digits(required=False, min_value=1, max_value=PAGE_MAX, help_text="Rows in a page.")


def refuse_no_codes(*codes: str) -> None:
    """Refuses NOT_FOUND for texts in a path that can be no codes. PostgreSQL cannot even look for some of them."""
    if not all(CODE_PATTERN.fullmatch(code) for code in codes):
        raise Refused(Outcome.NOT_FOUND, "A code has small letters, digits, full stops and hyphens.")


def read(form: type[StrictSerializer], data: Any) -> dict[str, Any]:
    """The validated members of a body. Raises ValidationError."""
    serializer = form(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def read_query(form: type[StrictSerializer], query: QueryDict) -> dict[str, Any]:
    """The validated query parameters. Raises ValidationError, also for a parameter that is there more than once."""
    values = read(form, query.dict())
    repeated = [name for name, sent in query.lists() if len(sent) > 1]
    if repeated:
        raise serializers.ValidationError({name: ["Send this parameter once."] for name in repeated})
    return values
