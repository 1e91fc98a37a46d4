"""The public keys that check the signatures of receipts and passes, and the rotation of a partner's own key."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.receipt import public_keys
from flashsale.models import PartnerKey
from flashsale.models.partner_key import GRACE_MAX_S, GRACE_S
from flashsale.rules.key_rights import KeyScope, scopes_in
from flashsale.web import limits
from flashsale.web.api.access import PartnerView, PublicView, cacheable
from flashsale.web.api.idempotency import run_once
from flashsale.web.api.strict import StrictSerializer

KEYS_FRESH_S = 300


@extend_schema_serializer(component_name="PublicKey")
class KeySerializer(serializers.Serializer[object]):
    """An Ed25519 key as a JSON Web Key (RFC 8037)."""

    kty = serializers.CharField()
    crv = serializers.CharField()
    alg = serializers.CharField()
    use = serializers.CharField()
    kid = serializers.CharField(help_text="The RFC 7638 thumbprint, which receipts name as `key`, and passes as `kid`.")
    x = serializers.CharField()


@extend_schema_serializer(component_name="PublicKeys")
class KeySetSerializer(serializers.Serializer[object]):
    """A JSON Web Key Set: first the key that signs now, then the earlier keys."""

    keys = KeySerializer(many=True)


class KeyList(PublicView):
    """The public keys of receipts and passes."""

    @extend_schema(operation_id="readKeys", responses=KeySetSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """Public keys of receipts and passes.

        Check a receipt with `python flashsale/rules/receipts.py verify RECEIPT KEYS`.
        """
        return cacheable(Response(public_keys()), KEYS_FRESH_S)


class RotateSerializer(StrictSerializer):
    """How long the old key goes on."""

    grace_s = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=GRACE_MAX_S,
        help_text=f"How many seconds the key of this request still works; {GRACE_S} if you send none.",
    )


@extend_schema_serializer(component_name="OldKey")
class OldKeySerializer(serializers.Serializer[Any]):
    """The key that made the request."""

    begins_with = serializers.CharField()
    expires_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="NewKey")
class NewKeySerializer(serializers.Serializer[Any]):
    """A new key with the rights of the old one."""

    key = serializers.CharField(help_text="Shown once. We keep only its hash.")
    signing_secret = serializers.CharField(help_text="Shown once. It signs the requests of this key.")
    begins_with = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField([scope.value for scope in KeyScope]))
    networks = serializers.CharField(allow_blank=True, help_text="Empty: the key works from anywhere.")
    expires_at = serializers.DateTimeField(allow_null=True)
    old_key = OldKeySerializer()


class RotateKey(PartnerView):
    """A new key in the place of the one that asks."""

    scope = KeyScope.MANAGE
    form = RotateSerializer
    limit_of_writes = limits.CHANGES

    @extend_schema(
        operation_id="rotateKey",
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)],
        request=RotateSerializer,
        responses=NewKeySerializer,
    )
    def post(self, request: Request) -> Response:
        """Makes a new key with the same rights, shown once; the key of this request ends after a grace time.

        Safe to repeat: as long as the new key was never used, a repeat replaces it by another one. Use the key of the
        last answer.
        """

        def act(_call: int) -> dict[str, Any]:
            new, key, old = PartnerKey.rotate(self.partner.key, **self.values)
            document = {
                "key": key,
                "signing_secret": PartnerKey.secret_in(new.sealed),
                "begins_with": new.prefix,
                "scopes": sorted(scopes_in(new.scopes)),
                "networks": new.networks,
                "expires_at": new.expires_at,
                "old_key": {"begins_with": old.prefix, "expires_at": old.expires_at},
            }
            return dict(NewKeySerializer(document).data)

        # The answer is never stored, because it has a secret.
        return run_once(request, self.partner, act, settled=lambda _: False)
