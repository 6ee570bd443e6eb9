"""metrics.csv: a resumed log holds every step once; a torn last line does no harm."""

from crystalfw.core.model.logbook import Logbook, read_metrics


def write(path, steps, keep_until=None):
    log = Logbook(path, keep_until=keep_until, extra=("val_mae",))
    for step in steps:
        log.write({"step": step, "loss": 1.0 / step})
    log.close()


def test_resume_drops_rows_after_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.csv"
    write(path, [10, 20, 30])
    write(path, [30, 40], keep_until=20)
    metrics = read_metrics(path)
    assert metrics["step"] == [10, 20, 30, 40]
    assert metrics["loss"] == [1 / 10, 1 / 20, 1 / 30, 1 / 40]


def test_a_half_written_row_is_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    write(path, [10, 20])
    with path.open("a") as file:
        file.write("1")  # the beginning of "120": must not be read as step 1
    write(path, [30], keep_until=100)
    assert read_metrics(path)["step"] == [10, 20, 30]


def test_a_new_fit_starts_an_empty_log(tmp_path):
    path = tmp_path / "metrics.csv"
    write(path, [10, 20])
    write(path, [5])
    assert read_metrics(path)["step"] == [5]


def test_a_column_stands_there_once(tmp_path):
    Logbook(tmp_path / "metrics.csv", extra=("val_loss", "val_mae")).close()
    header = (tmp_path / "metrics.csv").read_text().strip().split(",")
    assert len(header) == len(set(header))
    assert header[-1] == "val_mae"
