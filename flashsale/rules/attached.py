"""What a partner attaches to a reservation: its own reference and metadata. We return both unchanged.

PostgreSQL (the books) keeps them. They never go to Redis (the gate), because partners type them and may type personal
data, whatever the contract says. So a retry brings them again: the hash of the request covers them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

REFERENCE_CHARS_MAX = 64
NAMES_MAX = 20
NAME_CHARS_MAX = 40
VALUE_CHARS_MAX = 200
# Of the metadata as JSON. A whole request may have 8 kB, of which the place token takes half a kilobyte.
BYTES_MAX = 2048

REFERENCE_PATTERN = rf"[!-~]{{1,{REFERENCE_CHARS_MAX}}}"
NAME_PATTERN = rf"[A-Za-z0-9_.\-]{{1,{NAME_CHARS_MAX}}}"
_REFERENCE, _NAME = re.compile(REFERENCE_PATTERN), re.compile(NAME_PATTERN)


class NotAttachable(ValueError):
    """The reference or the metadata is not possible. The text says what is expected, and never repeats a value."""


@dataclass(frozen=True, slots=True)
class Attached:
    """The partner's reference and metadata; None where there is none."""

    reference: str | None = None
    metadata: Mapping[str, str] | None = None

    def __bool__(self) -> bool:
        return self.reference is not None or self.metadata is not None


NOTHING = Attached()


def attached(reference: object = None, metadata: object = None) -> Attached:
    """What a request attaches, from the JSON values of its two members. Raises NotAttachable.

    None stands for a member that was not sent. Metadata without members is the same as none.
    """
    return Attached(
        None if reference is None else _checked_reference(reference),
        None if metadata is None else _checked_metadata(metadata),
    )


def _checked_reference(reference: object) -> str:
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise NotAttachable(
            f"partner_reference must be a string of 1 to {REFERENCE_CHARS_MAX} visible ASCII characters without spaces."
        )
    return reference


def _checked_metadata(metadata: object) -> Mapping[str, str] | None:
    if not isinstance(metadata, dict) or len(metadata) > NAMES_MAX:
        raise NotAttachable(f"metadata must be an object with at most {NAMES_MAX} members.")
    for name, value in metadata.items():
        if not _NAME.fullmatch(name):
            raise NotAttachable(
                f"A name in metadata has 1 to {NAME_CHARS_MAX} characters: letters, digits, underscore, full stop, "
                "hyphen."
            )
        if not isinstance(value, str) or len(value) > VALUE_CHARS_MAX or not value.isprintable():
            raise NotAttachable(
                f"metadata: {name} must be a string of at most {VALUE_CHARS_MAX} visible characters without line "
                "breaks."
            )
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    if size > BYTES_MAX:
        raise NotAttachable(f"metadata has {size} bytes as JSON; at most {BYTES_MAX}.")
    return dict(sorted(metadata.items())) or None
