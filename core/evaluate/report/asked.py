"""What was asked for beside what came out: both drawn, with a metric's verdict or the reason of a failure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.drawing.card import drawable
from crystalfw.core.drawing.markup import Markup, tag
from crystalfw.core.evaluate.report.gallery import HOW_TO, cif_link, crystal_card
from crystalfw.core.evaluate.report.html import section
from crystalfw.core.evaluate.report.samples import LOOKED_AT, Pick, condition_words, rows, with_crystal
from crystalfw.core.presentation import Verdict

SHOWN, MET = 6, 2
"""Requests shown from the top of a table, and further ones whose answer is what was asked for."""
_LONGEST_STRING = 90


Request = tuple[str, str]
"""A condition in words, and the id of the crystal that it was taken from."""


@dataclass(frozen=True)
class Answer:
    """One request, and the sample that is shown for it."""

    request: Request
    reference: Crystal | None
    """The crystal asked for, where there is one to draw."""
    sample: Pick
    verdict: Verdict | None
    count: int
    """Samples made for this request."""
    good: int
    """Those that a metric found to be what was asked for."""
    judged: int

    @property
    def condition(self) -> str:
        """What was asked for, in words."""
        return self.request[0] or self.request[1]


def answers(
    samples: Path | None, asked: Mapping[str, Crystal], verdicts: Mapping[str, Verdict],
    count: int = SHOWN, also: Collection[Request] = (),
) -> list[Answer]:  # fmt: skip
    """The first `count` requests of a table, the first others that were met, and those in `also`.

    Of each the sample that is what was asked for, otherwise the first crystal.
    """
    groups: dict[Request, list[Pick]] = {}
    met = 0
    for item in islice(rows(samples), LOOKED_AT):
        place = (condition_words(item.condition) if item.condition else "", item.reference)
        if place not in groups and any(place):
            is_met = len(groups) >= count and met < MET and item.id in verdicts and verdicts[item.id]["good"]
            met += is_met
            if len(groups) - met < count or is_met or place in also:
                groups[place] = []
        if place in groups:
            groups[place].append(item)
    return [_answer(place, items, asked, verdicts) for place, items in groups.items()]


def _answer(request: Request, items: Sequence[Pick], asked: Mapping[str, Crystal], verdicts: Mapping[str, Verdict]) -> Answer:
    judged = [verdicts[item.id] for item in items if item.id in verdicts]
    best = min(items, key=lambda item: (not verdicts.get(item.id, {"good": False})["good"], not item.cif))
    crystal = asked.get(request[1])
    return Answer(
        request, crystal if crystal is not None and drawable(crystal) else None, with_crystal(best),
        verdicts.get(best.id), len(items), sum(item["good"] for item in judged), len(judged),
    )  # fmt: skip


def asked_section(found: Sequence[Answer]) -> Markup:
    """The section; empty where nothing was asked for."""
    if not found:
        return Markup("")
    further = f", and the first {MET} others that were met" if len(found) > SHOWN else ""
    first = f"The first {min(SHOWN, len(found))} requests of the table{further}."
    lead = f"{first} Left what was asked for, right the answer. {HOW_TO}"
    return section("answers", "Asked and answered", tag("div", *map(pair, found), class_="pairs"), lead=lead)


def pair(answer: Answer) -> Markup:
    """One request and its answer, side by side."""
    return tag(
        "div", asked_card(answer), tag("span", "→", class_="arrow", aria_hidden="true"), answer_card(answer), class_="pair"
    )


def asked_card(answer: Answer) -> Markup:
    """What was asked for: a crystal, or words."""
    words = tag("p", tag("b", "asked for "), answer.condition, class_="head")
    if answer.reference is None:
        return tag("figure", words, class_="words")
    return crystal_card(answer.reference, "asked for", above=words)


def answer_card(answer: Answer, origin: str = "") -> Markup:
    """What came out, with the verdict; a failed sample says why there is no crystal."""
    item, many = answer.sample, f"sample {answer.sample.id}, one of {answer.count}" if answer.count > 1 else ""
    if answer.judged > 1:
        many += f"; {answer.good} of {answer.judged} judged are what was asked for"
    head = tag("p", tag("b", origin or "answer"), " ", _mark(answer), class_="head")
    if item.crystal is None:
        return tag("figure", head, *failure_lines(item), class_="words")
    why = answer.verdict["text"].partition(": ")[2] if answer.verdict else ""
    lines = [tag("p", why, class_="why")] if why else []
    lines.append(tag("p", many or f"sample {item.id}", " · ", cif_link(item.id, item.cif)))
    return crystal_card(item.crystal, f"sample {item.id}", *lines, above=head)


def failure_lines(item: Pick) -> list[Markup]:
    """Why a sample has no crystal, and the beginning of its string."""
    cut = item.string[:_LONGEST_STRING] + ("…" if len(item.string) > _LONGEST_STRING else "")
    return [tag("p", f"no crystal: {item.reason}"), *([tag("p", tag("code", cut))] if cut else [])]


def _mark(answer: Answer) -> Markup:
    if answer.verdict is None:
        return Markup("") if answer.sample.crystal is not None else tag("span", "✗ no crystal", class_="mark bad")
    good, words = answer.verdict["good"], answer.verdict["text"].partition(": ")[0]
    return tag("span", f"{'✓' if good else '✗'} {words}", class_=f"mark {'good' if good else 'bad'}")
