"""The decoding mask: what it lets through is always a crystal's graph, and it stops no string that is one."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.errors import ConditionError
from crystalfw.core.sample.draw import TokenDraw
from crystalfw.plugins.representations.slices.grammar.charge_balance import balanced
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph
from crystalfw.plugins.representations.slices.slices import Slices, read_net
from crystalfw.plugins.representations.slices.text.dialects import ELEMENTS, FINE
from crystalfw.plugins.representations.slices.text.space_groups import prefixes
from crystalfw.plugins.representations.slices.text.strings import print_graph

EDGE_COST = {"plain": 3, "rigid": 3, "metric": 4}


def write(max_length, constraints=None, *, rows=20, seed=0, spread=0.0, **options):
    """Strings of an untrained model: uniform over what is allowed, or with a random preference for some tokens."""
    representation = Slices(Slices.Config(**options))
    state = representation.grammar(rows, max_length, constraints)
    index, ended = np.arange(rows), np.zeros(rows, dtype=bool)
    taste = np.random.default_rng(seed).normal(scale=spread, size=len(representation.vocabulary)).astype(np.float32)
    logits = taste[None].repeat(rows, 0)
    written = [[] for _ in range(rows)]
    for step in range(max_length - 1):
        allowed = state.mask()
        assert allowed.any(axis=1).all(), f"a string that cannot go on: {written}"
        assert (allowed[ended].sum(axis=1) == 1).all()
        ids = TokenDraw().draw(logits, allowed, seed, index, np.full(rows, step))
        state.advance(ids)
        for row in np.flatnonzero(~ended):
            written[row].append(int(ids[row]))
        ended |= ids == representation.vocabulary.end
    assert ended.all(), "a string that its length limit cut"
    return [representation.detokenize(ids) for ids in written]


def elements_of(string):
    return Counter(ELEMENTS[number - 1] for number in read_net(string).numbers)


def assert_nothing_twice(string, dialect):
    graph, tokens = read_net(string), string.split()
    lengths = sum(token[0] in "~=" and len(token) > 1 for token in tokens)
    assert 3 * graph.n_edges + graph.n_atoms + lengths == len(tokens), "an edge written twice"
    if dialect == "metric":
        assert lengths == graph.n_edges


@settings(max_examples=15, deadline=None)
@given(
    dialect=st.sampled_from(["plain", "rigid", "metric"]),
    max_length=st.integers(18, 120),
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 1.0, 4.0]),
    max_atoms=st.sampled_from([1, 3, 64]),
)
def test_whatever_is_drawn_is_a_three_dimensional_net(dialect, max_length, seed, spread, max_atoms):
    for string in write(max_length, seed=seed, spread=spread, dialect=dialect, max_atoms=max_atoms):
        assert len(string.split()) <= max_length - 2
        assert_nothing_twice(string, dialect)


@settings(max_examples=15, deadline=None)
@given(
    n_atoms=st.integers(1, 8),
    extra=st.integers(0, 30),
    dialect=st.sampled_from(["plain", "rigid", "metric"]),
    seed=st.integers(0, 10**6),
)
def test_the_shortest_limit_leaves_the_cheapest_completions(n_atoms, extra, dialect, seed):
    """One edge for each of n - 1 joins and three cycles: with so many tokens it succeeds, with one fewer it is refused."""
    shortest = 2 + n_atoms + EDGE_COST[dialect] * (n_atoms + 2)
    wanted = [{"n_atoms": n_atoms}] * 10
    strings = write(shortest + extra, wanted, rows=10, seed=seed, dialect=dialect)
    assert all(read_net(string).n_atoms == n_atoms for string in strings)
    with pytest.raises(ConditionError, match="can be written"):
        write(shortest - 1, wanted, rows=10, dialect=dialect)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_valid_graph_is_stopped(data):
    """Any graph that is a crystal's, edges in any order and direction, passes token by token."""
    seed = data.draw(st.integers(0, 10**6))
    dialect = data.draw(st.sampled_from(["plain", "rigid", "metric"]))
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    possible = [(i, j, label) for i in range(n) for j in range(i, n) for label in range(27) if i < j or label > 13]
    chosen = [possible[k] for k in rng.permutation(len(possible))[: int(rng.integers(3, 6 * n + 4))]]
    edges = np.array(chosen, dtype=np.int64)
    shifts = np.stack([edges[:, 2] // 9 - 1, edges[:, 2] // 3 % 3 - 1, edges[:, 2] % 3 - 1], axis=1)
    contact = rng.random(len(edges)) < 0.5
    steps = rng.integers(0, 10, len(edges)).astype(np.int16) * FINE
    if dialect == "rigid":
        steps[~contact] = -1
    elif dialect == "plain":
        contact[:], steps[:] = False, -1
    group = int(rng.integers(1, 231)) if rng.random() < 0.5 else None
    graph = QuotientGraph(rng.integers(1, 104, n), edges[:, 0], edges[:, 1], shifts, contact, steps, group)
    string = print_graph(graph)
    try:
        read_net(string)
        valid = True
    except Exception:
        valid = False
    representation = Slices(Slices.Config(dialect=dialect, space_group=True))
    ids = [*representation.tokenize(string), representation.vocabulary.end]
    # exactly as long as the limit: nothing is excluded for want of room either
    state = representation.grammar(1, len(ids) + 1)
    for place, token in enumerate(ids):
        allowed = bool(state.mask()[0, token])
        if not valid:
            if not allowed:
                return
        else:
            assert allowed, f"token {place} of {string}"
        state.advance(np.array([token]))
    assert valid


def test_exact_composition():
    wanted = {"Sr": 1, "Ti": 1, "O": 3}
    for condition in ({"composition": wanted}, {"composition": "SrTiO3"}, {"composition": wanted, "n_atoms": 5}):
        assert all(elements_of(string) == wanted for string in write(60, [condition] * 20))


def test_rows_have_conditions_of_their_own():
    asked = [{"composition": "NaCl"}, {"composition": "Si2"}, {}, {"n_atoms": 3}]
    strings = write(60, asked, rows=4)
    assert elements_of(strings[0]) == {"Na": 1, "Cl": 1}
    assert elements_of(strings[1]) == {"Si": 2}
    assert read_net(strings[3]).n_atoms == 3


def test_formula_takes_any_number_of_units():
    units = {read_net(string).n_atoms // 3 for string in write(120, [{"formula": "TiO2"}] * 40, rows=40)}
    assert len(units) > 2
    for string in write(120, [{"formula": "Ti2O4", "n_atoms": [7, 11]}] * 20):
        assert elements_of(string) == {"Ti": 3, "O": 6}


def test_elements_and_number_of_atoms():
    asked = {
        "n_atoms": [4, 6],
        "required_elements": ["Fe", "O"],
        "forbidden_elements": "Cu Zn",
        "allowed_elements": "Fe O Cu Li",
    }
    for string in write(80, [asked] * 40, rows=40):
        counts = elements_of(string)
        assert 4 <= sum(counts.values()) <= 6
        assert {"Fe", "O"} <= set(counts) <= {"Fe", "O", "Li"}


@pytest.mark.parametrize("more", [{}, {"required_elements": ["Fe"], "n_atoms": [3, 7]}])
def test_charge_balance_is_what_smact_tests(more):
    from smact.screening import smact_validity

    asked = {"charge_balanced": True, "allowed_elements": "Li Na Mg Al Fe Ti O F Cl S"} | more
    for string in write(60, [asked] * 12, rows=12, spread=1.0):
        formula = "".join(f"{symbol}{count}" for symbol, count in elements_of(string).items())
        assert smact_validity(formula, oxidation_states_set="smact14", include_alloys=False), formula
        assert more == {} or "Fe" in formula


def test_charge_balance_goes_with_a_formula():
    for string in write(80, [{"formula": "MgAl2O4", "charge_balanced": True, "n_atoms": [7, 14]}] * 4, rows=4):
        counts = elements_of(string)
        assert counts["O"] == 4 * counts["Mg"] == 2 * counts["Al"]


def neutral_by_trial(counts):
    """SMACT's test as it is told: every choice of one state for each element."""
    from smact import Element

    elements = [Element(symbol) for symbol in counts]
    if any(element.pauling_eneg is None for element in elements):
        return False
    states = [[state for state in element.oxidation_states_smact14 or [] if state] for element in elements]
    for choice in itertools.product(*states):
        negative = [e.pauling_eneg for e, state in zip(elements, choice, strict=True) if state < 0]
        positive = [e.pauling_eneg for e, state in zip(elements, choice, strict=True) if state > 0]
        charge = sum(state * counts[symbol] for state, symbol in zip(choice, counts, strict=True))
        if charge == 0 and positive and negative and max(positive) < min(negative):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["Na", "Mg", "Fe", "Ti", "O", "F", "Cl", "S", "H", "P", "He"]), st.integers(1, 4), max_size=3
    ),
    st.integers(2, 11),
)
def test_next_atoms_are_those_that_one_more_element_balances(counts, most):
    """Against every completion by atoms of one element, tried one by one."""
    palette = ["Na", "Mg", "Fe", "Ti", "O", "F", "Cl", "S"]
    upper = np.zeros(104, dtype=int)
    upper[[ELEMENTS.index(symbol) + 1 for symbol in {*palette, *counts}]] = 100
    total = sum(counts.values()) + 1
    given_Z = np.zeros(104, dtype=np.int16)
    for symbol, count in counts.items():
        given_Z[ELEMENTS.index(symbol) + 1] = count
    found = balanced(np.zeros(104, dtype=int), upper, 1).next_atoms(given_Z, most)
    for symbol in palette:
        more = {**counts, symbol: counts.get(symbol, 0) + 1}
        endings = [more] + [
            {**more, closer: more.get(closer, 0) + extra}
            for closer in {*palette, *counts} for extra in range(1, most - total + 1)
        ]  # fmt: skip
        expected = total <= most and any(neutral_by_trial(ending) for ending in endings)
        assert found[ELEMENTS.index(symbol) + 1] == expected, (more, most)


def test_a_string_is_completed_from_its_beginning():
    start = "Sr Ti O O O 0 1 ooo 4 1"
    for string in write(70, [{"prefix": start, "composition": "SrTiO3"}] * 20):
        assert string.startswith(start + " ")


def test_every_space_group_can_begin_a_string():
    representation = Slices(Slices.Config(space_group=True))
    for spelling in prefixes().values():
        representation.grammar(1, 60, [{"prefix": " ".join(spelling)}])
    longest = max(prefixes().values(), key=len)
    with pytest.raises(ConditionError, match="leads to no valid string"):
        representation.grammar(1, 2 + len(longest) + 9, [{"prefix": " ".join(longest)}])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"compositon": "NaCl"}, "Did you mean 'composition'"),
        ({"composition": "NaXx"}, "'Xx' is not an element"),
        ({"composition": "Sr0.5Ti"}, "whole numbers"),
        ({"composition": "K70"}, "70 atoms"),
        ({"composition": "Sr9Ti9O12"}, "at most 18 can be written"),
        ({"composition": "NaCl", "forbidden_elements": ["Cl"]}, "ask for Cl and exclude it"),
        ({"composition": "NaCl", "n_atoms": 3}, "fewer than 3 atoms"),
        ({"composition": "NaCl", "charge_balanced": True, "required_elements": "K"}, "ask for K and exclude it"),
        ({"composition": "Na3Cl", "charge_balanced": True}, "no oxidation states make Na3Cl neutral"),
        ({"formula": "NaCl2", "charge_balanced": True}, "no oxidation states make NaCl2 neutral"),
        ({"allowed_elements": ["Fe", "Li"], "n_atoms": 0}, "whole number"),
        ({"formula": "SrTiO3", "n_atoms": [6, 9]}, "at least"),
        ({"prefix": "Na Cl 0 2"}, "token 4 of the prefix, '2'"),
        ({"prefix": "Na Cl 0 1 ooo 1 0 ooo"}, "token 8 of the prefix, 'ooo'"),
        ({"prefix": "Na Cl 0 0 ooo"}, "token 5"),
        ({"prefix": "hello"}, "'hello' is not a token"),
        ({"charge_balanced": "yes"}, "true or false"),
        ({"charge_balanced": True, "allowed_elements": ["He", "Ne"]}, "at least"),
    ],
)
def test_the_impossible_is_refused_before_the_first_token(asked, message):
    with pytest.raises(ConditionError, match=message):
        Slices(Slices.Config()).grammar(1, 80, [asked])


def test_rows_are_kept_doubled_and_added():
    representation = Slices(Slices.Config())
    ids = representation.tokenize("Na Cl 0 1 ooo 0 0")
    state = representation.grammar(2, 40, [{}, {"composition": "Si1"}])
    for token in ids[:2]:
        state.advance(
            np.array([token, representation.tokenize("Si")[0] if token == ids[0] else representation.tokenize("0")[0]])
        )
    state.select(np.array([0, 0]))
    state.append_rows(1, [{"composition": "K1"}])
    assert [representation.vocabulary.tokens[t] for t in np.flatnonzero(state.mask()[2])] == ["K"]
    before = state.mask()[1].copy()
    state.advance(np.array([*representation.tokenize("0 1"), *representation.tokenize("K")]))
    assert np.array_equal(before, representation_mask(representation, "Na Cl"))
    assert not np.array_equal(state.mask()[0], before)
    with pytest.raises(ValueError, match="row 0: token"):
        state.advance(np.array([representation.vocabulary.end] * 3))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_row_never_depends_on_its_neighbours(seed):
    """Rows leave and enter at random; each stays what it is when written alone."""
    rng = np.random.default_rng(seed)
    representation = Slices(Slices.Config())
    conditions = [{}, {"composition": "NaCl"}, {"prefix": "Si Si 0 1"}, {"n_atoms": 3, "charge_balanced": True}]

    def fresh(condition):
        return representation.grammar(1, 40, [condition])

    chosen = [conditions[int(rng.integers(4))] for _ in range(5)]
    together, alone = representation.grammar(5, 40, chosen), [fresh(condition) for condition in chosen]
    for _ in range(25):
        allowed = together.mask()
        assert np.array_equal(allowed, np.concatenate([single.mask() for single in alone]))
        ids = np.array([rng.choice(np.flatnonzero(row)) for row in allowed])
        together.advance(ids)
        for single, token in zip(alone, ids, strict=True):
            single.advance(np.array([token]))
        added = [conditions[int(rng.integers(4))] for _ in range(int(rng.integers(0, 3)))]
        together.append_rows(len(added), added)
        alone += [fresh(condition) for condition in added]
        order = np.arange(5)
        replaced = rng.permutation(5)[: len(added)]
        order[replaced] = 5 + np.arange(len(added))
        if rng.random() < 0.3:
            order = rng.permutation(len(alone))[:5]
        together.select(order)
        alone = [alone[row] for row in order]


def representation_mask(representation, string):
    state = representation.grammar(1, 40)
    for token in representation.tokenize(string):
        state.advance(np.array([token]))
    return state.mask()[0]


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["plain", "rigid", "metric"])
def test_many_strings(dialect):
    for seed in range(10):
        for string in write(160, rows=300, seed=seed, spread=seed / 3, dialect=dialect):
            assert_nothing_twice(string, dialect)
