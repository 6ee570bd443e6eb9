"""Block: some prepared crystals as flat arrays, and its file. Workers write blocks; the store is assembled from them.

Shapes: n crystals, A atoms of all of them, T tokens, E edges, C bytes of ids.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.records import Rejected
from crystalfw.core.system.files import write_atomically

PARTS = ("train", "val", "test")

Layout = tuple[str, tuple[int, ...]]
"""dtype and shape of one entry of a field."""

PER_CRYSTAL: dict[str, Layout] = {"lattice": ("<f8", (3, 3)), "row": ("<i8", ())}
"""Fields with one entry per crystal: dtype, shape. `row` counts the source's items from 0."""
RAGGED: dict[str, dict[str, Layout]] = {
    "atoms": {"numbers": ("|u1", ()), "frac": ("<f8", (3,))},
    "tokens": {"tokens": ("<u2", ())},
    "edges": {"edge_source": ("<u2", ()), "edge_target": ("<u2", ()), "edge_shift": ("|i1", (3,))},
    "ids": {"id_bytes": ("|u1", ())},
}
"""Fields with a varying number of entries per crystal, by what they count."""


@dataclass(frozen=True)
class Neighbours:
    """Periodic neighbour pairs of one crystal: see crystalfw.core.batch.Edges."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    shift: NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """n crystals, each with the part it belongs to; and the rows that were rejected."""

    part: NDArray[np.uint8]
    """(n,) index into PARTS."""
    counts: Mapping[str, NDArray[np.int64]]
    """(n,) entries per crystal of atoms, tokens, edges, ids."""
    fields: Mapping[str, NDArray[np.generic]]
    """The flat arrays named in PER_CRYSTAL and RAGGED."""
    columns: Mapping[str, NDArray[np.float64]]
    """(n,) per property, NaN where missing."""
    arrays: Mapping[str, NDArray[np.float32]]
    """(n, ...) per named array."""
    rejected: Sequence[Rejected] = ()
    records: int = 0
    """Source items that went in: crystals and rejected."""

    def crystals(self) -> Iterator[Crystal]:
        """The crystals one by one, in order."""
        ends = {group: np.cumsum(counts) for group, counts in self.counts.items()}
        for k in range(len(self.part)):
            atoms, ids = (slice(ends[group][k] - self.counts[group][k], ends[group][k]) for group in ("atoms", "ids"))
            yield Crystal(
                lattice=self.fields["lattice"][k].astype(np.float64),
                frac_coords=self.fields["frac"][atoms].astype(np.float64),
                numbers=self.fields["numbers"][atoms].astype(np.int64),
                id=self.fields["id_bytes"][ids].tobytes().decode(),
                properties={name: float(column[k]) for name, column in self.columns.items()},
                arrays={name: array[k] for name, array in self.arrays.items()},
            )


def make_block(
    crystals: Sequence[Crystal], parts: Sequence[int], rows: Sequence[int], tokens: Sequence[Sequence[int]],
    neighbours: Sequence[Neighbours], rejected: Sequence[Rejected], records: int,
) -> Block:  # fmt: skip
    """Collect crystals and what was computed from them in flat arrays; `tokens` and `neighbours` may be empty."""
    ids = [crystal.id.encode() for crystal in crystals]
    edges = neighbours or [Neighbours(*(np.zeros((0, *shape), dtype=np.int64) for shape in ((), (), (3,))))] * len(crystals)
    strings = tokens or [()] * len(crystals)
    flat = {
        "lattice": [crystal.lattice for crystal in crystals],
        "row": list(rows),
        "numbers": np.concatenate([np.zeros(0, np.int64), *(crystal.numbers for crystal in crystals)]),
        "frac": np.concatenate([np.zeros((0, 3)), *(crystal.frac_coords for crystal in crystals)]),
        "tokens": [token for string in strings for token in string],
        "edge_source": np.concatenate([np.zeros(0, np.int64), *(item.source for item in edges)]),
        "edge_target": np.concatenate([np.zeros(0, np.int64), *(item.target for item in edges)]),
        "edge_shift": np.concatenate([np.zeros((0, 3), np.int64), *(item.shift for item in edges)]),
        "id_bytes": np.frombuffer(b"".join(ids), dtype=np.uint8),
    }
    counted = {
        "atoms": [crystal.n_atoms for crystal in crystals],
        "tokens": [len(string) for string in strings],
        "edges": [len(item.source) for item in edges],
        "ids": [len(item) for item in ids],
    }
    names = sorted({name for crystal in crystals for name in crystal.properties})
    nan = float("nan")
    columns = {name: np.array([c.properties.get(name, nan) for c in crystals], dtype=np.float64) for name in names}
    layout = {**PER_CRYSTAL, **{name: spec for group in RAGGED.values() for name, spec in group.items()}}
    return Block(
        part=np.array(parts, dtype=np.uint8),
        counts={name: np.array(values, dtype=np.int64) for name, values in counted.items()},
        fields={name: _fit(name, flat[name], *spec) for name, spec in layout.items()},
        columns=columns,
        arrays=_stack_arrays(crystals),
        rejected=tuple(rejected),
        records=records,
    )


def _fit(name: str, values: object, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    wide = np.asarray(values, dtype=np.float64 if dtype[1] == "f" else np.int64).reshape(-1, *shape)
    narrow = wide.astype(dtype)
    assert dtype[1] == "f" or np.array_equal(narrow, wide), f"{name} does not fit into {dtype}"
    return narrow


def _stack_arrays(crystals: Sequence[Crystal]) -> dict[str, NDArray[np.float32]]:
    names = sorted({name for crystal in crystals for name in crystal.arrays})
    return {name: np.stack([np.asarray(c.arrays[name], dtype=np.float32) for c in crystals]) for name in names}


def save_block(block: Block, path: Path) -> None:
    """Write a block atomically; the zip format's checksums guard every array."""
    meta = {
        "columns": list(block.columns),
        "arrays": list(block.arrays),
        "rejected": [[item.file, item.row, item.id, item.reason] for item in block.rejected],
        "records": block.records,
    }
    content: dict[str, NDArray[Any]] = {"part": block.part, "meta": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)}
    content |= {f"count:{name}": values for name, values in block.counts.items()}
    content |= {f"field:{name}": values for name, values in block.fields.items()}
    content |= {f"column:{k}": values for k, values in enumerate(block.columns.values())}
    content |= {f"array:{k}": values for k, values in enumerate(block.arrays.values())}
    buffer = io.BytesIO()
    np.savez(buffer, **content)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def load_block(path: Path) -> Block | None:
    """Read a block; None if the file is missing, truncated or damaged."""
    try:
        # opened here, because np.load does not close a file that is no complete zip
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
        meta = json.loads(content["meta"].tobytes())
        return Block(
            part=content["part"],
            counts={name: content[f"count:{name}"] for name in RAGGED},
            fields={name: content[f"field:{name}"] for name in _field_names()},
            columns={name: content[f"column:{k}"] for k, name in enumerate(meta["columns"])},
            arrays={name: content[f"array:{k}"] for k, name in enumerate(meta["arrays"])},
            rejected=tuple(Rejected(*item) for item in meta["rejected"]),
            records=meta["records"],
        )
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile):
        # RuntimeError: a flipped bit can mark a member as encrypted or as packed by an unknown method
        return None


def _field_names() -> list[str]:
    return [*PER_CRYSTAL, *(name for group in RAGGED.values() for name in group)]
