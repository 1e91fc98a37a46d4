"""The users of Redis that docs/operate.md gives."""

from pathlib import Path

from django.conf import settings

OPERATE = Path(settings.BASE_DIR) / "docs/operate.md"


def documented(user: str) -> list[str]:
    """The words of the command that docs/operate.md gives for a user. The password is "word"."""
    line = next(
        line for line in OPERATE.read_text(encoding="utf-8").splitlines() if line.startswith(f"ACL SETUSER {user} ")
    )
    return line.replace(">PASSWORD", ">word").split()
