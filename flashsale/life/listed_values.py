"""The allow and block lists of the review: a person puts a value on one, with a reason and an end."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.life.enter import digester
from flashsale.models import Campaign, Channel, ListedValue, Record
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.trail import text_digest

# Cards and wallets are known only by what the provider says of them, so no person can type one.
AXES = tuple(axis for axis in Axis if axis is not Axis.PAYMENT)


def digest_of_value(*, campaign: Campaign, axis: Axis, value: str, channel: Channel | None = None) -> bytes:
    """The digest that orders of the campaign have for this value. The value itself is not kept.

    Raises ValidationError when the campaign does not know people by the axis, or when the value cannot be read.
    """
    if campaign.erased_at or not campaign.axes.filter(axis=axis).exists():
        raise ValidationError({"axis": _("This campaign does not know people by this axis.")})
    if axis is Axis.ACCOUNT and (channel is None or channel.campaign_id != campaign.pk):
        raise ValidationError({"channel": _("Choose the channel of the account, in the same campaign.")})
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    try:
        return digests.digest(axis, value, channel=channel.pk if channel and axis is Axis.ACCOUNT else 0)
    except BadValue as error:
        too_long = error.why == "too_long"
        raise ValidationError({"value": _("too long") if too_long else _("cannot be read")}) from error


@transaction.atomic
def list_value(
    *, campaign: Campaign, kind: str, axis: Axis, digest: bytes, why: str, expires_at: datetime, by: Any
) -> ListedValue:
    """Puts a value on a list. Reviews that are requested from now on use it; what is scored already stays as it is.

    A repeat of the same entry returns the stored one. Raises ValidationError when another entry has effect for the
    value, and when the end is not in the future.
    """
    now = timezone.now()
    if expires_at <= now:
        raise ValidationError({"expires_at": _("The end must be in the future.")})
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    rows = ListedValue.objects.filter(campaign=campaign, axis=axis, digest=digest.hex(), ended_at=None)
    known = rows.filter(expires_at__gt=now).first()
    if known and (known.kind, known.why, known.expires_at) == (kind, why, expires_at):
        return known
    if known:
        raise ValidationError(
            _("This value is on a list already (entry %(entry)d). End that entry first.") % {"entry": known.pk}
        )
    rows.update(ended_at=now)  # expired
    made = ListedValue.objects.create(
        campaign=campaign, kind=kind, axis=axis, digest=digest.hex(), why=why, expires_at=expires_at, made_at=now,
        made_by=by,
    )  # fmt: skip
    facts = {"list": kind, "axis": axis.value, "expires": expires_at.isoformat(timespec="seconds")}
    Record.write("list_value", by=by, campaign=campaign, subject=made, why=text_digest(why), facts=facts)
    return made


@transaction.atomic
def end_entry(*, entry: ListedValue, by: Any) -> ListedValue:
    """Ends an entry now. A repeat changes nothing."""
    row = ListedValue.objects.select_for_update(of=("self",)).select_related("campaign").get(pk=entry.pk)
    if row.ended_at is None:
        row.ended_at = timezone.now()
        row.save(update_fields=["ended_at"])
        Record.write("end_listed_value", by=by, campaign=row.campaign, subject=row, facts={"list": row.kind})
    return row
