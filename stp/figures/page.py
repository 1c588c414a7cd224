"""One HTML page of tables and figures that opens offline: it contains everything, and no scripts."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import markdown
from markdown.util import Registry
from PIL import Image

from stp.errors import UserError
from stp.evaluation.markdown import version_note
from stp.system.files import is_system_error
from stp.system.tables import read_text


def _figure(path: Path) -> str:
    """A png with the caption in its metadata (see `stp.figures.style`), or with its name if it has none."""
    try:
        with Image.open(path) as image:
            caption = str(image.info.get("Title", path.stem))
            image.verify()  # its checksums
    except Exception as error:  # Pillow raises many kinds for damaged files
        if is_system_error(error):
            raise UserError(f"{path}: cannot be read ({error})") from None
        raise UserError(f"{path}: not a png, or damaged; make the figure again") from None
    source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    words = html.escape(caption)
    return f'<figure><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'


def table_html(path: Path) -> str:
    """A Markdown file with its heading, table and notes; words stay words, without links, images and other markup."""
    text = html.escape(read_text(path), quote=False)
    if not text.strip():
        raise UserError(f"{path}: is empty; make the table again")
    renderer = markdown.Markdown(extensions=["tables", "sane_lists"])
    renderer.ESCAPED_CHARS.append("&")  # which begins the escaped <, > and &
    escapes: Registry = Registry()
    escapes.register(renderer.inlinePatterns["escape"], "escape", 0)
    renderer.treeprocessors["inline"].inlinePatterns = escapes
    renderer.parser.blockprocessors.deregister("reference")
    return f"<section>{renderer.convert(text)}</section>"


def _footer(config: Mapping[str, Any], alone: bool) -> str:
    """Config, opened if the page has nothing else (`alone`), and versions."""
    settings = html.escape(json.dumps(config, indent=2))
    details = f"<details{' open' if alone else ''}><summary>Config</summary><pre>{settings}</pre></details>"
    return f"<footer>\n{details}\n<p>{html.escape(version_note())}</p>\n</footer>"


def paper_page(paths: Sequence[Path], title: str, config: Mapping[str, Any] | None = None) -> str:
    """The page as HTML: tables (md) and figures (png) in the order given, then the config, if given, and the versions.

    Raises:
        UserError: a file is neither.
    """
    kinds = {".md": table_html, ".png": _figure}
    parts = []
    for path in paths:
        if path.suffix not in kinds:
            raise UserError(f"{path}: neither a table (.md) nor a figure (.png)")
        parts.append(kinds[path.suffix](path))
    if config is not None:
        parts.append(_footer(config, not paths))
    template = Template(files("stp.figures").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(title), body="\n".join(parts))
