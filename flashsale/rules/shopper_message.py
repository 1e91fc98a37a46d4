"""The message of a sale to its shoppers: one text for all, or two lines, in Indonesian and in English.

Both travel as one text. So a client that knows nothing of languages shows both, and each reader finds their own.
"""

from flashsale.rules.visible import visible

LINE_OF = {"id": 0, "en": 1}


def both_languages(indonesian: str, english: str) -> str:
    """One message of two texts, without invisible characters. With one text only, all shoppers read that one."""
    texts = (" ".join(visible(text).split()) for text in (indonesian, english))
    return "\n".join(text for text in texts if text)


def in_language(message: str, language: str | None) -> str:
    """The line of the message for a reader: the whole message if it has one line or the language is another one."""
    lines = message.split("\n")
    at = LINE_OF.get((language or "")[:2], len(lines))
    return lines[at] if at < len(lines) else message
