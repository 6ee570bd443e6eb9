"""The sentences under a dataclass's fields, read from its source, for the documentation and `describe`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from dataclasses import dataclass
from typing import Any

from crystalfw.core.recipe.convert import describe_type, type_hints
from crystalfw.core.recipe.expand import to_plain


@dataclass(frozen=True)
class FieldDoc:
    """One option: name, type in words, default (None if required is True), sentence."""

    name: str
    type: str
    default: Any
    required: bool
    sentence: str


def field_docs(cls: type) -> list[FieldDoc]:
    """Every field of a dataclass, in order, with the sentence under it; empty if the source is not available."""
    sentences = field_sentences(cls)
    hints = type_hints(cls)
    found = []
    for item in dataclasses.fields(cls):
        if not item.init:
            continue
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        required = default is dataclasses.MISSING
        plain = None if required else to_plain(default)
        found.append(FieldDoc(item.name, describe_type(hints[item.name]), plain, required, sentences.get(item.name, "")))
    return found


def field_sentences(cls: type) -> dict[str, str]:
    """Field name -> the string literal that follows it in the class body; base classes first."""
    sentences: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            sentences |= _own_sentences(base)
    return sentences


def _own_sentences(cls: type) -> dict[str, str]:
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # no source: zipped, frozen or made at run time
        return {}
    assert isinstance(node, ast.ClassDef)
    sentences = {}
    for field, following in zip(node.body, node.body[1:], strict=False):
        text = getattr(getattr(following, "value", None), "value", None) if isinstance(following, ast.Expr) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
            sentences[field.target.id] = inspect.cleandoc(text).replace("\n", " ")
    return sentences
