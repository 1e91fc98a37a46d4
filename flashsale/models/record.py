"""The audit trail: who did what, when and why. Records are only added, and each has the hash of the one before.

Records hold no personal data: staff, channels and orders appear as ids, and texts that people wrote as digests. So no
record ever has to be erased.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from types import MappingProxyType
from typing import Any

from django.db import connection, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement, Table
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Campaign
from flashsale.models.sale import Sale
from flashsale.rules import trail

NOTHING: Mapping[str, Any] = MappingProxyType({})
# A writer holds this PostgreSQL advisory lock ("trail" in ASCII) until its transaction ends, so one writes at a time.
TRAIL_LOCK = int.from_bytes(b"trail")
FORBID = {
    "postgresql": (
        """CREATE OR REPLACE FUNCTION %(name)s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION '%(name)s: records are only added' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
        """CREATE TRIGGER %(name)s BEFORE UPDATE OR DELETE OR TRUNCATE ON %(table)s
        FOR EACH STATEMENT EXECUTE FUNCTION %(name)s()""",
        "ALTER TABLE %(table)s ENABLE ALWAYS TRIGGER %(name)s",
    ),
    "sqlite": tuple(
        f"CREATE TRIGGER %(name)s_{verb} BEFORE {verb} ON %(table)s "
        "BEGIN SELECT RAISE(ABORT, '%(name)s: records are only added'); END"
        for verb in ("UPDATE", "DELETE")
    ),
}
# The same for a table of which one column may become empty.
EMPTIED = {
    "postgresql": (
        """CREATE OR REPLACE FUNCTION %(name)s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'UPDATE' AND NEW.%(emptied)s = '' THEN
            OLD.%(emptied)s := '';
            IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
        END IF;
        RAISE EXCEPTION '%(name)s: rows are only added' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
        """CREATE TRIGGER %(name)s BEFORE UPDATE OR DELETE ON %(table)s
        FOR EACH ROW EXECUTE FUNCTION %(name)s()""",
        """CREATE TRIGGER %(name)s_truncate BEFORE TRUNCATE ON %(table)s
        FOR EACH STATEMENT EXECUTE FUNCTION %(name)s()""",
        "ALTER TABLE %(table)s ENABLE ALWAYS TRIGGER %(name)s",
        "ALTER TABLE %(table)s ENABLE ALWAYS TRIGGER %(name)s_truncate",
    ),
    "sqlite": (
        """CREATE TRIGGER %(name)s_UPDATE BEFORE UPDATE ON %(table)s
        WHEN NOT (NEW.%(emptied)s = '' AND %(same)s)
        BEGIN SELECT RAISE(ABORT, '%(name)s: rows are only added'); END""",
        """CREATE TRIGGER %(name)s_DELETE BEFORE DELETE ON %(table)s
        BEGIN SELECT RAISE(ABORT, '%(name)s: rows are only added'); END""",
    ),
}


class AppendOnly(models.BaseConstraint):
    """Makes the database itself refuse to change, delete or truncate the rows of a table.

    With `emptied`, the name of a column with text, one change is allowed: that this column becomes empty.
    """

    def __init__(self, *, name: str, emptied: str = "") -> None:
        super().__init__(name=name)
        self.emptied = emptied

    def deconstruct(self) -> Any:
        """How a migration writes this constraint."""
        path, args, fields = super().deconstruct()
        return path, args, fields | ({"emptied": self.emptied} if self.emptied else {})

    def constraint_sql(self, model: Any, schema_editor: BaseDatabaseSchemaEditor | None) -> str:
        """Nothing inside CREATE TABLE; the triggers are created after it."""
        assert schema_editor is not None
        schema_editor.deferred_sql.extend(self._triggers(model, schema_editor))
        return ""

    def create_sql(self, model: Any, schema_editor: BaseDatabaseSchemaEditor | None) -> str:
        """The triggers for a table that exists already. (On SQLite, Django creates the table again instead.)"""
        assert schema_editor is not None
        return "; ".join(str(trigger) for trigger in self._triggers(model, schema_editor))

    def remove_sql(self, model: Any, schema_editor: BaseDatabaseSchemaEditor | None) -> str:
        """Drops the triggers; only a migration calls this."""
        assert schema_editor is not None
        table = schema_editor.quote_name(model._meta.db_table)  # noqa: SLF001
        names = [self.name, *([f"{self.name}_truncate"] if self.emptied else [])]
        return "; ".join(f"DROP TRIGGER {name} ON {table}" for name in names)

    def templates(self, model: Any, vendor: str) -> Iterator[str]:
        """The statements, with `table`, that make the triggers."""
        columns = [field.column for field in model._meta.local_concrete_fields if field.column != self.emptied]  # noqa: SLF001
        same = " AND ".join(f'NEW."{column}" IS OLD."{column}"' for column in columns)
        for template in (EMPTIED if self.emptied else FORBID)[vendor]:
            yield template % {"name": self.name, "table": "%(table)s", "emptied": self.emptied, "same": same}

    def _triggers(self, model: Any, schema_editor: BaseDatabaseSchemaEditor) -> Iterator[Statement]:
        table = Table(model._meta.db_table, schema_editor.quote_name)  # noqa: SLF001 - Django's way to a table's name
        for template in self.templates(model, schema_editor.connection.vendor):
            yield Statement(template, table=table)

    def validate(self, *_: Any, **__: Any) -> None:
        """Accepts every new row."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppendOnly) and (self.name, self.emptied) == (other.name, other.emptied)

    __hash__ = models.BaseConstraint.__hash__


class Record(models.Model):
    """One decision or change. Campaign and sale have no constraint, so that the records of a deleted draft stay."""

    position = models.BigIntegerField(_("position"), primary_key=True)
    at = models.DateTimeField(_("when"))
    who = models.CharField(_("who"), max_length=60)
    what = models.CharField(_("what"), max_length=40)
    campaign = models.ForeignKey(
        Campaign, models.DO_NOTHING, null=True, db_constraint=False, related_name="records", verbose_name=_("campaign")
    )
    sale = models.ForeignKey(
        Sale, models.DO_NOTHING, null=True, db_constraint=False, related_name="records", verbose_name=_("sale")
    )
    subject = models.CharField(_("subject"), max_length=80, db_index=True)
    why = models.CharField(_("why"), max_length=100, blank=True)
    # Exactly the text that was hashed.
    facts = models.TextField(_("facts"), default="{}")
    previous = models.CharField(max_length=64, unique=True)
    hash = models.CharField(_("hash"), max_length=64)

    class Meta:
        verbose_name = _("record")
        verbose_name_plural = _("audit trail")
        ordering = ["-position"]
        constraints = [AppendOnly(name="audit_trail_append_only")]

    def __str__(self) -> str:
        return f"{self.position} {self.what} {self.subject}"

    @classmethod
    def write(
        cls,
        what: str,
        *,
        by: Any,
        sale: Sale | None = None,
        campaign: Campaign | None = None,
        subject: Any = None,
        why: str = "",
        facts: Mapping[str, Any] = NOTHING,
    ) -> "Record":
        """Adds a record about a change. Must be the last statement in the transaction of that change.

        `by` is a member of staff, a word for another actor ("channel:3", "clock"), or None for a person with the shell.
        `subject` is a row, by default the sale or the campaign. `why` is a reason of the catalogue or a digest. `facts`
        are whole numbers, words and lists: never personal data, and never texts that people wrote.

        It must be last because the next writer waits for this transaction: if that writer held a lock that this
        transaction still needed, the two would deadlock.
        """
        assert connection.in_atomic_block, "a record belongs to the transaction of the change that it describes"
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TRAIL_LOCK])
        head = cls.objects.order_by("-position").first()
        campaign_id = campaign.pk if campaign else sale.campaign_id if sale else None
        record = cls(
            position=head.position + 1 if head else 1,
            at=timezone.now(),
            who=f"staff:{by.pk}" if isinstance(by, models.Model) else record_name(by),
            what=what,
            campaign_id=campaign_id,
            sale=sale,
            subject=record_name(subject or sale or campaign),
            why=why,
            facts=trail.canonical_json(dict(facts)),
            previous=head.hash if head else trail.GENESIS,
        )
        record.hash = trail.chain_hash(record.previous, record.content())
        record.save(force_insert=True)
        return record

    def content(self) -> dict[str, Any]:
        """The fields that the hash covers."""
        return {
            "position": self.position,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "who": self.who,
            "what": self.what,
            "campaign": self.campaign_id,
            "sale": self.sale_id,
            "subject": self.subject,
            "why": self.why,
            "facts": self.facts,
        }


def record_name(row: Any) -> str:
    """The name of a row in the trail, such as "sale:3". A text is its own name."""
    if row is None:
        return "shell"
    return row if isinstance(row, str) else f"{row._meta.model_name}:{row.pk}"  # noqa: SLF001 - a table's name
