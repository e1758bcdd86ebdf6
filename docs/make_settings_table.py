"""Writes the table of settings into README.md: `python docs/make_settings_table.py`.

`rfq.settings.table` is the truth; the lines between the two marks are never edited by hand, and a test fails when they
are stale.
"""

from pathlib import Path

from rfq.settings import table

PAGE = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- end of settings -->\n"


def rows() -> str:
    lines = ["| variable | default | must be | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{variable}` | {f'`{default}`' if default else ''} | {rule} | {meaning} |"
        for variable, default, rule, meaning in table()
    ]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """`text` with the table between the marks made anew. Raises ValueError if a mark is missing."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{rows()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
