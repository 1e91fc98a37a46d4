"""Idempotency-Keys of calls: which request has a key, and which answer."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from flashsale.books.rows import Select, insert, update
from flashsale.models.api_call import ApiCall

Key = tuple[int, str]


class BoundCall(NamedTuple):
    """A key that belongs to a request. `attempt` is the reference of the payment attempt that it started, or ""."""

    fingerprint: str
    answer: str | None
    refused: str
    attempt: str


_calls = Select(
    lambda channels, keys: ApiCall.objects.filter(channel__in=channels, key__in=keys).values_list(
        "channel_id", "key", "fingerprint", "answer", "refused", "attempt"
    )
)
_attempts = Select(lambda ids: ApiCall.objects.filter(pk__in=ids).values_list("id", "attempt"))


def bound_calls(keys: Collection[Key]) -> dict[Key, BoundCall]:
    """Those of these keys (channel, key) that belong to a request already."""
    channels, names = {channel for channel, _ in keys}, {key for _, key in keys}
    return {(row[0], row[1]): BoundCall(*row[2:]) for row in _calls(sorted(channels), sorted(names))}


def attempts_begun(ids: Sequence[int]) -> dict[int, str]:
    """By id of an ApiCall: the reference of the payment attempt that it started, "" if it started none."""
    return {row[0]: row[1] for row in _attempts(ids)}


def bind_calls(calls: Mapping[Key, tuple[str, str]], now: datetime) -> None:
    """Binds new keys, each to a fingerprint, with the reference of the attempt that it starts, or "".

    Raises IntegrityError (one_call_per_key) if another process has bound one of them meanwhile.
    """
    # Sorted, because two batches may have some of the same keys and must not deadlock.
    rows = [(*key, *calls[key], "", now) for key in sorted(calls)]
    if rows:
        names = ("channel_id", "key", "fingerprint", "attempt", "refused", "made_at")
        insert(ApiCall, dict(zip(names, zip(*rows, strict=True), strict=True)))


def note_attempts(calls: Mapping[Key, str], ids: Mapping[int, str]) -> None:
    """Notes the references of the attempts that known calls start, by their keys or by their ids."""
    if calls:
        keys = sorted(calls)
        _update(keys, {"attempt": [calls[key] for key in keys]})
    if ids:
        update(ApiCall, "id", {"id": list(ids), "attempt": list(ids.values())})


def store_answers(answers: Mapping[Key, str]) -> set[Key]:
    """Stores the answers of these calls; returns the keys whose answer is the given one now.

    A call that was answered before keeps its first answer.
    """
    if not answers:
        return set()
    # Sorted, because two batches may have some of the same keys and must not deadlock.
    keys = sorted(answers)
    stored = _update(keys, {"answer": [answers[key] for key in keys]}, only_null="answer")
    if stored == len(answers):
        return set(answers)
    return {key for key, call in bound_calls(answers).items() if key in answers and call.answer == answers[key]}


def _update(keys: Sequence[Key], values: dict[str, list[str]], *, only_null: str = "") -> int:
    names: dict[str, Sequence[int | str]] = {
        "channel_id": [channel for channel, _ in keys],
        "key": [key for _, key in keys],
    }
    return update(ApiCall, ("channel_id", "key"), {**names, **values}, only_null=only_null)
