"""Codes that buyers pay with: QR strings in the form of QRIS, and account numbers."""

import secrets

POLYNOMIAL = 0x1021


def qr_string(*, merchant: str, reference: str, amount: int) -> str:
    """A dynamic QRIS with a check sum. The time until which it can be paid is not in it, as in a real one."""
    account = _field("00", "ID.CO.SIMULATED.WWW") + _field("01", f"93600000{secrets.randbelow(10**10):010d}")
    parts = [
        _field("00", "01"),
        _field("01", "12"),  # dynamic: for one payment
        _field("26", account),
        _field("52", "5732"),
        _field("53", "360"),  # IDR
        _field("54", str(amount)),
        _field("58", "ID"),
        _field("59", merchant[:25]),
        _field("60", "Jakarta"),
        _field("62", _field("01", reference[:25]) + _field("07", secrets.token_hex(4))),
    ]
    text = "".join(parts) + "6304"
    return f"{text}{check_sum(text.encode()):04X}"


def check_sum(data: bytes) -> int:
    """CRC-16 of the QR code standard for payments (CCITT, start 0xFFFF)."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ POLYNOMIAL if value & 0x8000 else value << 1
            value &= 0xFFFF
    return value


def digits(prefix: str, length: int) -> str:
    """A number of `length` digits that begins with `prefix`."""
    rest = length - len(prefix)
    return f"{prefix}{secrets.randbelow(10**rest):0{rest}d}"


def _field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02d}{value}"
