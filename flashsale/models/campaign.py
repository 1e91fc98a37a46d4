"""A campaign, its channels, and the axes by which it knows people."""

import os
import re
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.frozen import Frozen
from flashsale.rules.contrast import CONTRAST_MIN, contrast_with_white
from flashsale.rules.identity import CANON_VERSION, COUNTRIES, HOME_REGION, Axis, BadValue, message_address
from flashsale.rules.origins import ORIGINS_MAX, is_origin, origin_of, origins_in
from flashsale.rules.quotas import quotas_in
from flashsale.rules.rehearsals import PREFIX
from flashsale.rules.states import SaleState

LIMIT_MAX = 100
CAMPAIGN_PUBLISHED = _("A sale of this campaign is published: this can no longer change.")
CODE = RegexValidator(
    r"\A[a-z0-9][a-z0-9.\-]{0,39}\Z", _("Use lower-case letters, digits, dots and hyphens, 40 at most.")
)


def new_salt() -> bytes:
    """Sixteen random bytes. Without them the campaign's digests can never be computed again."""
    return os.urandom(16)


# How people in Indonesia call their three time zones.
INDONESIAN_ZONES = {"wib": "Asia/Jakarta", "wita": "Asia/Makassar", "wit": "Asia/Jayapura"}
# IANA names that say nothing about where buyers live, or the opposite of what people read: Etc/GMT+7 is seven hours
# behind UTC.
MISLEADING_ZONE = re.compile(r"Factory|localtime|(Etc/)?GMT[+-]\d+")


@cache
def zone_names() -> frozenset[str]:
    """The IANA names that a campaign may have. The first call reads some hundred files of the system."""
    return frozenset(name for name in available_timezones() if not MISLEADING_ZONE.fullmatch(name))


def zone_name(text: str) -> str:
    """The IANA name of the time zone that a person typed, in any case; the text itself if there is no such zone."""
    typed = text.strip().casefold()
    names = {name.casefold(): name for name in zone_names()} | INDONESIAN_ZONES
    return names.get(typed, text)


def known_time_zone(name: str) -> None:
    """Raises ValidationError unless this is the name of an IANA time zone that a campaign may have."""
    if name not in zone_names():
        raise ValidationError(
            _("%(name)s is no time zone. Write WIB, WITA, WIT, or a name such as Asia/Jakarta."), params={"name": name}
        )


def known_countries(text: str) -> None:
    """Refuses a list that is not of two-letter country codes between commas."""
    unknown = sorted(set(countries_in(text)) - COUNTRIES)
    if unknown or not countries_in(text):
        raise ValidationError(
            _("%(found)s: not a list of countries. Write two-letter codes between commas, such as ID, MY."),
            params={"found": ", ".join(unknown) or text},
        )


def countries_in(text: str) -> list[str]:
    """The country codes of a list such as "ID, MY"."""
    return [code for part in text.split(",") if (code := part.strip().upper())]


def known_quotas(text: str) -> None:
    """Refuses a list that is not of quotas between commas."""
    try:
        quotas_in(text)
    except ValueError as error:
        raise ValidationError(
            _("%(found)s: not a list of quotas. Write classes with their calls a minute, such as look:6000, read:600."),
            params={"found": text},
        ) from error


def sender_name(text: str) -> None:
    """Refuses a name with control characters, because it stands in the head of every letter."""
    if not text.isprintable():
        raise ValidationError(_("The name of the sender is one line of letters, digits and signs."))


def sender_address(text: str) -> None:
    """Refuses an address that no e-mail can come from."""
    try:
        fine = message_address(Axis.EMAIL, text) == text
    except BadValue:
        fine = False
    if not fine:
        raise ValidationError(
            _("%(found)s: not an address for e-mail. Write one such as orders@example.com."), params={"found": text}
        )


def readable_colour(text: str) -> None:
    """Refuses what is no colour, and a colour on which white letters cannot be read."""
    ratio = contrast_with_white(text)
    if ratio is None:
        raise ValidationError(
            _("%(found)s: not a colour. Write # and six hexadecimal digits, such as #0b57d0."), params={"found": text}
        )
    if ratio < CONTRAST_MIN:
        raise ValidationError(
            _("%(found)s is too bright: white letters on it have a contrast of %(ratio)s, and %(least)s is needed."),
            params={"found": text, "ratio": f"{ratio:.1f}", "least": CONTRAST_MIN},
        )


def origins(text: str) -> None:
    """Refuses a list with something other than origins in it, or with too many of them."""
    wrong = [part for part in origins_in(text) if not is_origin(part)]
    if wrong:
        raise ValidationError(
            _("%(found)s: not the origin of a site. Write one such as https://www.shop.example, without a path."),
            params={"found": ", ".join(wrong)},
        )
    if len(origins_in(text)) > ORIGINS_MAX:
        raise ValidationError(_("At most %(most)d origins."), params={"most": ORIGINS_MAX})


def checkout_address(text: str) -> None:
    """Refuses an address to which no pass may be sent."""
    if not origin_of(text) or "#" in text:
        raise ValidationError(
            _("%(found)s: not the address of a checkout. Write one such as https://www.shop.example/checkout."),
            params={"found": text},
        )


class Campaign(Frozen):
    """One product launch. Its fields and its axes are frozen when its first sale is published."""

    frozen_text = CAMPAIGN_PUBLISHED

    code = models.CharField(_("code"), max_length=40, unique=True, validators=[CODE])
    name = models.CharField(_("name"), max_length=120)
    time_zone = models.CharField(_("time zone"), max_length=40, default="Asia/Jakarta", validators=[known_time_zone])
    currency = models.CharField(
        _("currency"), max_length=3, default="IDR", validators=[RegexValidator(r"\A[A-Z]{3}\Z")]
    )
    limit = models.PositiveSmallIntegerField(
        _("limit per person"), default=1, validators=[MinValueValidator(1), MaxValueValidator(LIMIT_MAX)]
    )
    appeal_s = models.PositiveIntegerField(
        _("time to appeal (s)"),
        default=24 * 3600,
        validators=[MinValueValidator(1), MaxValueValidator(90 * 86_400)],
        help_text=_("How long a buyer may appeal against a cancellation; until then the unit stays in the pool."),
    )
    undo_s = models.PositiveIntegerField(
        _("time to undo (s)"),
        default=600,
        validators=[MaxValueValidator(7 * 86_400)],
        help_text=_("How long an approved cancellation waits before it is carried out and the buyer is told."),
    )
    code_countries = models.CharField(
        _("countries of phones that get codes"), max_length=120, default=HOME_REGION, validators=[known_countries],
        help_text=_("Two-letter codes between commas. A code goes to mobile numbers of these countries only."),
    )  # fmt: skip
    codes_need_work = models.BooleanField(
        _("proof of work before codes"),
        default=False,
        help_text=_(
            "A browser computes for some seconds before it gets a code, so that a flood of codes is expensive."
        ),
    )
    payment_accounts = models.CharField(
        _("payment accounts"), max_length=200, blank=True, default="",
        help_text=_("Names of payment accounts between commas, the first choice first. Empty: those of the server."),
    )  # fmt: skip
    # How letters look. No promise rests on it, and a wrong sender must be corrected at once, so it is never frozen.
    letter_name = models.CharField(
        _("name of the sender of letters"), max_length=60, blank=True, default="", validators=[sender_name],
        help_text=_("Buyers read it in their mailbox. Empty: the name of the server's sender."),
    )  # fmt: skip
    letter_address = models.CharField(
        _("address of the sender of letters"), max_length=254, blank=True, default="", validators=[sender_address],
        help_text=_("The mail server must be allowed to send in its name. Empty: the address of the server's sender."),
    )  # fmt: skip
    letter_colour = models.CharField(
        _("colour of letters"), max_length=7, default="#0b57d0", validators=[readable_colour],
        help_text=_("# and six hexadecimal digits. White letters stand on it."),
    )  # fmt: skip
    # The version of the canonical forms (rules/identity.py). It never changes, because another form of a phone number
    # or mailbox is another digest, and one person would count as two.
    canon_version = models.PositiveSmallIntegerField(default=CANON_VERSION, editable=False)
    # Empty once the campaign's people are erased, so that its digests can never be computed again.
    salt = models.BinaryField(default=new_salt, editable=False)
    erased_at = models.DateTimeField(_("people erased"), null=True, editable=False)
    frozen_at = models.DateTimeField(_("frozen since"), null=True, editable=False)
    # Set for a sandbox: the campaign of the test sales of this partner's channel (life/sandbox.py). The copy of a sale
    # for a rehearsal is the sandbox of its own first channel, so each guard of test sales is also one of rehearsals.
    sandbox_of = models.OneToOneField(
        "Channel", models.PROTECT, null=True, editable=False, related_name="sandbox", verbose_name=_("sandbox of"),
    )  # fmt: skip

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        constraints = [
            models.CheckConstraint(condition=models.Q(limit__gte=1, limit__lte=LIMIT_MAX), name="campaign_limit_range"),
            models.CheckConstraint(
                condition=models.Q(erased_at=None) & ~models.Q(salt=b"")
                | models.Q(erased_at__isnull=False) & models.Q(salt=b""),
                name="erased_without_salt",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which people enter and read the campaign's times."""
        return ZoneInfo(self.time_zone)

    @property
    def is_test(self) -> bool:
        """Whether its sales are test sales, which sell nothing."""
        return self.sandbox_of_id is not None

    @property
    def is_rehearsal(self) -> bool:
        """Whether it is the copy of a sale for a rehearsal: a sandbox of one of its own channels."""
        return self.is_test and self.code.startswith(PREFIX)

    @property
    def is_published(self) -> bool:
        """Whether a sale of the campaign was published."""
        return self.frozen_at is not None


class CampaignAxis(Frozen):
    """One way by which a campaign knows people: hard (carries the limit) or soft (feeds the review only)."""

    frozen_with = ("campaign",)
    frozen_text = CAMPAIGN_PUBLISHED

    class CheckedAt(models.TextChoices):
        ENTER = "enter", _("entering the line")
        CONFIRM = "confirm", _("confirming")

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="axes", verbose_name=_("campaign"))
    axis = models.CharField(_("axis"), max_length=20, choices=[(axis.value, axis.value) for axis in Axis])
    hard = models.BooleanField(_("hard (carries the limit)"), default=False)
    checked_at = models.CharField(_("checked at"), max_length=10, choices=CheckedAt.choices, default=CheckedAt.CONFIRM)

    class Meta:
        verbose_name = _("axis")
        verbose_name_plural = _("axes")
        constraints = [models.UniqueConstraint(fields=["campaign", "axis"], name="one_axis_per_campaign")]

    def __str__(self) -> str:
        return f"{self.axis} ({'hard' if self.hard else 'soft'})"

    @property
    def is_late(self) -> bool:
        """Whether it carries the limit and is first known when the buyer pays."""
        return self.hard and self.checked_at == self.CheckedAt.CONFIRM

    def clean(self) -> None:
        """Raises ValidationError for a hard network, and for a soft axis that is checked when people enter the line.

        People give soft axes only when they confirm, because the limit does not depend on them.
        """
        super().clean()
        if self.hard and self.axis == Axis.NETWORK:
            raise ValidationError({"hard": _("Thousands share a network: it can only help the review.")})
        if not self.hard and self.checked_at == self.CheckedAt.ENTER:
            raise ValidationError({"checked_at": _("Only a hard axis is checked when entering the line.")})


class Channel(Frozen):
    """Where shoppers come from: a partner whose servers call the API, or our own pages."""

    frozen_with = ("campaign",)
    frozen_text = _("A published sale names this channel, so this can no longer change.")

    class Kind(models.TextChoices):
        PARTNER = "partner", _("partner")
        OWN_PAGE = "own page", _("own page")

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="channels", verbose_name=_("campaign"))
    code = models.CharField(_("code"), max_length=40, validators=[CODE])
    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.PARTNER)
    entry_url = models.URLField(_("entry address"), blank=True, help_text=_("Where invited buyers are sent."))
    entries_max = models.PositiveIntegerField(
        _("most entries"), default=0, blank=True,
        help_text=_(
            "How many new places this channel may take in each line. 0: our own page and a partner alone in a line may "
            "fill it, and a partner that shares a line may take an equal part of it."
        ),
    )  # fmt: skip

    payment_accounts = models.CharField(
        _("payment accounts"), max_length=200, blank=True, default="",
        help_text=_(
            'As for the campaign, for this channel only. "partner": the partner charges its buyers and sends refunds.'
        ),
    )  # fmt: skip

    # Never frozen: no promise rests on it.
    order_letters = models.BooleanField(
        _("letters about orders"),
        default=True,
        help_text=_(
            "We write to buyers of this channel: how to pay, confirmed, not paid in time, money sent back. Switch it "
            "off for a partner that writes to its own buyers. Letters about cancellations go out in any case."
        ),
    )
    signatures_required = models.BooleanField(
        _("signed requests only"),
        default=False,
        db_default=False,
        help_text=_("Writes of this partner must be signed with the signing secret of its key."),
    )
    quotas = models.CharField(
        _("quotas a minute"), max_length=120, blank=True, default="", db_default="", validators=[known_quotas],
        help_text=_(
            'Calls a minute by class, such as "look:6000, read:600". The classes are enter, look, reserve, pay, read '
            "and write. Those that are not named have the default."
        ),
    )  # fmt: skip

    # Never frozen: a wrong address must be corrected in a running sale. A pass is worth nothing without a key of the
    # channel, wherever it is sent.
    checkout_url = models.URLField(
        _("address of the shop's checkout"), blank=True, default="", db_default="", validators=[checkout_address],
        help_text=_(
            "Our own page only: people who have reserved pay there, not here. The page brings them there with a pass. "
            'The payment account of the channel must be "partner".'
        ),
    )  # fmt: skip
    frame_origins = models.CharField(
        _("sites that may show the line"), max_length=500, blank=True, default="", db_default="", validators=[origins],
        help_text=_(
            "Origins such as https://www.shop.example with spaces between them. Pages of these sites may show the line "
            "of this channel in a frame."
        ),
    )  # fmt: skip

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        constraints = [models.UniqueConstraint(fields=["campaign", "code"], name="one_channel_code_per_campaign")]

    def __str__(self) -> str:
        return self.name

    @property
    def has_keys(self) -> bool:
        """Whether servers call the API for the channel: those of a partner, or of the shop behind our page."""
        return self.kind == self.Kind.PARTNER or bool(self.checkout_url)

    def clean(self) -> None:
        """Raises ValidationError for a checkout where the same order could be paid in two places, or in none."""
        super().clean()
        if not self.checkout_url:
            return
        if self.kind != self.Kind.OWN_PAGE:
            raise ValidationError(
                {"checkout_url": _("A partner's buyers pay at the partner: this is for our own page.")}
            )
        if self.payment_accounts.strip() != "partner":
            raise ValidationError(
                {
                    "checkout_url": _(
                        'The shop charges its buyers: the payment account of this channel must be "partner".'
                    )
                }
            )

    @property
    def is_frozen(self) -> bool:
        """Whether a published sale uses the channel. A channel for the next sale can still be prepared."""
        return bool(self.pk) and self.allocations.exclude(sale__state=SaleState.DRAFT).exists()

    def locked_and_published(self) -> bool:
        """As of each row that is frozen with its campaign, but only for a channel that a published sale uses."""
        return super().locked_and_published() and self.is_frozen
