"""A rule set that was only to try out becomes the set of the sales that are published from now on."""

from typing import Any

from django.db import transaction

from flashsale.models import PublishedRuleSet, Record


@transaction.atomic
def use_from_now(*, rules: PublishedRuleSet, by: Any) -> PublishedRuleSet:
    """Uses the set. A repeat changes nothing and leaves no second record."""
    row = PublishedRuleSet.objects.select_for_update(of=("self",)).get(pk=rules.pk)
    if row.trial:
        PublishedRuleSet.objects.filter(pk=row.pk).update(trial=False)
        Record.write("use_rules", by=by, subject=row, facts={"number": row.version, "rules": row.hash})
        row.trial = False
    return row
