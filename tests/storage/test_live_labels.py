from __future__ import annotations

import os
from pathlib import Path

from storage.live_labels import FILE_BYTES, LiveLabel, LiveLabels


def test_labels_of_all_processes_are_read_in_the_order_they_came(tmp_path: Path) -> None:
    one, other = LiveLabels(tmp_path / "live"), LiveLabels(tmp_path / "live")
    assert one.read("demo") == []
    made = [LiveLabel("1", 0.0, 0.75, True), LiveLabel("1", 2.5), LiveLabel("2", 1.0, 0.5)]
    one.add("demo", made[:1])
    other.add("demo", made[1:])
    one.add("another", [LiveLabel("9", 0.0)])
    assert one.read("demo") == other.read("demo") == made
    assert one.read("demo") is one.read("demo")
    assert LiveLabels(tmp_path / "live").read("demo") == made


def test_the_files_stay_bounded_and_hold_the_newest(tmp_path: Path) -> None:
    labels = LiveLabels(tmp_path)
    made = [LiveLabel("1", float(number), 0.123456789, True) for number in range(20_000)]
    for start in range(0, len(made), 500):
        labels.add("demo", made[start : start + 500])
    kept = labels.read("demo")
    assert len(kept) > 3_000
    assert kept == made[-len(kept) :]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * FILE_BYTES


def test_a_line_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    labels = LiveLabels(tmp_path)
    labels.add("demo", [LiveLabel("1", 0.0), LiveLabel("1", 1.0)])
    (path,) = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - 3)
    assert labels.read("demo") == [LiveLabel("1", 0.0)]
    labels.add("demo", [LiveLabel("1", 2.0), LiveLabel("1", 3.0)])
    assert labels.read("demo") == [LiveLabel("1", 0.0), LiveLabel("1", 3.0)]


def test_a_folder_that_cannot_be_written_costs_the_figure_alone(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("a file is in the way")
    labels = LiveLabels(tmp_path / "live")
    labels.add("demo", [LiveLabel("1", 0.0)])
    assert labels.read("demo") == []
