"""The manual for admins says the same in both languages: each chapter of one is a chapter of the other."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
# By the English chapter: the Indonesian one, in the sequence of the manual.
CHAPTERS = {
    "For admins": "Untuk admin",
    "A sale, step by step": "Satu penjualan, langkah demi langkah",
    "The board": "Papan langsung",
    "Planning": "Perencanaan",
    "Rehearsal": "Gladi",
    "While it is published": "Selama diterbitkan",
    "After the sale": "Setelah penjualan",
    "The review desk": "Meja peninjauan",
    "Ten tasks in clicks": "Sepuluh tugas dalam klik",
    "Settlements": "Penyelesaian",
    "Money that waits": "Dana yang menunggu tindakan",
    "Finding an order": "Mencari pesanan",
    "Support": "Layanan pelanggan",
    "Exports": "Ekspor",
    "Requests of people about their data": "Permintaan orang tentang datanya",
    "Staff": "Staf",
    "When two people work on the same row": "Bila dua orang mengerjakan baris yang sama",
}


def _chapters(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_each_chapter_of_the_manual_is_in_indonesian_in_the_same_place() -> None:
    english, indonesian = _chapters(DOCS / "admin.md"), _chapters(DOCS / "id" / "admin.md")
    unknown = [chapter for chapter in english if chapter not in CHAPTERS]
    assert unknown == [], f"translate these chapters of docs/admin.md, and add them to CHAPTERS: {unknown}"
    missing = [chapter for chapter in english if CHAPTERS[chapter] not in indonesian]
    assert missing == [], f"docs/id/admin.md lacks the translation of: {missing}"
    assert indonesian == [CHAPTERS[chapter] for chapter in english]


def test_both_manuals_have_the_same_tables_lists_and_pictures() -> None:
    def shape(name: str) -> dict[str, int]:
        text = (DOCS / name).read_text(encoding="utf-8")
        marks = {
            "rows of tables": r"^\|",
            "steps": r"^\d+\. ",
            "points": r"^ *- ",
            "pictures": r"!\[",
            "links": r"\]\(",
        }
        return {what: len(re.findall(mark, text, re.MULTILINE)) for what, mark in marks.items()}

    assert shape("id/admin.md") == shape("admin.md")
