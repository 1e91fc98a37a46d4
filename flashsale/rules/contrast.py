"""Contrast of white letters on a colour, as the Web Content Accessibility Guidelines count it."""

import re

CONTRAST_MIN = 4.5
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


def contrast_with_white(colour: str) -> float | None:
    """From 1 (white on white) to 21 (white on black); None if this is not # and six hexadecimal digits."""
    if not _COLOUR.fullmatch(colour):
        return None
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
