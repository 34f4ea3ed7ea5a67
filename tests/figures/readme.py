"""Puts tables into README.md."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write(name, table):
    """Between the two marks of this name."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    marks = re.compile(rf"(<!-- {name} -->\n).*(<!-- /{name} -->)", re.S)
    if not marks.search(text):
        sys.exit(f"README.md has no marks <!-- {name} --> and <!-- /{name} -->")
    readme.write_text(marks.sub(lambda found: found[1] + table + "\n" + found[2], text))
