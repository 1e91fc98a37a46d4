"""The keys with which partners' servers call the API."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Channel
from flashsale.models.record import Record
from flashsale.models.sealed_data import SealedData
from flashsale.rules import wall_clock
from flashsale.rules.key_rights import ALL, NETWORKS_MAX, KeyScope, networks_in, scopes_in
from flashsale.rules.outcomes import Outcome, Refused

KEYS_MAX = 2
# Of the keys of a channel that have ended, so many are told that they have. All processes read them again and again.
ENDED_MAX = 20
# How long the old key works after a rotation, unless the partner asks for another time.
GRACE_S, GRACE_MAX_S = 24 * 3600, 7 * 24 * 3600


def known_scopes(text: str) -> None:
    """Refuses a list that is not of scopes between commas."""
    try:
        scopes_in(text)
    except ValueError as error:
        names = ", ".join([ALL, *KeyScope])
        raise ValidationError(
            _("%(found)s: not a list of scopes. The scopes are: %(names)s."), params={"found": text, "names": names}
        ) from error


def known_networks(text: str) -> None:
    """Refuses a list that is not of networks between commas."""
    try:
        networks_in(text)
    except ValueError as error:
        raise ValidationError(
            _("%(found)s: not a list of at most %(most)d networks. Write addresses such as 203.0.113.7 or "
              "203.0.113.0/24 or 2001:db8::/32 between commas."),
            params={"found": text, "most": NETWORKS_MAX},
        ) from error  # fmt: skip


def lock_channel(channel: Channel) -> Channel:
    """The channel's row, locked until the transaction ends, so that one request at a time counts its keys."""
    return Channel.objects.select_for_update(of=("self",)).select_related("campaign").get(pk=channel.pk)


class PartnerKeys(models.QuerySet["PartnerKey"]):
    """Keys of partners."""

    def active(self) -> "PartnerKeys":
        """Those that are neither revoked nor ended."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=wall_clock.now()), revoked_at=None)


class PartnerKey(SealedData):
    """A Bearer key of a channel, and the secret that signs its requests.

    Only the SHA-256 of the key is stored. The secret is sealed, because checking a signature needs it; keys of older
    releases have none. Two keys may be active, so that a partner can rotate them.
    """

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="keys", verbose_name=_("channel"))
    prefix = models.CharField(_("begins with"), max_length=16)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    sealed = models.TextField(editable=False, blank=True, default="", db_default="")
    scopes = models.CharField(
        _("may"), max_length=80, default=ALL, db_default=ALL, validators=[known_scopes],
        help_text=_('"all", or scopes between commas.'),
    )  # fmt: skip
    networks = models.CharField(
        _("only from"), max_length=400, blank=True, default="", db_default="", validators=[known_networks],
        help_text=_("Addresses or networks (CIDR) of the partner's servers between commas. Empty: from anywhere."),
    )  # fmt: skip
    made_at = models.DateTimeField(_("made"), auto_now_add=True)
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    # The key that the partner itself has replaced by this one.
    replaces = models.ForeignKey(
        "self", models.SET_NULL, null=True, editable=False, related_name="successors", verbose_name=_("replaces")
    )

    objects = PartnerKeys.as_manager()

    class Meta:
        verbose_name = _("partner key")
        verbose_name_plural = _("partner keys")

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @staticmethod
    def digest_of(key: str) -> str:
        """The stored form. A plain hash is enough, because a key of 256 random bits cannot be guessed."""
        return hashlib.sha256(key.encode()).hexdigest()

    @staticmethod
    def secret_in(sealed: str) -> str:
        """The signing secret in a `sealed` that is not empty. Raises InvalidToken if another key has sealed it."""
        return str(PartnerKey(sealed=sealed).read()["secret"])

    @classmethod
    @transaction.atomic
    def make(cls, channel: Channel, *, by: Any = None, **rights: Any) -> "tuple[PartnerKey, str]":
        """A new row and its key in clear, which is shown once and never stored; so is the row's signing secret.

        `rights` are `scopes`, `networks` and `expires_at`. Raises ValidationError for our own page without a shop
        behind it, for rights that cannot be read, and when two keys are active already.
        """
        channel = lock_channel(channel)
        if not channel.has_keys:
            raise ValidationError(_("Only a partner's channel has keys: our own page does not call the API."))
        if channel.keys.active().count() >= KEYS_MAX:
            raise ValidationError(_("Two keys of this channel are active. Revoke one before you make another."))
        row, key = cls._create(channel, **rights)
        Record.write("make_key", by=by, campaign=channel.campaign, subject=channel, facts={"key": row.pk})
        return row, key

    @classmethod
    def _create(cls, channel: Channel, **fields: Any) -> "tuple[PartnerKey, str]":
        key = f"fs_{'test' if channel.campaign.is_test else 'live'}_{secrets.token_urlsafe(32)}"
        known_scopes(fields.get("scopes", ALL))
        known_networks(fields.get("networks", ""))
        sealed = cls.encrypt({"secret": f"fs_sign_{secrets.token_urlsafe(32)}"})
        row = cls.objects.create(
            channel=channel, prefix=key[:12], digest=cls.digest_of(key), sealed=sealed, **fields
        )  # fmt: skip
        return row, key

    @transaction.atomic
    def revoke(self, *, by: Any = None) -> bool:
        """Revokes the key. Returns False when it was revoked before."""
        ended = bool(PartnerKey.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=wall_clock.now()))
        if ended:
            Record.write(
                "revoke_key", by=by, campaign=self.channel.campaign, subject=self.channel, facts={"key": self.pk}
            )
        return ended

    @transaction.atomic
    def change_rights(self, *, by: Any, scopes: str, networks: str, expires_at: datetime | None) -> None:
        """Sets what the key may do, from where, and until when.

        Raises ValidationError for what cannot be read, and if a third key of the channel would be active.
        """
        known_scopes(scopes)
        known_networks(networks)
        others = lock_channel(self.channel).keys.active().exclude(pk=self.pk)
        if (expires_at is None or expires_at > wall_clock.now()) and others.count() >= KEYS_MAX:
            raise ValidationError(_("Two other keys of this channel are active. Revoke one first."))
        PartnerKey.objects.filter(pk=self.pk).update(scopes=scopes, networks=networks, expires_at=expires_at)
        facts = {"key": self.pk, "scopes": sorted(scopes_in(scopes)), "networks": len(networks_in(networks))}
        Record.write("change_key", by=by, campaign=self.channel.campaign, subject=self.channel, facts=facts)

    @classmethod
    @transaction.atomic
    def rotate(cls, key_id: int, *, grace_s: int = GRACE_S) -> "tuple[PartnerKey, str, PartnerKey]":
        """A new key with the same rights, the key in clear, and the old key, which ends after `grace_s` seconds.

        Safe to repeat: a repeat replaces the new key, as long as it was never used. So a caller that lost the answer
        gets another key, and no key stays behind. Refuses UNAUTHENTICATED (the old key is not active), FORBIDDEN (it
        has a successor that was used), TOO_MANY_KEYS (another key of the channel is active).
        """
        channel = lock_channel(Channel.objects.get(keys=key_id))
        old = channel.keys.active().filter(pk=key_id).first()
        if old is None:
            raise Refused(Outcome.UNAUTHENTICATED, "This key is not active any more.")
        successors = list(old.successors.order_by("pk"))
        used = next((key for key in successors if key.last_used_at is not None), None)
        if used is not None:
            raise Refused(Outcome.FORBIDDEN, f"The key {used} has replaced this one. Rotate with that key.")
        now, replaced = wall_clock.now(), [key.pk for key in successors if key.revoked_at is None]
        if channel.keys.active().exclude(pk__in=[old.pk, *replaced]).exists():
            raise Refused(Outcome.TOO_MANY_KEYS, "Ask the shop to revoke one, or wait until one has ended.")
        if cls.objects.filter(pk__in=replaced, last_used_at=None).update(revoked_at=now) < len(replaced):
            # Its first use was written after we had read it.
            raise Refused(Outcome.FORBIDDEN, "The key that has replaced this one is in use. Rotate with that key.")
        ends = successors[-1].expires_at if successors else old.expires_at
        new, key = cls._create(
            channel, scopes=old.scopes, networks=old.networks, expires_at=ends, replaces=old
        )  # fmt: skip
        ended = channel.keys.filter(revoked_at=None, expires_at__lte=now).order_by("-expires_at", "-pk")
        cls.objects.filter(pk__in=list(ended.values_list("pk", flat=True)[ENDED_MAX:])).update(revoked_at=now)
        # A repeat must not extend the life of the old key.
        old.expires_at = min(
            now + timedelta(seconds=grace_s), old.expires_at or datetime.max.replace(tzinfo=now.tzinfo)
        )
        old.save(update_fields=["expires_at"])
        facts = {"key": new.pk, "replaces": old.pk, "revoked": replaced}
        Record.write(
            "rotate_key", by=f"channel:{channel.pk}", campaign=channel.campaign, subject=channel, facts=facts
        )  # fmt: skip
        return new, key, old
