"""Removes invisible characters from text that a person pasted."""

import unicodedata


def visible(text: str) -> str:
    """The text without characters of category Cf: marks of text direction, zero-width characters, byte-order marks.

    They come with a copy from a contact list, a chat or a file, and the person who pastes cannot see them.
    """
    return "".join(character for character in text if unicodedata.category(character) != "Cf")
