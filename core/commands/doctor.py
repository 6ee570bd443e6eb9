"""Versions, devices, plugins, extras, and a quick self-test: what to send along with a question.

Exit code 1 when the self-test fails or a plugin does not load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from crystalfw.core.commands.parser import add_json
from crystalfw.core.discovery import registry
from crystalfw.core.recipe.options import create
from crystalfw.core.system.user_cache import size_of, user_cache

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_LIBRARIES = (
    "torch", "lightning-fabric", "e3nn", "torch-geometric", "pymatgen", "spglib", "vesin", "numba", "smact", "numpy", "scipy",
    "pandas", "pluggy", "pyyaml", "entrypoints", "safetensors", "matplotlib",
)  # fmt: skip
_EXTRAS = {
    "ase": "ase",
    "parquet": "pyarrow",
    "relax": "chgnet",
    "sevennet": "sevenn",
    "dask": "distributed",
    "tensorboard": "tensorboard",
    "completion": "shtab",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw doctor`."""
    add_json(parser, "facts {label: text}, not_loaded {distribution: cause}, checks {name: {passed, outcome, seconds}}")


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 when something that must work does not."""
    show = _nothing if args.json else _line
    known = dict(_shown(facts(), show))
    failures = {str(origin): cause for origin, cause in registry().failures.items()}
    for origin, cause in failures.items():
        show("not loaded", f"{origin}: {cause}")
    checks = {name: _checked(name, check, show) for name, check in _CHECKS.items()}
    if args.json:
        print(json.dumps({"facts": known, "not_loaded": failures, "checks": checks}, indent=2))
    return 0 if all(check["passed"] for check in checks.values()) and not failures else 1


def _line(label: str, value: str) -> None:
    print(f"{label:<18} {value}", flush=True)


def _nothing(label: str, value: str) -> None:
    """With --json the findings are printed together."""


def _shown(pairs: Iterator[tuple[str, str]], show: Callable[[str, str], None]) -> Iterator[tuple[str, str]]:
    for label, value in pairs:
        show(label, value)
        yield label, value


def facts() -> Iterator[tuple[str, str]]:
    """Label and value of everything worth knowing about this installation."""
    yield "crystalfw", _version("crystalfw")
    yield "python", f"{platform.python_implementation()} {platform.python_version()}"
    yield "platform", platform.platform()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", f"{cores} usable of {os.cpu_count()}"
    yield "memory", _memory()
    for name in _LIBRARIES:
        yield name, _version(name)
    yield "devices", ", ".join(_devices())
    yield "precision", _precision()
    counts: dict[str, int] = {}
    for entry in registry().entries():
        counts[str(entry.origin)] = counts.get(str(entry.origin), 0) + 1
    yield "plugins", "; ".join(f"{origin}: {count} components" for origin, count in counts.items()) or "none"
    for extra, module in _EXTRAS.items():
        missing = f"missing; pip install 'crystalfw[{extra}]'"
        yield f"extra {extra}", f"{module} is installed" if find_spec(module) else missing


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    except (AttributeError, ValueError, OSError):  # Windows
        return "not known"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _precision() -> str:
    """What `fabric.precision: auto` takes on the first device."""
    import torch

    from crystalfw.core.model.precision import automatic

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return automatic(device)[1].removeprefix("precision: ")


def _devices() -> list[str]:
    import torch

    found = [f"cpu ({torch.get_num_threads()} threads)"]
    found += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return found


def _checked(name: str, check: Callable[[], str], show: Callable[[str, str], None]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        outcome, passed = check(), True
    except Exception as error:  # a self-test reports whatever goes wrong
        outcome, passed = f"FAILED: {type(error).__name__}: {error}", False
    seconds = round(time.perf_counter() - start, 3)
    show(name, f"{outcome} ({seconds:.1f} s)")
    return {"passed": passed, "outcome": outcome, "seconds": seconds}


def _check_cache() -> str:
    folder = user_cache()
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    with tempfile.TemporaryFile(dir=existing):
        pass
    free = f"{shutil.disk_usage(existing).free / 1e9:.0f} GB free"
    return f"{folder} is writable and holds {size_of(folder) / 1e6:,.0f} MB, {free}; to clear it, delete the folder"


def _check_requirements() -> str:
    """Every library that crystalfw names must be there, in a version within its bounds."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in requires("crystalfw") or ()]
    wanted = [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]
    wrong = [f"{item} (here: {_version(item.name)})" for item in wanted if not _fits(item)]
    assert not wrong, "; ".join(wrong)
    return f"{len(wanted)} libraries within their bounds"


def _fits(item: Requirement) -> bool:
    found = _version(item.name)
    # a local build such as 2.13.0+cpu counts as the version that it builds
    return found != "not installed" and item.specifier.contains(found, prereleases=True)


def _check_string() -> str:
    """Rock salt to a string and back must give a crystal of the same formula."""
    from crystalfw.core.crystal import Crystal

    half = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
    rows = [[0.0, 2.82, 2.82], [2.82, 0.0, 2.82], [2.82, 2.82, 0.0]]
    salt = Crystal(lattice=rows, frac_coords=half, numbers=[11, 17])  # type: ignore[arg-type]
    slices = create("representation", "slices")
    encoded = slices.encode([salt])[0]
    assert encoded.ok, encoded.reason
    decoded = slices.decode([encoded.string])[0]
    assert decoded.ok, decoded.reason
    assert decoded.crystal.formula == salt.formula
    return "NaCl -> string -> NaCl"


def _check_network() -> str:
    """One gradient of a tiny conditioned decoder must be finite."""
    import torch

    from crystalfw.core.interfaces import Ports
    from crystalfw.core.records import Vocabulary

    vocabulary = Vocabulary(tokens=("pad", "begin", "end", "a"))
    decoder = create("decoder", "gpt", {"n_layers": 1, "dim": 16}, encoder_dim=8, vocabulary=vocabulary)
    loss = decoder(torch.tensor([[1, 3, 3]]), Ports(None, None)).logsumexp(-1).sum()
    loss.backward()
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in decoder.parameters())
    return "one gradient of a small decoder is finite"


_CHECKS = {
    "requirements": _check_requirements,
    "cache": _check_cache,
    "self-test strings": _check_string,
    "self-test network": _check_network,
}
