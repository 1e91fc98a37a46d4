"""What a publication freezes: everything that a promise to shoppers or a letter to buyers rests on.

`FROZEN` is the only list. `save`, `update` and `delete` of the models refuse a change of these fields, forms show them
read-only, and tests go through all of it. `BY_DECISION` names fields that may change
after the publication, but only through a decision of `life/sale_control.py`, which tells shoppers and the audit trail.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import NotSupportedError, models, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# By the model's name. A campaign is frozen by the publication of its first sale, and its axes with it. A channel is
# frozen once a published sale uses it. All other rows are frozen with their sale.
FROZEN: Mapping[str, tuple[str, ...]] = {
    "campaign": (
        "code", "name", "time_zone", "currency", "limit", "appeal_s", "undo_s", "code_countries", "codes_need_work",
        "payment_accounts", "canon_version", "frozen_at",
    ),
    "campaignaxis": ("campaign", "axis", "hard", "checked_at"),
    "channel": ("campaign", "code", "name", "kind", "entry_url", "entries_max", "payment_accounts"),
    "sale": (
        "campaign", "code", "name", "lobby_at", "limit", "claim_s", "hold_s", "overbooking", "claims_max",
        "extra_time_max", "extra_time_share", "max_entries", "rules", "commitment", "published_at",
        "draw_version", "beacon", "freeze_s", "beacon_chain",
    ),
    "offer": ("sale", "sku", "name", "price"),
    "allocation": (
        "sale", "line_id", "code", "name", "mode", "listed_only", "successor", "carries",
    ),
    "stock": ("allocation", "offer"),
}  # fmt: skip
BY_DECISION: Mapping[str, tuple[str, ...]] = {
    "sale": ("opens_at", "closes_at", "rate_per_s", "poll_ms", "message"),
    "allocation": ("opens_at", "rolls_over_at"),
    "stock": ("quantity",),
}
# Rows of these tables cannot be added to something that is published.
COMPLETE = ("campaignaxis", "offer", "allocation", "stock")


class FrozenChange(ValidationError):
    """A change of what a publication has frozen."""


class FrozenRows(models.QuerySet[Any]):
    """Refuses to change or delete frozen rows many at a time, which would go around `save` and `delete`."""

    def update(self, **values: Any) -> int:
        """As Django's. Raises FrozenChange if the values have a frozen field and a row is published."""
        frozen = sorted(_columns(self.model, values) & set(FROZEN[_name(self.model)]))
        if not frozen:
            return super().update(**values)
        with transaction.atomic(using=self.db):
            rows = list(self)
            if any(row.locked_and_published() for row in rows):
                raise FrozenChange(dict.fromkeys(frozen, self.model.frozen_text), code="frozen")
            count = super().update(**values)
            if self._moved_into_published(frozen, [row.pk for row in rows]):
                raise FrozenChange(dict.fromkeys(frozen, self.model.frozen_text), code="frozen")
            return count

    def _moved_into_published(self, fields: Iterable[str], pks: Iterable[Any]) -> bool:
        """Whether an update gave rows of a draft to something that is published. Asked after it, as it may compute."""
        if _name(self.model) not in COMPLETE or self.model.frozen_with[0] not in fields:
            return False
        moved = self.model._base_manager.using(self.db).filter(pk__in=pks)  # noqa: SLF001
        return any(row.locked_and_published() for row in moved)

    def bulk_create(self, objs: Iterable[Any], *args: Any, update_conflicts: bool = False, **kwargs: Any) -> list[Any]:
        """As Django's. Raises FrozenChange if a row would be added to what is published.

        Raises NotSupportedError for `update_conflicts`, because the database alone knows which rows it would change.
        """
        if update_conflicts:
            raise NotSupportedError("bulk_create cannot update rows that a publication may have frozen.")
        rows = list(objs)
        with transaction.atomic(using=self.db):
            if _name(self.model) in COMPLETE and any(row.locked_and_published() for row in _one_for_each_owner(rows)):
                raise FrozenChange(str(self.model.frozen_text), code="frozen")
            return super().bulk_create(rows, *args, **kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's. Raises FrozenChange if a row is published."""
        with transaction.atomic(using=self.db):
            if any(row.locked_and_published() for row in self):
                raise FrozenChange(self.model.frozen_text, code="frozen")
            return super().delete()


class Frozen(models.Model):
    """A row that is frozen by a publication: see `FROZEN`."""

    # The foreign keys to the campaign or sale that is published; none if it is the row itself.
    frozen_with: ClassVar[tuple[str, ...]] = ()
    frozen_text: ClassVar[Promise] = _("The sale is published: this can no longer change.")
    objects = FrozenRows.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, decided: bool = False, **kwargs: Any) -> None:
        """As Django's. Raises FrozenChange if it would change what is frozen.

        `decided` is for the decisions of `life/sale_control.py`: they may change the fields of BY_DECISION.
        """
        fields = FROZEN[_name(type(self))] if decided else self.frozen_fields()
        written = kwargs.get("update_fields")
        checked = fields if written is None else [name for name in fields if name in written]
        if not checked:
            super().save(*args, **kwargs)
            return
        with transaction.atomic(using=kwargs.get("using")):
            self.refuse_frozen_changes(checked)
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """As Django's. Raises FrozenChange for a frozen row."""
        with transaction.atomic(using=kwargs.get("using")):
            if self.pk and self.locked_and_published():
                raise FrozenChange(str(self.frozen_text), code="frozen")
            return super().delete(*args, **kwargs)

    def clean(self) -> None:
        """Raises FrozenChange, so that a form names the fields that can no longer change."""
        super().clean()
        if self.pk:
            with transaction.atomic():
                self.refuse_frozen_changes()

    @property
    def is_published(self) -> bool:
        """Whether the campaign or sale of this row is published. The two answer for themselves."""
        return self._owner().is_published

    @property
    def is_frozen(self) -> bool:
        """Whether the fields of this row can no longer change."""
        return bool(self.pk) and self._owner().is_published

    @classmethod
    def frozen_fields(cls) -> tuple[str, ...]:
        """The fields that no form may change once the row is frozen."""
        return FROZEN[_name(cls)] + BY_DECISION.get(_name(cls), ())

    def locked_and_published(self) -> bool:
        """Whether the campaign or sale is published. Its row stays locked until the transaction ends.

        Without the lock, a change that has read "draft" could be written after the publication.
        """
        owner = self._owner()
        rows = type(owner)._base_manager.select_for_update(no_key=True)  # noqa: SLF001
        return any(row.is_published for row in rows.filter(pk=owner.pk))

    def _owner(self) -> "Frozen":
        owner: Frozen = self
        for name in self.frozen_with:
            owner = getattr(owner, name)
        return owner

    def refuse_frozen_changes(self, fields: Iterable[str] | None = None) -> None:
        """Raises FrozenChange, by the field, if one of them differs from the stored row and the row is frozen."""
        before = type(self)._base_manager.filter(pk=self.pk).first() if self.pk else None  # noqa: SLF001
        if before is None:
            if _name(type(self)) in COMPLETE and self.locked_and_published():
                raise FrozenChange(str(self.frozen_text), code="frozen")
            return
        columns = [self._meta.get_field(name).attname for name in (fields or self.frozen_fields())]  # type: ignore[union-attr]
        changed = [name for name in columns if getattr(self, name) != getattr(before, name)]
        if not changed:
            return
        # A row of a draft may be on its way into something that is published.
        moved = _name(type(self)) in COMPLETE and self._meta.get_field(self.frozen_with[0]).attname in changed  # type: ignore[union-attr]
        if before.locked_and_published() or (moved and self.locked_and_published()):
            names = [self._meta.get_field(name).name for name in changed]
            raise FrozenChange(dict.fromkeys(names, self.frozen_text), code="frozen")


def _name(model: type[models.Model]) -> str:
    return model._meta.model_name or ""  # noqa: SLF001 - Django's documented way to a name


def _one_for_each_owner(rows: Iterable[Frozen]) -> Iterable[Frozen]:
    """One row of each campaign, sale or line that owns some of these rows."""
    return {getattr(row, f"{row.frozen_with[0]}_id"): row for row in rows}.values()


def _columns(model: type[models.Model], values: Iterable[str]) -> set[str]:
    """The names of the fields, also where a value is given by the column of a foreign key."""
    found = set()
    for name in values:
        try:
            found.add(model._meta.get_field(name).name)  # noqa: SLF001
        except FieldDoesNotExist:
            continue  # Django says so
    return found
