"""Build the site without network and without warnings: `python docs/build.py`, or `make docs`; it lands in site/.

Guides come from the templates that `crystalfw new plugin` writes, the reference from the Config dataclasses, the command
line and the public docstrings: what is shown is what runs.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

import yaml

from crystalfw.core.commands import cli
from crystalfw.core.discovery import registry
from crystalfw.core.recipe.field_docs import FieldDoc, field_docs
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.registry import KINDS
from crystalfw.core.testing import laws_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "docs"
PUBLIC = ("crystalfw", "crystalfw.core", "crystalfw.core.testing", "crystalfw.core.recipe")


def main() -> int:
    """Collect, generate, build; returns mkdocs' exit code."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("*.py", "mkdocs.yml", "__pycache__"))
    write("index.md", index())
    guides = {kind: write(f"guides/{kind}.md", guide(kind)) for kind in KINDS}
    reference = {
        "Recipe": write("reference/recipe.md", recipe_reference()),
        "Components": write("reference/components.md", component_reference()),
        "Command line": write("reference/cli.md", cli_reference()),
        "Laws": write("reference/laws.md", laws_reference()),
        "Python": write("reference/api.md", api_reference()),
    }
    config = yaml.safe_load((ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8"))
    for section in config["nav"]:
        if "Add a component" in section:
            section["Add a component"] = [{article(kind).capitalize(): page} for kind, page in guides.items()]
        if "Reference" in section:
            section["Reference"] = [{title: page} for title, page in reference.items()]
    listed = {page for section in config["nav"] for page in pages_of(section)}
    missing = sorted({page.relative_to(PAGES).as_posix() for page in PAGES.rglob("*.md")} - listed)
    if missing:
        sys.exit(f"{', '.join(missing)}: not in the navigation; add a line to docs/mkdocs.yml")
    config |= {"docs_dir": str(PAGES), "site_dir": str(ROOT / "site")}
    (ROOT / "build" / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--config-file",
        str(ROOT / "build" / "mkdocs.yml"),
    ]
    done = subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False)  # noqa: S603 - our own command
    own_worker(ROOT / "site")
    return done.returncode


def own_worker(site: Path) -> None:
    """The plugin `offline` has pages fetch a worker for file:// from the network; ours lies beside them."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        own = "../" * (len(page.relative_to(site).parts) - 1) + "worker.js"
        page.write_text(re.sub(r'src="https?://[^"]*iframe-worker[^"]*"', f'src="{own}"', text), encoding="utf-8")


def pages_of(section: object) -> list[str]:
    """Every page below an entry of the navigation."""
    if isinstance(section, str):
        return [section]
    if isinstance(section, dict):
        return [page for value in section.values() for page in pages_of(value)]
    return [page for item in section for page in pages_of(item)] if isinstance(section, list) else []


def write(name: str, text: str) -> str:
    """Write a page; returns its name."""
    file = PAGES / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return name


def index() -> str:
    """README.md as the first page: links into the tree become text, those into docs/ are kept."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"\[([^\]]+)\]\((?!https?://|figures/|[a-z_/]+\.md\))[^)]+\)", r"\1", text).replace("](CONTRIBUTING.md)", "]")


def guide(kind: str) -> str:
    """How to add a component of a kind: the contract in short, a file that runs as shown, the laws."""
    words = {"name": f"my_{kind}", "kind": kind, "package": f"crystalfw_my_{kind}", "class_name": f"My{kind.capitalize()}"}
    template = ROOT / "core" / "commands" / "scaffold" / f"{kind}.py.txt"
    code = Template(template.read_text(encoding="utf-8")).substitute(words, distribution="", year="", mixin="", extra="")
    folder = kind if kind == "conditioning" else f"{kind}s"
    readme = (ROOT / "plugins" / folder / "README.md").read_text(encoding="utf-8")
    contract = readme.partition("\n")[2]
    commands = [
        f"crystalfw new plugin my_{kind} --kind {kind}",
        f"pip install -e 'crystalfw-my-{kind}[test]'",
        f"crystalfw check {kind} my_{kind}",
    ]
    return "\n\n".join(
        [
            f"# Add {article(kind)}",
            "\n".join(["```bash", *commands, "```"]),
            "The component, as it is written and as its tests pass:",
            f"```python\n{code}```",
            f"## The contract\n{contract}",
            f"## Its laws\n\n{laws_table(kind)}",
        ]
    )


def recipe_reference() -> str:
    """Every section and key of a recipe, from core/recipe/schema.py."""
    parts = ["# Recipe\n", option_table(field_docs(Recipe))]
    for option in field_docs(Recipe):
        section = type(getattr(Recipe(), option.name))
        if section.__name__.endswith("Section"):
            parts.append(f"\n## {option.name}\n\n{inspect.getdoc(section)}\n\n{option_table(field_docs(section))}")
    return "\n".join(parts)


def component_reference() -> str:
    """Every built-in component with its options."""
    parts = ["# Components\n"]
    for kind in KINDS:
        parts.append(f"\n## {kind}\n")
        for entry in registry().entries(kind):
            if entry.origin.distribution != "crystalfw":
                continue
            component = entry.load()
            parts.append(f"\n### {entry.name} {{: #{kind}-{entry.name} }}\n\n{inspect.getdoc(component)}\n")
            parts.append(option_table(field_docs(component.Config)))  # type: ignore[attr-defined]
    return "\n".join(parts)


def cli_reference() -> str:
    """The help of every command."""
    os.environ["COLUMNS"] = "100"
    parts = ["# Command line\n"]
    for name, summary in cli.COMMANDS.items():
        parts.append(f"\n## crystalfw {name}\n\n{summary}\n\n```text\n{cli.make_parser(name).format_help()}```\n")
    return "\n".join(parts)


def laws_reference() -> str:
    """The conformance laws of every kind."""
    first = "# Laws\n\nWhat `crystalfw check KIND NAME` and the mixins of `crystalfw.core.testing` check.\n"
    return first + "".join(f"\n## {kind}\n\n{laws_table(kind)}" for kind in KINDS)


def api_reference() -> str:
    """The public names with signature and docstring; of classes also their public methods and properties."""
    parts = ["# Python\n"]
    for module_name in PUBLIC:
        module = importlib.import_module(module_name)
        parts.append(f"\n## {module_name}\n")
        for name in sorted(module.__all__):
            item = getattr(module, name)
            text = inspect.getdoc(item) if not inspect.ismodule(item) else f"The module `{item.__name__}`."
            parts.append(f"\n### {name}\n\n```python\n{name}{signature_of(item)}\n```\n\n{prose(text)}\n")
            if inspect.isclass(item):
                parts += [f"\n#### {name}.{head}\n\n{prose(sentence)}\n" for head, sentence in members(item)]
    return "\n".join(parts)


def signature_of(item: object) -> str:
    """`(n: int | None = None)` of a function; empty for anything else."""
    if not inspect.isroutine(item):
        return ""
    text = str(inspect.signature(item))
    if len(text) > 90 and " -> " in text:
        arguments, _, outcome = text[1:].rpartition(") -> ")
        text = "(\n    " + re.sub(r", (?=\*{0,2}\w+(:|=|,|$)|\*,)", ",\n    ", arguments) + f",\n) -> {outcome}"
    text = re.sub(r"(: |-> )(['\"])(.*?)\2", r"\1\3", text)  # annotations that are not evaluated are shown as strings
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def members(item: type) -> list[tuple[str, str]]:
    """(heading, docstring) of the public methods and properties that a class of ours defines and documents."""
    found = []
    for name, member in inspect.getmembers(item):
        owner = next((base for base in item.__mro__ if name in vars(base)), object)
        if name.startswith("_") or not owner.__module__.startswith("crystalfw"):
            continue
        is_property = isinstance(member, property)
        if (is_property or inspect.isroutine(member)) and inspect.getdoc(member):
            call = "" if is_property else f"\n\n```python\n{name}{signature_of(member)}\n```"
            found.append((f"{name}{call}", inspect.getdoc(member) or ""))
    return found


def prose(docstring: str | None) -> str:
    """A docstring as running text, indented lines as code; names and stars stay what they are."""
    return re.sub(r"(?<![`\w])\*(?!\*)", r"\\*", docstring or "").replace("<", "&lt;")


def option_table(options: list[FieldDoc]) -> str:
    """Options as a table."""
    if not options:
        return "No options.\n"
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for option in options:
        default = "required" if option.required else f"`{short(option.default)}`"
        cells = [f"`{option.name}`", option.type, default, option.sentence]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def short(default: object) -> str:
    """A default in flow style; long ones by their kind."""
    text = yaml.safe_dump(default, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    return text if len(text) <= 60 else "see below"


def laws_table(kind: str) -> str:
    """Name, statement and remedy of each law."""
    rows = ["| law | says | how to meet it |", "|---|---|---|"]
    rows += [f"| `{law.name}` | {law.statement} | {law.remedy} |" for law in laws_of(kind)]
    return "\n".join(rows) + "\n"


def article(kind: str) -> str:
    """`an encoder`, `a decoder`."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


if __name__ == "__main__":
    sys.exit(main())
