"""Trail keys: records that name a person by a digest, of which nothing is left when the digest's random key is deleted.

The audit trail is never changed, so a plain digest of a phone would stay in it for ever, and phones can be guessed.
Each such record has a key of its own (models/person_request.py). Who has the value and the keys finds its records.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from flashsale.models import Record, TrailKey
from flashsale.models.record import NOTHING
from flashsale.rules.trail import keyed_digest

KEPT = timedelta(days=90)
KEY_BYTES = 16


def write_with_digests(
    what: str, *, values: Mapping[str, str], facts: Mapping[str, Any] = NOTHING, **rest: Any
) -> Record:
    """Adds a record with the keyed digest of each value, by its kind. The last step of a transaction (Record.write)."""
    key = os.urandom(KEY_BYTES)
    digests = {kind: keyed_digest(key, kind, value) for kind, value in sorted(values.items())}
    record = Record.write(what, facts={**facts, "digests": digests}, **rest)
    TrailKey.objects.create(position=record.position, key=key, who=record.who)
    return record


def count_search(record: Record) -> None:
    """Counts a record without digests among the searches of its author (life/find_person.py)."""
    TrailKey.objects.create(position=record.position, key=os.urandom(KEY_BYTES), who=record.who)


def records_about(values: Collection[tuple[str, str]]) -> Iterator[int]:
    """The positions of the records with a digest of one of these (kind, value), while their keys are kept."""
    keys = {row.position: bytes(row.key) for row in TrailKey.objects.all()}
    records = Record.objects.filter(position__in=keys).values_list("position", "facts")
    for position, facts in records.iterator(chunk_size=1000):
        known = set(json.loads(facts).get("digests", {}).values())
        if any(keyed_digest(keys[position], kind, value) in known for kind, value in values):
            yield position


def forget_keys_of(values: Collection[tuple[str, str]]) -> int:
    """Deletes the keys of the records about a person; returns how many. Their digests say nothing any more."""
    return TrailKey.objects.filter(position__in=list(records_about(values))).delete()[0]


def forget_old_keys() -> int:
    """Deletes the keys that are older than KEPT; returns how many."""
    return TrailKey.objects.filter(made_at__lt=timezone.now() - KEPT).delete()[0]
