"""One ES module and one style sheet for each view, put together from the files in static/.

The front end takes one module per widget. Source files stay plain ES modules that import each other, so that they can
be tested as they are; here the text of what a module imports comes before its own, without the words import and export.
"""

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
# The style sheets of other files that a view shows parts of.
STYLES = {
    "convolution": ("training",),
    "features": ("training",),
    "flow": ("training",),
    "ensemble": ("training",),
    "landscape": ("training",),
    "layer": ("training",),
    "optimizers": ("training",),
    "playground": ("training", "network"),
    "saliency": ("training",),
}
_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w.]+)";[ \t]*\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|let|function|class|async) )", re.MULTILINE)


@cache
def module(name: str) -> str:
    """The text of static/`name`.js with everything that it imports; it keeps its `export default`."""
    texts: dict[str, str] = {}
    _collect(f"{name}.js", texts)
    return "\n".join(texts.values())


@cache
def style(name: str) -> str:
    """The style sheet of a view: what all views share, then its own."""
    files = ("lab", *STYLES.get(name, ()), name)
    return "\n".join((STATIC / f"{file}.css").read_text(encoding="utf-8") for file in files)


def _collect(file: str, texts: dict[str, str]) -> None:
    source = (STATIC / file).read_text(encoding="utf-8")
    for imported in _IMPORT.findall(source):
        if imported not in texts:
            _collect(imported, texts)
    texts[file] = f"// ---- {file}\n" + _EXPORT.sub("", _IMPORT.sub("", source))
