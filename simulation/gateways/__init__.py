"""Simulators of payment gateways: one process a gateway, real sockets, written from what the gateways publish.

Nothing here imports the product, so a mistake in its clients is not repeated here. `docs/payments.md` says what the
gateways document; what they do not document is marked "our reading" where it is decided.
"""
