"""The public keys of receipts, for everybody."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.receipt import public_keys
from flashsale.web.api.access import PublicView, fresh_for

KEYS_FRESH_S = 300


class KeyShape(serializers.Serializer[object]):
    """An Ed25519 key as a JSON Web Key (RFC 8037)."""

    kty = serializers.CharField()
    crv = serializers.CharField()
    alg = serializers.CharField()
    use = serializers.CharField()
    kid = serializers.CharField(help_text="The RFC 7638 thumbprint, which receipts name as key.")
    x = serializers.CharField()


class KeysShape(serializers.Serializer[object]):
    """A JSON Web Key Set: the key that signs now comes first, then those that did before."""

    keys = KeyShape(many=True)


class Keys(PublicView):
    """The keys by which receipts are checked."""

    @extend_schema(operation_id="readKeys", responses=KeysShape)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """Public keys of receipts; check one with `python flashsale/rules/receipts.py verify RECEIPT KEYS`."""
        return fresh_for(Response(public_keys()), KEYS_FRESH_S)
