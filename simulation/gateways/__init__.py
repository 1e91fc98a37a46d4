"""Simulators of payment gateways: one process a gateway, real sockets, written from what the gateways publish.

Nothing here imports the product or was written after its clients, so a mistake in a client is not repeated here. What
the gateways do not document is called "our reading" in the module of the gateway.

    midtrans*.py, xendit*.py   one gateway each: its vocabulary (`_words`), what it takes, what it writes
    gateway.py, api.py         what they share: payments, money, pace; the way of a call and its faults
    clock.py, ledger.py, faults.py, webhooks.py, idempotency.py, codes.py, payments.py
    control.py, client.py      the control port and its client, for tests and the story
    messages.py                WhatsApp and a gateway of SMS
"""
