"""A CSV that is written row by row, in the order of the input, and taken up again where a kill left it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from crystalfw.core.errors import DataError
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows

_MAX_FIELD = 64 * 1024 * 1024


class RowFile:
    """Context manager. `done` is the number of whole rows that were there already: skip so many inputs.

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
        if self._has_header():
            self._check_request(record, text)
            self._recover()
        else:
            record.write_text(text, encoding="utf-8")
            with open(self.path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(self.columns)
        self.skip = self.done - self.done % block
        self._again = self.done - self.skip
        self._file: IO[str] = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115 - closed by __exit__

    def _has_header(self) -> bool:
        """False where there is no file, or a kill came before its first line was whole."""
        if not self.path.exists():
            return False
        header = (",".join(self.columns) + "\n").encode()
        with open(self.path, "rb") as file:
            beginning = file.read(len(header))
        return beginning == header or not header.startswith(beginning)

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

    def _recover(self) -> None:
        """Count whole rows and cut off a torn last one."""
        csv.field_size_limit(_MAX_FIELD)
        consumed = 0
        ended = True

        def lines(file: IO[bytes]) -> Any:
            nonlocal consumed, ended
            for raw in bounded_lines(file, self.path):
                consumed += len(raw)
                ended = raw.endswith(b"\n")
                yield raw.decode("utf-8", errors="replace")

        with open(self.path, "rb") as file:
            reader = csv_rows(lines(file), self.path)
            if tuple(next(reader, ())) != self.columns or not ended:
                raise DataError(f"{self.path}: the columns are not {', '.join(self.columns)}; choose another file with -o")
            whole = consumed
            for fields in reader:
                if len(fields) != len(self.columns) or not ended:
                    break
                self.done, whole = self.done + 1, consumed
        os.truncate(self.path, whole)

    def append(self, rows: list[list[str]]) -> list[list[str]]:
        """Write rows and hand them to the operating system, without those that were there already; the rows written."""
        known = min(self._again, len(rows))
        self._again -= known
        rows = rows[known:]
        csv.writer(self._file, lineterminator="\n").writerows(rows)
        self._file.flush()
        return rows

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
