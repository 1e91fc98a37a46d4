"""The secret of a draw is sealed until the draw, and the tables refuse a secret in clear before it."""

from django.db import migrations, models
from django.db.models import Q

from flashsale.models.draw_secret import seal, unseal


def seal_secrets(apps, schema_editor):
    """Seals the secrets of published sales that are not drawn. Needs the FLASHSALE_CONTACT_KEY of the servers."""
    sales = apps.get_model("flashsale", "Sale").objects.using(schema_editor.connection.alias)
    for sale in sales.filter(frozen_at=None, secret__isnull=False).only("secret", "commitment"):
        sealed = seal(bytes(sale.secret), commitment=sale.commitment)
        sales.filter(pk=sale.pk).update(sealed_secret=sealed, secret=None)


def unseal_secrets(apps, schema_editor):
    """The reverse of `seal_secrets`. Raises SecretUnreadable with another key, and changes nothing then."""
    sales = apps.get_model("flashsale", "Sale").objects.using(schema_editor.connection.alias)
    for sale in sales.filter(sealed_secret__isnull=False).only("sealed_secret", "commitment"):
        secret = unseal(bytes(sale.sealed_secret), commitment=sale.commitment)
        sales.filter(pk=sale.pk).update(sealed_secret=None, secret=secret)


COMMITTED = "sale_committed_when_published"
DRAFT = Q(state="draft")


class Migration(migrations.Migration):

    dependencies = [
        ("flashsale", "0005_permission_names"),
    ]

    operations = [
        migrations.AddField("sale", "sealed_secret", models.BinaryField(editable=False, null=True)),
        migrations.RemoveConstraint("sale", COMMITTED),
        migrations.RunPython(seal_secrets, unseal_secrets),
        migrations.AddConstraint(
            "sale",
            models.CheckConstraint(
                condition=Q(state="draft", sealed_secret=None, secret=None, published_at=None)
                | (~DRAFT & Q(published_at__isnull=False, rules__isnull=False)),
                name=COMMITTED,
            ),
        ),
        migrations.AddConstraint(
            "sale",
            models.CheckConstraint(
                condition=DRAFT
                | Q(frozen_at=None, sealed_secret__isnull=False, secret=None)
                | Q(frozen_at__isnull=False, sealed_secret=None, secret__isnull=False),
                name="secret_sealed_until_the_draw",
            ),
        ),
    ]
