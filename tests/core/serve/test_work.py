"""Requests become command lines that the real parsers accept, and never options that nobody asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from crystalfw.core.commands.cli import make_parser
from crystalfw.core.serve.work import AnyWork

WORK = TypeAdapter(AnyWork)
REQUESTS = [
    {"kind": "predict", "formulas": ["SrTiO3", "Ca(OH)2"], "n": 5, "atoms": 10},
    {"kind": "predict", "table_upload": "u"},
    {"kind": "generate", "model": "smoke", "conditions": {"band_gap": 2.0, "composition": "NaCl"}, "temperature": 0.7,
     "guidance": 1.5, "composition_exact": True, "seed": 3},
    {"kind": "generate", "model": "smoke", "like_upload": "u",
     "constraints": {"allowed_elements": ["Na", "Cl"], "charge_balanced": True}},
    {"kind": "solve", "pattern_upload": "u", "elements": ["Na", "Cl"], "wavelength": "CoKa"},
    {"kind": "train", "recipe": "smoke", "minutes": 1.5, "steps": 10, "data_upload": "u"},
]  # fmt: skip


class Places:
    def upload(self, id: str) -> Path:
        return Path("/uploads") / id

    def model(self, name: str) -> str:
        return f"/runs/{name}"


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_command_line_parses(request_):
    work = WORK.validate_python(request_)
    parsed = make_parser(work.command).parse(work.arguments(Places(), "/out"))
    assert str(parsed.out).startswith("/out")
    assert work.line(Places(), "/out").startswith(f"crystalfw {work.command} ")


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_python_lines_compile(request_):
    compile(WORK.validate_python(request_).python(Places()), "shown", "exec")


@given(st.text(max_size=30))
def test_a_formula_is_never_an_option(text):
    try:
        work = WORK.validate_python({"kind": "predict", "formulas": [text]})
    except ValidationError:
        return
    assert not work.arguments(Places(), "/out")[0].startswith("-")


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=2))
def test_a_condition_is_one_argument(conditions):
    try:
        work = WORK.validate_python({"kind": "generate", "model": "m", "conditions": conditions})
    except ValidationError:
        return
    arguments = work.arguments(Places(), "/out")
    places = [k for k, text in enumerate(arguments) if text == "--condition"]
    assert [arguments[k + 1].partition("=")[0] for k in places] == list(work.conditions)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"kind": "predict"}, "give a formula"),
        ({"kind": "predict", "formulas": ["SrTi$"]}, "'SrTi.' is not a formula such as SrTiO3"),
        ({"kind": "train", "recipe": "../x"}, "is not a name"),
        ({"kind": "solve", "pattern_upload": "u"}, "either the formula or the elements"),
    ],
)
def test_what_is_refused(request_, sentence):
    with pytest.raises(ValidationError, match=sentence):
        WORK.validate_python(request_)
