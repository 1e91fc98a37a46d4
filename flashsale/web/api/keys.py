"""The public keys that check the signatures of receipts and passes."""

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.receipt import public_keys
from flashsale.web.api.access import PublicView, cacheable

KEYS_FRESH_S = 300


@extend_schema_serializer(component_name="KeyShape")
class KeySerializer(serializers.Serializer[object]):
    """An Ed25519 key as a JSON Web Key (RFC 8037)."""

    kty = serializers.CharField()
    crv = serializers.CharField()
    alg = serializers.CharField()
    use = serializers.CharField()
    kid = serializers.CharField(help_text="The RFC 7638 thumbprint, which receipts name as `key`, and passes as `kid`.")
    x = serializers.CharField()


@extend_schema_serializer(component_name="KeysShape")
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
