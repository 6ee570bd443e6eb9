"""The page: skeleton, escaping, tables; styles and scripts are embedded, and the page's own policy forbids any request.

Everything that comes from data goes through `text`; whatever is already markup is of the type Markup.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from crystalfw.core.drawing.markup import Markup, asset, tag, text

_WIDE_NUMBER = 7
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]], *, caption: str = "") -> Markup:
    """A table that scrolls sideways on narrow screens; the first column is the row's name, numbers are right-aligned."""
    rows = [list(row) for row in rows]
    body = [tag("tr", tag("th", row[0], scope="row"), *(_cell(cell) for cell in row[1:])) for row in rows]
    right = {k for row in rows for k, cell in enumerate(row) if k and _numeric(cell)}
    names = (tag("th", cell, scope="col", class_="n" if k in right else None) for k, cell in enumerate(header))
    head = tag("thead", tag("tr", *names))
    title = [tag("caption", caption)] if caption else []
    return tag("div", tag("table", *title, head, tag("tbody", *body)), class_="scroll")


def details(summary: str, *content: Any, open_: bool = False) -> Markup:
    """A part that opens on demand, without a script."""
    block = tag("details", tag("summary", summary), *content)
    return Markup(block.replace("<details>", "<details open>", 1)) if open_ else block


def section(id: str, title: str, *content: Any, lead: Any = "") -> Markup:
    """A part of the page with its heading, a sentence, and content."""
    sentence = [tag("p", lead, class_="lead")] if lead else []
    return tag("section", tag("h2", title), *sentence, *content, id=id)


def grid(*cards: Markup) -> Markup:
    """Cards side by side, as many as the screen takes."""
    return tag("div", *cards, class_="grid")


def card(title: str, *content: Any, note: str = "") -> Markup:
    """A figure with a title and a note below."""
    caption = [tag("p", note, class_="note")] if note else []
    return tag("figure", tag("figcaption", title), *content, *caption)


def tile(value: Any, label: str, note: str = "") -> Markup:
    """A large number with its name."""
    big = tag("b", value, class_="long" if len(str(value)) > _WIDE_NUMBER else None)
    return tag("div", big, tag("span", label), *([tag("small", note)] if note else []), class_="tile")


def json_script(id: str, value: Any) -> Markup:
    """Data for the scripts; nothing in it can end the element."""
    content = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(f'<script type="application/json" id="{html.escape(id)}">{content}</script>')


def page(title: str, subtitle: str, sections: Sequence[Markup], *, links: Sequence[tuple[str, str]] = ()) -> str:
    """The whole document; `links` are (id, name) of the sections for the navigation."""
    navigation = tag("nav", *(tag("a", name, href=f"#{id}") for id, name in links)) if links else Markup("")
    header = tag("header", tag("h1", title), tag("p", subtitle), _THEME_BUTTON)
    style, script = _asset("page.css") + asset("crystal.css"), asset("crystal.js") + _asset("page.js")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n'
        f"{header}\n{navigation}\n<main>\n"
        + "\n".join(sections)
        + f"\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


_THEME_BUTTON = Markup('<button id="theme" type="button" aria-label="Switch between light and dark" hidden>◐</button>')


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _cell(content: Any) -> Markup:
    return tag("td", content, class_="n" if _numeric(content) else None)


def _numeric(cell: Any) -> bool:
    stripped = str(cell).strip().rstrip("%").replace(",", "").lstrip("+-−")
    return str(cell) == "–" or (bool(stripped) and stripped[0].isdigit())
