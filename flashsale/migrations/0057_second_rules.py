"""The second generation of the review's rules becomes the set of sales that are published from now on.

An installation that has no rule set yet makes it at its first publication. Where a person has published the newest set
that is in use, theirs stays in use, and the new one is there to try out.
"""

import json
from hashlib import sha256
from typing import Any, ClassVar

from django.db import migrations

CONTENT = json.loads(
    '{"association_points": 15, "few_people": 10, "free_people": 2, "free_size": 6, "friends_most": 30, '
    '"generation": 2, "home_most": 20, "household_share": 30, "inhuman_ms": 2000, "marks": {"bypassed_line": 100, '
    '"over_limit": 100}, "most": {"disposable_mails": 30, "group_size": 30, "known_ring": 30, "line_neighbours": '
    '20, "mail_pattern": 35, "odd_mailbox": 35, "odd_spelling": 30, "one_device": 40, "one_mailbox": 40, '
    '"one_network": 20, "one_payment": 40, "own_domain": 30, "paid_alike": 30, "paid_together": 20, '
    '"paid_too_fast": 40, "phones_in_a_row": 40, "reserved_alike": 30, "same_channel": 25, "same_model": 30, '
    '"same_name": 20, "units_at_limit": 40}, "near_address": 80, "near_name": 90, "office_most": 20, '
    '"orders_worth": 12, "own_points": 5, "own_share": 35, "phone_block": 20, "place_most": 20, "private_people": '
    '8, "relatives_most": 40, "run_share": 30, "shared_points": 8, "size_points": 5, "threshold": 60} '
)


def add_rules(apps: Any, schema_editor: Any) -> None:
    """Adds the set under the next version. Sales keep the set that they have."""
    table = apps.get_model("flashsale", "PublishedRuleSet").objects.using(schema_editor.connection.alias)
    digest = sha256(json.dumps(CONTENT, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    newest = table.order_by("-version").first()
    if newest is None or table.filter(hash=digest).exists():
        return
    used = table.filter(trial=False).order_by("-version").first()
    table.create(
        version=newest.version + 1,
        content=CONTENT,
        hash=digest,
        note="Second generation: what orders have in common, measured against their own sale.",
        trial=used is not None and used.made_by_id is not None,
    )


class Migration(migrations.Migration):
    """Adds only. Backwards it changes nothing."""

    dependencies: ClassVar = [("flashsale", "0051_rights_of_roles")]
    operations: ClassVar = [migrations.RunPython(add_rules, migrations.RunPython.noop)]
