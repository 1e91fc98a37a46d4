"""Every column that can hold a text is either erased with its person, or named here with the reason why it is not."""

from typing import Any

from django.apps import apps
from django.db import models

from flashsale.life.personal_tables import TABLES

CAN_HOLD_TEXT = (
    models.CharField, models.TextField, models.JSONField, models.BinaryField, models.GenericIPAddressField,
    models.FileField,
)  # fmt: skip
# The reason, and the columns by table. A column of a new table belongs into TABLES of life/personal_tables.py, or here.
KEPT: dict[str, dict[str, str]] = {
    "what staff set for everybody": {
        "Campaign": "code name time_zone currency code_countries payment_accounts letter_name letter_address "
        "letter_colour salt",
        "Channel": "code name entry_url payment_accounts quotas checkout_url frame_origins",
        "PublishedRuleSet": "content hash note",
        "Sale": "code name message sealed_secret secret commitment beacon_chain beacon_signature",
        "Allocation": "code name seed",
        "Offer": "sku name",
        "Unit": "serial sku",
        "ReservationUnit": "sku",
        "PartnerKey": "prefix digest sealed scopes networks",
        "Webhook": "sealed url types",
        "Proposal": "terms digest",
        "CalendarLink": "digest",
    },
    "counts, states and hashes of the system": {
        "Alarm": "code subject facts",
        "AlarmMessage": "failure",
        "FairnessReport": "counted document",
        "ReviewRun": "summary",
        "SaleSample": "phase lines refused",
        "SaleCheck": "broken state",
        "Rehearsal": "name terms digest why progress processors figures report",
        "CrowdBackup": "out seen entered",
        "Entries": "root heads",
    },
    "hashes of keyed digests: the erasure of a campaign deletes them, and other people's proofs need them until then": {
        "EntriesTile": "leaves states",
    },
    "ids and words of catalogues; the trail has no personal data (models/record.py)": {
        "Record": "who what subject why facts previous hash",
        "Event": "type data",
        "Cancellation": "reason",
    },
    "money, which the law obliges a shop to account for; no column names a person": {
        "PaymentAttempt": "reference account method currency provider_id instructions paid_currency parts",
        "Refund": "reference provider_id detail sent_currency",
        "DemoCharge": "reference currency fingerprint magic",
        "Settlement": "totals csv_hash json_hash",
        # The erasure of the campaign empties the partner's reference (settlement.forget_references).
        "SettlementLine": "type line partner_reference payment method refund currency",
    },
    "a test campaign of a partner has no people": {"SandboxCall": "verb subject key code magic facts"},
    "columns that both erasures change, in a row that stays": {
        "Reservation": "asked fingerprint partner_reference metadata",
        "Delivery": "type subject answer",
        "Case": "rules_version rules_hash evidence reason",
        "RingOrder": "evidence",
        "Notice": "about service_id",
        "PersonRequest": "sealed orders",
        "TrailKey": "key who",
    },
}


def _texts(model: Any) -> set[str]:
    fields = model._meta.local_concrete_fields
    return {field.name for field in fields if isinstance(field, CAN_HOLD_TEXT) and not field.choices}


def test_no_column_with_text_is_forgotten_by_the_erasures() -> None:
    known = {model: set(columns.split()) for tables in KEPT.values() for model, columns in tables.items()}
    erased = {table.model.__name__ for table in TABLES}
    assert not erased & set(known)
    found = {model.__name__: _texts(model) for model in apps.get_app_config("flashsale").get_models()}
    found = {name: texts for name, texts in found.items() if texts and name not in erased}
    assert found == known
