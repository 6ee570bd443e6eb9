"""HTML and SVG as text: what comes from data is escaped, what is already markup is of the type Markup."""

from __future__ import annotations

import html
from collections.abc import Iterable
from importlib import resources
from typing import Any


class Markup(str):
    """HTML that is safe to put into the page as it is."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """The value as text, escaped; Markup stays as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def join(parts: Iterable[Markup]) -> Markup:
    """One after the other."""
    return Markup("".join(parts))


def tag(name: str, *content: Any, **attributes: Any) -> Markup:
    """An element; attribute names with underscores for dashes, a trailing underscore for Python's words."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{pairs}>{''.join(text(part) for part in content)}</{name}>")


def asset(name: str) -> str:
    """A style sheet or script of this folder: crystal.css, crystal.js."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
