"""Sales: timed events of a campaign, with a clock and a phase."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import CODE, LIMIT_MAX, Campaign
from flashsale.models.draw_secret import seal, unseal
from flashsale.models.frozen import Frozen
from flashsale.models.rule_set import PublishedRuleSet
from flashsale.models.state_choices import choices
from flashsale.rules.clock import ClockLease, line_clock
from flashsale.rules.lottery import QUICKNET_CHAIN, VERSION, VERSION_2, commitment
from flashsale.rules.states import Phase, SaleState, sale_phase

CLAIM_S = 5 * 60
HOLD_S = 15 * 60
LOBBY = timedelta(hours=24)
DRAND = "drand"
# With a beacon, the numbers are there when the sale opens.
FREEZE_S, FREEZE_S_MAX = 60, 86_400
ENTRIES_MAX = 1_000_000
UNITS_MAX = 1_000_000
POLL_MS_MAX = 300_000
MESSAGE_BYTES_MAX = 200
TIME_FIRST, TIME_LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def moment(at_ms: int) -> datetime:
    """The time (UTC) at `at_ms` milliseconds since 1970."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def possible_time(at: datetime) -> None:
    """Raises ValidationError for a time outside of TIME_FIRST to TIME_LAST.

    Such a time is a typing error. Near the ends of the calendar, time zones and sums of times fail.
    """
    if not TIME_FIRST <= at < TIME_LAST:
        raise ValidationError(
            _("Type a time from the year %(first)d to %(last)d."),
            params={"first": TIME_FIRST.year, "last": TIME_LAST.year - 1},
        )


def short_enough(message: str) -> None:
    """Raises ValidationError for a message of more than MESSAGE_BYTES_MAX bytes.

    The public status carries the message, and every page polls it.
    """
    bytes_ = len(json.dumps(message, ensure_ascii=False).encode()) - len('""')
    if bytes_ > MESSAGE_BYTES_MAX:
        raise ValidationError(
            _("%(found)d bytes; at most %(most)d. Letters beyond A to Z take two to four."),
            params={"found": bytes_, "most": MESSAGE_BYTES_MAX},
        )


class Sale(Frozen):
    """One timed event of a campaign. `epoch` grows with every rebuild of Redis, `revision` with every decision."""

    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="sales", verbose_name=_("campaign"))
    code = models.CharField(_("code"), max_length=40, unique=True, validators=[CODE])
    name = models.CharField(_("name"), max_length=120)
    lobby_at = models.DateTimeField(_("lobby opens"), blank=True, help_text=_("Empty: 24 hours before the opening."))
    opens_at = models.DateTimeField(_("opens"))
    closes_at = models.DateTimeField(_("closes"))
    limit = models.PositiveSmallIntegerField(
        _("limit per person in this sale"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LIMIT_MAX)],
        help_text=_("Empty: the campaign's limit alone."),
    )
    claim_s = models.PositiveIntegerField(
        _("claim window (s)"), default=CLAIM_S, validators=[MinValueValidator(1), MaxValueValidator(86_400)]
    )
    hold_s = models.PositiveIntegerField(
        _("hold (s)"), default=HOLD_S, validators=[MinValueValidator(1), MaxValueValidator(86_400)]
    )
    overbooking = models.DecimalField(
        _("overbooking"),
        max_digits=3,
        decimal_places=2,
        default=Decimal("1.00"),
        validators=[MinValueValidator(Decimal(1)), MaxValueValidator(Decimal(5))],
        help_text=_("People called for each free unit. 1.00: every person who is called and comes in time gets one."),
    )
    rate_per_s = models.PositiveIntegerField(
        _("called per second, at most"), default=1000, validators=[MinValueValidator(5), MaxValueValidator(100_000)]
    )
    claims_max = models.PositiveIntegerField(
        _("claims open at once in a line, at most"),
        default=0,
        validators=[MaxValueValidator(ENTRIES_MAX)],
        help_text=_("0: as many as there are free units, times the overbooking."),
    )
    extra_time_max = models.PositiveIntegerField(
        _("places with extra time in a line, at most"),
        default=10_000,
        validators=[MaxValueValidator(10_000)],
        help_text=_("People who need longer may ask for twice the claim window. They need not say why."),
    )
    extra_time_share = models.PositiveSmallIntegerField(
        _("units kept for extra time, percent"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_(
            "Of the free units of a line, at most this share (at least one unit) waits for people in their extra time. "
            "For the other units, the next people are called. Shown on the page of the sale."
        ),
    )
    max_entries = models.PositiveIntegerField(
        _("entries per line, at most"),
        default=100_000,
        validators=[MinValueValidator(1), MaxValueValidator(ENTRIES_MAX)],
    )
    poll_ms = models.PositiveIntegerField(
        _("pages ask every (ms)"),
        default=0,
        validators=[MaxValueValidator(POLL_MS_MAX)],
        help_text=_("0: as the phase of the sale wants. The brake when the servers are too busy."),
    )
    rules = models.ForeignKey(
        PublishedRuleSet,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="sales",
        verbose_name=_("rules of the review"),
        help_text=_("Empty: the newest when the sale is published. Shown on its page from then on."),
    )
    draw_version = models.PositiveSmallIntegerField(
        _("draw"),
        default=VERSION,
        db_default=VERSION,
        blank=True,
        choices=[
            (VERSION, _("1: from the secret alone")),
            (VERSION_2, _("2: from the secret and the entries, which are published first")),
        ],
        help_text=_("Version 2 shows that no entry was added or taken out after the freeze. Shown on the page."),
    )
    beacon = models.CharField(
        _("public randomness"),
        max_length=8,
        default="",
        db_default="",
        blank=True,
        choices=[(DRAND, _("a round of drand (quicknet) that comes after the freeze"))],
        help_text=_(
            "Needs version 2 of the draw. Then not even the operator, who knows the secret, can choose the order. The "
            "numbers come about 30 s after the freeze, and the line waits if the round is late. Shown on the page."
        ),
    )
    freeze_s = models.PositiveIntegerField(
        _("lines freeze before the opening (s)"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(FREEZE_S_MAX)],
        help_text=_(
            "Needs version 2 of the draw. Empty: 60 s with public randomness, else 0. Who comes later stands behind."
        ),
    )
    message = models.CharField(
        _("message to shoppers"), max_length=MESSAGE_BYTES_MAX, blank=True, validators=[short_enough]
    )

    state = models.CharField(
        _("state"), max_length=12, default=SaleState.DRAFT, choices=choices(SaleState), editable=False
    )
    epoch = models.PositiveIntegerField(default=0, editable=False)
    revision = models.PositiveIntegerField(default=0, editable=False)
    # Until the draw the secret is only here, encrypted. The draw publishes it, in `secret`.
    sealed_secret = models.BinaryField(null=True, editable=False)
    secret = models.BinaryField(null=True, editable=False)
    commitment = models.CharField(_("commitment"), max_length=64, blank=True, editable=False)
    published_at = models.DateTimeField(_("published"), null=True, editable=False)
    frozen_at = models.DateTimeField(_("drawn"), null=True, editable=False)
    # When the lines committed to their entries. The round of the beacon follows from it, and is written with it.
    entries_frozen_at = models.DateTimeField(_("entries frozen"), null=True, editable=False)
    # The hash of the chain of drand that the publication has declared.
    beacon_chain = models.CharField(max_length=64, default="", db_default="", blank=True, editable=False)
    beacon_round = models.BigIntegerField(null=True, editable=False)
    beacon_signature = models.BinaryField(null=True, editable=False)
    paused_at = models.DateTimeField(_("paused since"), null=True, editable=False)
    paused_ms = models.BigIntegerField(default=0, editable=False)
    # The rate before it was raised: people who wait rely on it until this time (rules/polling.py).
    slower_rate = models.PositiveIntegerField(default=0, editable=False)
    slower_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("sale")
        verbose_name_plural = _("sales")
        permissions = [
            ("publish_sale", "Can publish a draft"),
            ("run_sale", "Can pause, slow down, postpone, enlarge, close and call off a sale"),
        ]
        ordering = ["opens_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(lobby_at__lte=F("opens_at"), opens_at__lt=F("closes_at")), name="sale_times_in_order"
            ),
            models.CheckConstraint(condition=Q(state__in=[s.value for s in SaleState]), name="sale_state_known"),
            models.CheckConstraint(
                condition=Q(state="draft", sealed_secret=None, secret=None, published_at=None)
                | (~Q(state="draft") & Q(published_at__isnull=False, rules__isnull=False)),
                name="sale_committed_when_published",
            ),
            models.CheckConstraint(
                condition=Q(state="draft")
                | Q(frozen_at=None, sealed_secret__isnull=False, secret=None)
                | Q(frozen_at__isnull=False, sealed_secret=None, secret__isnull=False),
                name="secret_sealed_until_the_draw",
            ),
            models.CheckConstraint(condition=Q(draw_version__in=[VERSION, VERSION_2]), name="draw_version_known"),
            models.CheckConstraint(
                condition=Q(draw_version=VERSION_2) | Q(beacon="", freeze_s=None, entries_frozen_at=None),
                name="only_version_2_commits",
            ),
            # The numbers come after the entries and after the beacon that was declared.
            models.CheckConstraint(
                condition=Q(frozen_at=None) | Q(draw_version=VERSION) | Q(entries_frozen_at__isnull=False),
                name="entries_before_numbers",
            ),
            models.CheckConstraint(
                condition=Q(frozen_at=None) | Q(beacon_chain="") | Q(beacon_signature__isnull=False),
                name="beacon_before_numbers",
            ),
            models.CheckConstraint(
                condition=Q(state="draft")
                | (Q(beacon="") & Q(beacon_chain=""))
                | (~Q(beacon="") & ~Q(beacon_chain="")),
                name="beacon_has_its_chain",
            ),
            models.CheckConstraint(
                condition=Q(state="paused", paused_at__isnull=False) | (~Q(state="paused") & Q(paused_at=None)),
                name="sale_paused_since",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError unless the times are in order and no frozen field has changed."""
        super().clean()
        self.draw_version = self.draw_version or VERSION
        self._refuse_impossible_times()
        if self.opens_at and not self.lobby_at:
            self.lobby_at = self.opens_at - LOBBY
        if self.opens_at and self.closes_at and self.opens_at >= self.closes_at:
            raise ValidationError({"closes_at": _("The sale must open before it closes.")})
        if self.opens_at and self.lobby_at and self.lobby_at > self.opens_at:
            raise ValidationError({"lobby_at": _("The lobby must open before the sale does.")})
        self._refuse_impossible_draw()
        if self.limit and self.campaign_id and self.limit > self.campaign.limit:
            raise ValidationError(
                {
                    "limit": _("The campaign allows %(limit)d; a sale can only allow less.")
                    % {"limit": self.campaign.limit}
                }
            )

    def _refuse_impossible_draw(self) -> None:
        if self.draw_version == VERSION:
            text = _("Only version 2 of the draw has this. Choose version 2, or leave this empty.")
            if wrong := [name for name in ("beacon", "freeze_s") if getattr(self, name) not in {"", None}]:
                raise ValidationError(dict.fromkeys(wrong, text))
        if self.opens_at and self.lobby_at and self.lobby_at > self.freezes_at:
            text = _("The lines freeze %(seconds)d s before the opening. The lobby must open before that.")
            raise ValidationError({"freeze_s": text % {"seconds": self.freeze_lead_s}})

    @property
    def freeze_lead_s(self) -> int:
        """How long before the opening the lines freeze, in seconds."""
        if self.freeze_s is not None:
            return self.freeze_s
        return FREEZE_S if self.beacon else 0

    @property
    def freezes_at(self) -> datetime:
        """When the lines freeze. Who enters later stands behind."""
        return self.opens_at - timedelta(seconds=self.freeze_lead_s)

    @property
    def waits_for_drand(self) -> bool:
        """Whether the order also follows from a round of drand's public chain. No person knows it before it comes."""
        return self.beacon_chain == QUICKNET_CHAIN.hash

    @property
    def commits_entries(self) -> bool:
        """Whether it commits to its entries before any number is known: version 2 of the draw."""
        return self.draw_version != VERSION

    @property
    def is_frozen_for_draw(self) -> bool:
        """Whether its lines are frozen for good: drawn, or committed to their entries."""
        return self.frozen_at is not None or self.entries_frozen_at is not None

    @property
    def is_published(self) -> bool:
        """Whether it was published. It stays published when it is paused, over or called off."""
        return self.state != SaleState.DRAFT

    def commit_to(self, secret: bytes) -> None:
        """Commits the sale to the secret of its draw, which stays sealed until `publish_secret`. The caller saves."""
        self.commitment = commitment(secret).hex()
        self.sealed_secret = seal(secret, commitment=self.commitment)

    def draw_secret(self) -> bytes:
        """The secret of the draw, sealed or not: the only function that reads it.

        Raises SecretUnreadable when this server's key cannot decrypt it. Only the draw, its transcript and checks of
        the draw may use the result.
        """
        if self.secret is not None:
            return bytes(self.secret)
        return unseal(bytes(self.sealed_secret or b""), commitment=self.commitment)

    def publish_secret(self) -> None:
        """Stores the secret in clear, because the draw has made it public. The caller saves."""
        self.secret, self.sealed_secret = self.draw_secret(), None

    @property
    def randomness(self) -> bytes:
        """The randomness of the beacon's round; empty before the draw, and where the sale has no beacon."""
        return sha256(self.beacon_signature).digest() if self.beacon_signature else b""

    def _refuse_impossible_times(self) -> None:
        errors = {}
        for name in ("lobby_at", "opens_at", "closes_at"):
            try:
                possible_time(getattr(self, name) or TIME_FIRST)
            except ValidationError as error:
                errors[name] = error
        if errors:
            raise ValidationError(errors)

    def line_ms(self, wall_ms: int) -> int:
        """The line's clock: wall time minus all time after the opening in which reserving was impossible, in ms."""
        return line_clock(wall=wall_ms, opens=ms(self.opens_at), lease=self.lease, stopped=self.paused_ms)

    @property
    def lease(self) -> ClockLease:
        """From when until when the line's clock may run: see :class:`Clock`."""
        return ClockLease(self.clock.runs_from_ms, self.clock.runs_until_ms) if hasattr(self, "clock") else ClockLease()

    @property
    def mark(self) -> int:
        """The highest mark of the sale that Redis has shown, as far as PostgreSQL knows: see :class:`Clock`."""
        return self.clock.mark if hasattr(self, "clock") else 0

    def run_clock(self, wall_ms: int, *, for_ms: int) -> None:
        """Lets the line's clock go on from where it stands, for `for_ms`. The row must be locked; the caller saves."""
        self.paused_ms = wall_ms - self.line_ms(wall_ms)
        self._save_lease(ClockLease(wall_ms, wall_ms + for_ms))

    def stop_clock(self, wall_ms: int) -> None:
        """Stops the line's clock until `run_clock`. The row must be locked."""
        if self.lease.until:
            stands_at = self.line_ms(wall_ms) + self.paused_ms
            self._save_lease(ClockLease(stands_at, stands_at))

    def _save_lease(self, lease: ClockLease) -> None:
        fields = {"runs_from_ms": lease.since, "runs_until_ms": lease.until}
        self.clock, _ = Clock.objects.update_or_create(sale=self, defaults=fields)

    def is_before_opening(self, wall_ms: int) -> bool:
        """Whether a published or paused sale has not opened yet. Its opening can be moved then, and units added.

        A sale that is drawn, or whose clock lease has started, is open even if the wall clock has gone back since.
        Lines that have committed to their entries would have to commit again, and their beacon would come too early.
        """
        ahead = wall_ms < ms(self.opens_at) and not self.is_frozen_for_draw and not self.lease.until
        return ahead and self.state in {SaleState.PUBLISHED, SaleState.PAUSED}

    def is_over(self, now: datetime) -> bool:
        """Whether it is closed or called off. The closing is on the line's clock, so a pause moves it."""
        return self.phase(ms(now)) in {Phase.CLOSED, Phase.CALLED_OFF}

    def phase(self, wall_ms: int) -> Phase:
        """The phase of the sale at `wall_ms` (ms since 1970)."""
        return sale_phase(
            state=SaleState(self.state),
            lobby_at=ms(self.lobby_at),
            opens_at=ms(self.opens_at),
            closes_at=ms(self.closes_at),
            now=self.line_ms(wall_ms),
        )


class Clock(models.Model):
    """The clock lease: how long the line's clock may run before Redis and PostgreSQL must both have answered again.

    `life/clock_lease.py` extends it. It has a table of its own, because every commit of a reservation locks the row of
    the sale (shared), and the lease changes every second.
    """

    sale = models.OneToOneField(Sale, models.CASCADE, primary_key=True, related_name="clock")
    runs_from_ms = models.BigIntegerField()
    runs_until_ms = models.BigIntegerField()
    # The highest mark of the sale that Redis has shown. A smaller one later shows that its memory went back in time.
    mark = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.sale_id)
