"""An error in a TOML file names its line."""

from flashsale.rules.toml_lines import key_lines, line_of

TEXT = '''# A comment
[campaign]
code = "x" # code = "y"
[campaign.axes]
phone = "hard"

[[sale]]
about = """
code = "not a key"
"""
code = 'a'
[[sale.line]]
units.A = 1
[[sale.line]]
  [sale.line.units]
  "A.1" = 5
[[sale]]
[[sale.line]]
channels = [
  "own",
]
code = "z"
'''


def test_each_key_has_the_line_where_it_stands() -> None:
    lines = key_lines(TEXT)
    places = [
        ("campaign", "code"), ("campaign", "axes", "phone"), ("sale", 0), ("sale", 0, "code"),
        ("sale", 0, "line", 0, "units", "A"), ("sale", 0, "line", 1, "units", "A.1"), ("sale", 1, "line", 0, "code"),
    ]  # fmt: skip
    assert [lines[place] for place in places] == [3, 5, 7, 11, 13, 16, 22]


def test_a_key_that_is_missing_has_the_line_of_its_table() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("sale", 1, "line", 0, "channels", 0)) == 19
    assert (line_of(lines, ("sale", 1, "opens")), line_of(lines, ("channel",))) == (17, 1)
