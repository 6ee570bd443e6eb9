"""Tables that a kill may cut anywhere: what is whole is kept, what is torn is written again."""

from __future__ import annotations

import pytest

from crystalfw.core.errors import DataError
from crystalfw.core.system.resumable_csv import ResumableCsv, RowFile, rows_with_ends

ROWS = [["a", "1"], ["b", "two\nlines, and a comma"], ["c", "3"]]


def written(path):
    with ResumableCsv(path, ("id", "value")) as out:
        out.write(ROWS)
    return path.read_bytes()


def test_cut_at_any_byte_and_taken_up_gives_the_same_file(tmp_path):
    whole = written(tmp_path / "whole.csv")
    for cut in range(len(whole)):
        path = tmp_path / "cut.csv"
        path.write_bytes(whole[:cut])
        seen: list[list[str]] = []
        with ResumableCsv(path, ("id", "value"), seen=seen.append) as out:
            assert seen == ROWS[: len(seen)]
            out.write(ROWS[len(seen) :])
        assert path.read_bytes() == whole


def test_begun_from_its_header_without_resume(tmp_path):
    written(tmp_path / "x.csv")
    ResumableCsv(tmp_path / "x.csv", ("id", "value"), resume=False).close()
    assert (tmp_path / "x.csv").read_bytes() == b"id,value\n"


def test_other_columns_are_refused(tmp_path):
    whole = written(tmp_path / "x.csv")
    with pytest.raises(DataError, match="the columns are not id, other"):
        ResumableCsv(tmp_path / "x.csv", ("id", "other"))
    assert (tmp_path / "x.csv").read_bytes() == whole


def test_ends_are_those_of_the_rows(tmp_path):
    whole = written(tmp_path / "x.csv")
    ends = [end for _, end, _ in rows_with_ends(tmp_path / "x.csv")]
    assert ends[0] == len("id,value\n")
    assert ends[-1] == len(whole)


def test_rows_of_a_block_that_is_made_again_are_not_written_twice(tmp_path):
    with RowFile(tmp_path / "x.csv", ("id", "value"), {"n": 3}, block=2) as out:
        out.append(ROWS)
    with RowFile(tmp_path / "x.csv", ("id", "value"), {"n": 3}, block=2) as out:
        assert (out.done, out.skip) == (3, 2)
        assert out.append([ROWS[2], ["d", "4"]]) == [["d", "4"]]
    assert [fields[0] for fields, _, _ in rows_with_ends(tmp_path / "x.csv")] == ["id", "a", "b", "c", "d"]
