"""Reading and writing strings: what is written is read back, what is wrong is said, nothing crashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.errors import DecodeError
from crystalfw.plugins.representations.slices.graph.graph import NO_LENGTH, QuotientGraph
from crystalfw.plugins.representations.slices.text import dialects as d
from crystalfw.plugins.representations.slices.text.space_groups import PREFIX_TOKENS, number_of, prefixes
from crystalfw.plugins.representations.slices.text.strings import dialect_of, parse, print_graph

ROCK_SALT = "Na Cl 0 1 --o 0 1 -o- 0 1 -oo 0 1 o-- 0 1 o-o 0 1 oo-"


def same(a: QuotientGraph, b: QuotientGraph) -> bool:
    names = ("numbers", "i", "j", "shifts", "contact", "length")
    return a.space_group == b.space_group and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names)


@st.composite
def graphs(draw: st.DrawFn, dialect: d.Dialect) -> QuotientGraph:
    n_atoms = draw(st.integers(1, 12))
    numbers = draw(st.lists(st.integers(1, 103), min_size=n_atoms, max_size=n_atoms))
    index = st.integers(0, n_atoms - 1)
    edge = st.tuples(index, index, st.integers(0, 26), st.booleans(), st.integers(0, 23))
    edges = [e for e in draw(st.lists(edge, min_size=1, max_size=30)) if e[0] != e[1] or d.LABELS[e[2]] != "ooo"]
    columns = np.array(edges or [(0, 0, 26, False, 0)], dtype=np.int64).T
    contact = columns[3].astype(bool) & (dialect != "plain")
    steps = np.where(contact, columns[4] * d.FINE, columns[4] if dialect == "metric" else NO_LENGTH)
    space_group = draw(st.one_of(st.none(), st.integers(1, 230)))
    return QuotientGraph.from_edges(
        np.array(numbers), columns[0], columns[1], d.LABEL_SHIFTS[columns[2]], contact, steps.astype(np.int16), space_group
    )


@pytest.mark.parametrize("dialect", d.DIALECTS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_written_is_read_back_and_conforms_to_its_grammar(dialect: d.Dialect, data: st.DataObject) -> None:
    graph = data.draw(graphs(dialect))
    string = print_graph(graph)
    assert same(parse(string), graph)
    grammar = d.grammar(dialect, prefix=True)
    ids = [d.vocabulary().tokens.index(token) for token in string.split()]
    state = d.START
    for token in ids:
        state = grammar.next_state[state, token]
        assert state != d.FORBIDDEN
    assert grammar.accept[state]
    told = dialect_of(string)
    assert told == dialect or (dialect == "rigid" and not graph.contact.any() and told == "plain") or (
        dialect == "metric" and graph.contact.all() and told == "rigid"
    )  # fmt: skip


@pytest.mark.parametrize("dialect", d.DIALECTS)
@given(seed=st.integers(0, 2**32), data=st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_the_grammar_allows_is_read(dialect: d.Dialect, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    grammar, words = d.grammar(dialect, prefix=data.draw(st.booleans())), d.vocabulary().tokens
    state, found, atoms, first = d.START, [], 0, 0
    while len(found) < 80 or not grammar.accept[state]:
        allowed = grammar.next_state[state] != d.FORBIDDEN
        allowed[d.END] = False
        allowed &= (grammar.token_class != d.INDEX) | (grammar.token_value < atoms)
        if state == d.ATOMS and atoms >= 8:
            allowed &= grammar.token_class == d.INDEX
        token = int(rng.choice(np.flatnonzero(allowed)))
        if grammar.token_class[token] == d.LABEL and words[token] == "ooo":
            continue  # a loop to itself is the one thing that syntax does not forbid
        atoms += grammar.token_class[token] == d.ELEMENT
        first += 1
        found.append(words[token])
        state = grammar.next_state[state, token]
    assert parse(" ".join(found)).n_atoms == atoms


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse(text)
    assert caught.value.reason == "parse"
    assert str(caught.value)


@given(st.lists(st.sampled_from([*d.vocabulary().tokens, "-", "o", "+", "99", "ooo", "0", "1", "H"]), max_size=60))
@settings(max_examples=200, deadline=None)
def test_token_salad_is_a_graph_or_refused(tokens: list[str]) -> None:
    try:
        graph = parse(" ".join(tokens))
    except DecodeError:
        return
    assert (graph.i <= graph.j).all()
    assert graph.j.max() < graph.n_atoms


@pytest.mark.parametrize(
    ("string", "says"),
    [
        ("", "ends where an element symbol"),
        ("Na Cl", "ends where an element symbol or an atom index"),
        ("Na Cl 0", "ends where an atom index"),
        ("Na Cl 0 1", "ends where a label"),
        ("Na Cl 0 1 ooo 0", "ends where an atom index"),
        ("Na Xx 0 1 ooo", "token 2 is 'Xx'"),
        ("Na Cl 0 2 ooo", "token 4 names atom 2 of 2"),
        ("Na Cl 0 1 oo*", "token 5 is 'oo*'"),
        ("Na Cl 0 1 ooo Na", "token 6 is 'Na'"),
        ("Na Cl 0 0 ooo", "bonds atom 0 to itself"),
        ("o w a ODD Na Cl 0 1 ooo", "spells no space group"),
        ("Na Cl 0 1 ooo ~144", "token 6 is '~144'"),
        ("Na Cl <pad> 0 1 ooo", "token 3 is '<pad>'"),
        ("Na Cl 0 1 ooo <end> <end>", "token 6 is '<end>'"),
        ("H " * 257 + "0 1 ooo", "257 atoms"),
        ("H " * 100_001, "at most 200000 are read"),
    ],
)
def test_errors_name_the_token(string: str, says: str) -> None:
    with pytest.raises(DecodeError, match="^.*" + says.replace("*", r"\*")):
        parse(string)


def test_repeated_bonds_count_once_in_either_direction() -> None:
    graph = parse("Na Cl 0 1 oo+ 1 0 oo- 0 1 oo+ ~12 1 1 -oo 1 1 +oo")
    assert print_graph(graph) == "Na Cl 0 1 oo+ 1 1 +oo"


@pytest.mark.parametrize(
    "older",
    [
        "Na Cl 0 1 - - o 0 1 - o - 0 1 - o o 0 1 o - - 0 1 o - o 0 1 o o -",
        "Na Cl 0 1 - - o Na Cl 0 1 - o - Na Cl 0 1 - o o Na Cl 0 1 o - - Na Cl 0 1 o - o Na Cl 0 1 o o -",
        "NaCl0001--o0001-o-0001-oo0001o--0001o-o0001oo-",
        "Na Cl 1 0 ++o 0 1 -o- 0 1 -oo 0 1 o-- 0 1 o-o 0 1 oo- ",
    ],
)
def test_older_published_spellings_are_read(older: str) -> None:
    assert print_graph(parse(older)) == ROCK_SALT


def test_every_space_group_has_its_own_prefix_within_the_vocabulary() -> None:
    assert list(prefixes()) == list(range(1, 231))
    assert len(set(prefixes().values())) == 230
    assert {token for tokens in prefixes().values() for token in tokens} <= set(PREFIX_TOKENS)
    assert all(number_of(tokens) == number for number, tokens in prefixes().items())
    assert " ".join(prefixes()[41]) == "o w a ODD b OOO j DDO o"  # the published tool's own example, Aba2
    assert " ".join(prefixes()[1]) == "o z o"


def test_a_prefix_is_kept() -> None:
    string = "+ t a ODD a DOD b OOO c OOO d OOO e OOO o " + ROCK_SALT
    assert parse(string).space_group == 225
    assert print_graph(parse(string)) == string


def test_token_ids_are_fixed() -> None:
    tokens = d.vocabulary().tokens
    fixed = {"<pad>": 0, "<begin>": 1, "<end>": 2, "H": 3, "Lr": 105, "---": 106, "+++": 132, "~0": 133, "=0": 277, "0": 481}
    assert {token: tokens.index(token) for token in fixed} == fixed
    assert len(tokens) == len(set(tokens)) == 545
    assert d.vocabulary(80).tokens[:545] == tokens


def test_length_steps() -> None:
    lengths = np.geomspace(0.75, 19.0, 50)
    assert np.abs(np.log(d.angstrom(d.nearest_step(lengths)) / lengths)).max() < 0.5 * np.log(1.15) / 6 + 1e-9
    assert np.abs(np.log(d.angstrom(d.nearest_step(lengths, coarse=True)) / lengths)).max() < 0.5 * np.log(1.15) + 0.05
    assert (d.nearest_step(lengths, coarse=True) % d.FINE == 0).all()
    assert d.nearest_step(np.array([0.1, 100.0])).tolist() == [0, d.N_STEPS - 1]
    assert np.isnan(d.angstrom(NO_LENGTH))
