"""CSV files that are written row by row and continued after a kill."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from crystalfw.core.errors import DataError
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows

File = TypeVar("File", bound="ResumableCsv")
_MAX_FIELD = 64 * 1024 * 1024


def rows_with_ends(path: Path, start: int = 0) -> Iterator[tuple[list[str], int, bool]]:
    """The header and the rows of a CSV, each with the byte where it ends and whether its line ends there; from byte `start` on,
    which must be the end of a row.

    A line break between quotation marks ends no row: a kill can cut a field of several lines behind one of them.
    """
    consumed, quotes, ended = start, 0, True

    def lines(file: IO[bytes]) -> Iterator[str]:
        nonlocal consumed, quotes, ended
        for raw in bounded_lines(file, path):
            consumed += len(raw)
            quotes += raw.count(b'"')
            ended = raw.endswith(b"\n") and quotes % 2 == 0
            yield raw.decode("utf-8", errors="replace")

    csv.field_size_limit(_MAX_FIELD)
    with open(path, "rb") as file:
        file.seek(start)
        for fields in csv_rows(lines(file), path):
            yield fields, consumed, ended


class ResumableCsv:
    """Context manager. Each row is handed to the operating system at once: a kill loses at most the row being written.

    With `resume`, the complete rows of the file are passed to `seen` and a torn last row is cut off; otherwise the file is
    started with its header. Raises DataError for a file with other columns.
    """

    def __init__(
        self, path: str | Path, columns: Sequence[str], *, resume: bool = True,
        seen: Callable[[list[str]], None] = lambda fields: None,
    ) -> None:  # fmt: skip
        self.path, self.columns = Path(path), tuple(columns)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume and self._begun():
            self._recover(seen)
        else:
            with open(self.path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(self.columns)
        self._file: IO[str] = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115 - closed by close()

    def _begun(self) -> bool:
        """False if the file does not exist or has no complete first line."""
        if not self.path.exists():
            return False
        header = (",".join(self.columns) + "\n").encode()
        with open(self.path, "rb") as file:
            beginning = file.read(len(header))
        return beginning == header or not header.startswith(beginning)

    def _recover(self, seen: Callable[[list[str]], None]) -> None:
        rows = rows_with_ends(self.path)
        header, whole, ended = next(rows, ([], 0, True))
        if tuple(header) != self.columns or not ended:
            raise DataError(f"{self.path}: the columns are not {', '.join(self.columns)}; choose another file with -o")
        for fields, end, ended in rows:
            if len(fields) != len(self.columns) or not ended:
                break
            seen(fields)
            whole = end
        os.truncate(self.path, whole)

    def write(self, rows: Iterable[Sequence[str]]) -> None:
        """Append rows."""
        csv.writer(self._file, lineterminator="\n").writerows(rows)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self: File) -> File:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class RowFile(ResumableCsv):
    """One row for every input, in order. `done` is the number of complete rows found in the file: skip as many inputs.

    Where rows are made in blocks of `block` and might differ in the last bits if a block was cut differently, `skip` (a
    multiple of it) inputs can be left out; the rows made again up to `done` are not written twice.

    The request that the rows answer is kept beside the file (`NAME.request.json`); the same file with another request is
    a DataError, so that tables never mix.
    """

    def __init__(self, path: str | Path, columns: Sequence[str], request: Mapping[str, Any], *, block: int = 1) -> None:
        self.path, self.columns, self.done = Path(path), tuple(columns), 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        record = self.path.with_name(self.path.name + ".request.json")
        text = json.dumps(dict(request), indent=2, sort_keys=True)
        if self._begun():
            self._check_request(record, text)
        else:
            record.write_text(text, encoding="utf-8")
        super().__init__(path, columns, seen=self._count)
        self.skip = self.done - self.done % block
        self._again = self.done - self.skip

    def _count(self, fields: list[str]) -> None:
        self.done += 1

    def _check_request(self, record: Path, text: str) -> None:
        try:
            before, now = json.loads(record.read_text(encoding="utf-8")), json.loads(text)
            if not isinstance(before, dict):
                raise ValueError("not a request")
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{self.path}: there is a file already that this command did not write; choose another") from error
        changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        if changed:
            raise DataError(
                f"{self.path}: made with another {', '.join(changed)}; choose another file with -o, or delete this one"
            )

    def append(self, rows: list[list[str]]) -> list[list[str]]:
        """Write the rows that are not in the file yet; yields the rows written."""
        known = min(self._again, len(rows))
        self._again -= known
        self.write(rows[known:])
        return rows[known:]
