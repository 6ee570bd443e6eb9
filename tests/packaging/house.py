"""The shape of the tree, measured: import circles, upward imports, `getattr` on components, lengths, docstrings.

    python tests/packaging/house.py            # this checkout
    python tests/packaging/house.py OTHER      # another one, for a comparison

Every import counts, also one inside a function; one under `if TYPE_CHECKING:` does not, since it is never run.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOMS = (
    ("errors",), ("system",), ("crystal_forms", "drawing"), ("crystal",), ("geometry",),
    ("batch", "records", "stepping", "presentation", "contracts", "interfaces", "hookspecs", "registry", "discovery"),
    ("packaged",), ("recipe",), ("data",), ("library",), ("retrieval",), ("energies",), ("powder",), ("model",), ("sample",),
    ("predict",),
    ("evaluate",), ("run",), ("testing",), ("serve",), ("commands",),
)  # fmt: skip
"""The floors of core/ from the ground up: a file imports from its own floor and from lower ones only."""
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}


def files(root: Path) -> dict[str, Path]:
    """Module -> file of core/ and plugins/."""
    found = {}
    for folder in ("core", "plugins"):
        for file in sorted((root / folder).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(("crystalfw", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = file
    return found


def imports(tree: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the tree that a file imports."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                target = whole if whole in modules else node.module
                if target in modules:
                    yield target
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module":
            yield from (a.value for a in node.args if isinstance(a, ast.Constant) and a.value in modules)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def graph(root: Path) -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    modules = files(root)
    return {name: set(imports(ast.parse(file.read_text(encoding="utf-8")), modules)) - {name} for name, file in modules.items()}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of files that import each other: strongly connected components of two or more (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(arrows[name]):
            if other not in order:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == order[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in arrows:
        if name not in order:
            visit(name)
    return found


def room(module: str) -> str:
    """`sample` for crystalfw.core.sample.engine; empty for core itself and for plugins."""
    parts = module.split(".")
    return parts[2] if parts[1] == "core" and len(parts) > 2 else ""


def upward(arrows: dict[str, set[str]]) -> list[str]:
    """Imports from a lower floor of core/ to a higher one, and from core/ to plugins/, as `a -> b`."""
    found = []
    for name, others in arrows.items():
        for other in sorted(others):
            into_plugins = name.startswith("crystalfw.core") and other.startswith("crystalfw.plugins")
            here, there = FLOOR.get(room(name)), FLOOR.get(room(other))
            if into_plugins or (here is not None and there is not None and there > here):
                found.append(f"{name} -> {other}")
    return found


COMPONENTS = {
    "component", "decoder", "encoder", "conditioning", "transform", "item", "representation", "metric", "source", "module",
    "entry", "executor", "potential",
}  # fmt: skip
"""Names that hold a component, an entry or a component's class where core reads an attribute of one."""


def loose_attributes(root: Path) -> list[str]:
    """`getattr(component, "name"...)` in core/, which asks a plugin for what no contract declares; as `file:line name`."""
    found = []
    for name, file in files(root).items():
        if not name.startswith("crystalfw.core"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr") and len(node.args) > 1:
                holder = ast.unparse(node.args[0]).split(".")[-1].removesuffix("()")
                if holder in COMPONENTS and isinstance(node.args[1], ast.Constant):
                    found.append(f"{file.relative_to(root)}:{node.lineno} {holder}.{node.args[1].value}")
    return found


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def report(root: Path) -> dict[str, str]:
    """Measure -> figure."""
    arrows, modules = graph(root), files(root)
    texts = {name: file.read_text(encoding="utf-8") for name, file in modules.items()}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    lengths = [len(text.splitlines()) for text in texts.values()]
    functions = [node for tree in trees.values() for node in _functions(tree)]
    spans = [_length(node) for node in functions]
    public = [node for node in functions if not node.name.startswith("_")]
    public = [node for node in public if "overload" not in ast.dump(ast.List(node.decorator_list, ast.Load()))]
    documented = sum(ast.get_docstring(node) is not None for node in public)
    annotated = sum(node.returns is not None for node in functions)
    top = list((root / "core").glob("*.py"))
    return {
        "files at the top of core/": str(len(top)),
        "files of core/ and plugins/": str(len(modules)),
        "imports between them": str(sum(len(others) for others in arrows.values())),
        "import circles": str(len(circles(arrows))),
        "upward imports": str(len(upward(arrows))) if (root / "core" / "system").is_dir() else "(no floors)",
        "getattr on components in core/": str(len(loose_attributes(root))),
        "lines of code": f"{sum(lengths):,}",
        "lines of a file, median and longest": f"{statistics.median(lengths):.0f}, {max(lengths)}",
        "lines of a function, median and longest": f"{statistics.median(spans):.0f}, {max(spans)}",
        "public functions with a docstring": f"{documented / len(public):.1%}",
        "functions with an annotated return": f"{annotated / len(functions):.1%}",
    }


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    for measure, figure in report(place).items():
        print(f"{measure:<42}{figure:>16}")
    for group in circles(graph(place)):
        print("circle:", ", ".join(group))
    for line in [*upward(graph(place)), *loose_attributes(place)]:
        print(line)
