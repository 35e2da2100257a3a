"""`perennial predict`: the champion's answers for a whole file, or nothing at all."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operate.predict_score import _at_once, read_number
from storage import portions
from storage.pointers import Pointer, move_pointer
from tests.commands import Perennial, document, told
from tests.factories import START
from tests.factories_bundles import write_classifier, write_version

SUFFIXES = ("csv", "csv.gz", "parquet")


@pytest.fixture
def champion(perennial: Perennial, home: Path) -> Perennial:
    """A home whose champion is 1 where age / 10 + code of plan (basic, 1, true) exceeds 0."""
    publish(home, write_classifier(home / "store", problem="small", version="7"), "7")
    return perennial


def publish(home: Path, bundle: str, version: str) -> None:
    move_pointer(home / "store", Pointer("small", 1, version, bundle, START))


def rows(n: int = 5) -> pd.DataFrame:
    """Ages around 0 and plans in turn, with columns that no model knows."""
    plans = ["basic", "1", "true", "gold", None]
    return pd.DataFrame(
        {
            "customer": [f"c{row}" for row in range(n)],
            "age": [row - 2.0 for row in range(n)],
            "plan": [plans[row % 5] for row in range(n)],
            "note": ["=1+1"] * n,
        }
    )


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.name.endswith("parquet"):
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def by_hand(frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Logistic function of age / 10 + code, with -1 for an unseen or missing plan."""
    codes = frame["plan"].map({"basic": 0, "1": 1, "true": 2}).fillna(-1)
    return np.asarray(1 / (1 + np.exp(-(frame["age"] / 10 + codes))))


@pytest.mark.parametrize("into", SUFFIXES)
@pytest.mark.parametrize("out_of", SUFFIXES)
def test_every_kind_of_file_gives_the_answers_computed_by_hand(
    champion: Perennial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out_of: str, into: str
) -> None:
    monkeypatch.setattr(portions, "PORTION_ROWS", 2)
    source, target = write(rows(), tmp_path / f"in.{out_of}"), tmp_path / f"out.{into}"
    done = document(champion("predict", source, target, "--json"))
    assert (done["rows"], done["predicted"], done["skipped"]) == (5, 5, 0)
    assert (done["problem"], done["version"], done["errors"]) == ("small", "7", [])
    found = read(target)
    expected = by_hand(rows())
    assert found["probability"].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert found["prediction"].tolist() == (expected >= 0.5).astype(int).tolist()
    bands = ["low" if p < 0.3 else "medium" if p < 0.7 else "high" for p in expected]
    assert found["risk_level"].tolist() == bands
    cost = np.minimum(expected * 10, 1 - expected)
    assert found["expected_cost"].to_numpy() == pytest.approx(cost, abs=1e-5)
    assert found["customer"].tolist() == rows()["customer"].tolist()
    assert set(found["model_version"].astype(str)) == {"7"}
    neutralised = "=1+1" if into == "parquet" else "'=1+1"
    assert set(found["note"]) == {neutralised}


def test_portions_of_any_size_give_the_same_file(
    champion: Perennial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, contents = write(rows(57), tmp_path / "in.csv"), set()
    for size in (1, 7, 10_000):
        monkeypatch.setattr(portions, "PORTION_ROWS", size)
        assert champion("predict", source, tmp_path / "out.csv").exit_code == 0
        contents.add((tmp_path / "out.csv").read_bytes())
    assert len(contents) == 1


BAD = 'customer,age,plan\na,1,basic\nb,old,basic\nc,2\nd,1e400,basic\ne," NA ",TRUE\nf,-3,1.0\n'


def test_bad_rows_refuse_the_file_by_index_and_leave_the_old_one(
    champion: Perennial, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(BAD)
    target = tmp_path / "out.csv"
    target.write_text("old")
    line = told(champion("predict", tmp_path / "in.csv", target))
    assert "row 2: feature 'age': found no number" in line
    assert "row 3: found 2 fields; expected 3" in line
    assert "row 4: feature 'age': found a number beyond float32" in line
    assert "--on-error skip" in line
    assert (target.read_text(), len(list(tmp_path.glob("*out*")))) == ("old", 1)


def test_bad_rows_may_be_left_out_and_are_listed(champion: Perennial, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(BAD)
    target = tmp_path / "out.csv"
    done = document(
        champion("predict", tmp_path / "in.csv", target, "--on-error", "skip", "--json")
    )
    assert (done["rows"], done["predicted"], done["skipped"]) == (6, 3, 3)
    assert [(error["row"], error["code"]) for error in done["errors"]] == [
        (2, "invalid_value"),
        (3, "wrong_length"),
        (4, "invalid_value"),
    ]
    found = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["customer"] for row in found] == ["a", "e", "f"]
    # Spelt as in a column of truths, or of numbers: TRUE is true, 1.0 is 1; -3 stays a number.
    chances = [float(row["probability"]) for row in found]
    scores = [0.1, 2.0, -0.3 + 1.0]
    assert chances == pytest.approx([1 / (1 + np.exp(-score)) for score in scores], abs=1e-6)
    assert found[2]["age"] == "-3"


def test_text_of_a_person_shows_what_was_left_out(champion: Perennial, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(BAD)
    shown = champion("predict", tmp_path / "in.csv", tmp_path / "o.csv", "--on-error", "skip")
    assert "3 rows scored by version 7 of small" in shown.stdout
    assert "row 3: found 2 fields; expected 3" in shown.stdout


WRONG = {
    "the file is empty": b"",
    "found no rows": b"age,plan\n",
    "column 'plan' is missing; the nearest column is 'plans'": b"age,plans\n1,basic\n",
    "column 'age' is missing (and 1 more)": b"x,y\n1,2\n",
    "the column 'prediction' stands there already": b"age,plan,prediction\n1,basic,0\n",
    "the column 'age' stands twice": b"age,plan,age\n1,basic,1\n",
    "found UTF-16 text": "age,plan\n1,basic\n".encode("utf-16"),
    "found what is not UTF-8": "age,plan\n1,größe\n".encode("latin-1"),
    "found a NUL byte": b"age,plan\n1,\0\n",
    "found gzip data": gzip.compress(b"age,plan\n1,basic\n", mtime=0),
    "behind line 1: unexpected end of data": b'age,plan\n1,"basic\n',
    "each of the 2 rows is bad": b"age,plan\nx,basic\ny,basic\n",
}


@pytest.mark.parametrize("reason", list(WRONG))
def test_a_file_that_is_no_table_of_the_problem_is_told_in_one_line(
    champion: Perennial, tmp_path: Path, reason: str
) -> None:
    (tmp_path / "in.csv").write_bytes(WRONG[reason])
    line = told(
        champion("predict", tmp_path / "in.csv", tmp_path / "out.csv", "--on-error", "skip")
    )
    assert reason in line
    assert list(tmp_path.glob("*out*")) == []


def test_damaged_archives_and_parquet_are_told(champion: Perennial, tmp_path: Path) -> None:
    content = gzip.compress(b"age,plan\n" + b"1,basic\n" * 500, mtime=0)
    (tmp_path / "cut.csv.gz").write_bytes(content[:-12])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    for name, reason in {
        "cut.csv.gz": "gzip data is damaged",
        "cut.parquet": "no readable",
    }.items():
        assert reason in told(champion("predict", tmp_path / name, tmp_path / "out.csv"))
    for names in (("in.xlsx", "out.csv"), ("cut.csv.gz", "out.xlsx")):
        paths = [tmp_path / name for name in names]
        assert "expected a name ending in .csv" in told(champion("predict", *paths))
    assert "found no such file" in told(
        champion("predict", tmp_path / "no.csv", tmp_path / "o.csv")
    )
    same = write(rows(), tmp_path / "same.csv")
    assert "is the file that is read" in told(champion("predict", same, same))


def test_a_line_without_an_end_does_not_fill_the_memory(
    champion: Perennial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "LONGEST_LINE", 1_000)
    (tmp_path / "in.csv").write_text("age,plan\n1," + "b" * 2_000 + "\n")
    assert "line 2 is longer" in told(champion("predict", tmp_path / "in.csv", tmp_path / "o.csv"))


def test_without_a_champion_it_is_refused(perennial: Perennial, tmp_path: Path) -> None:
    source = write(rows(), tmp_path / "in.csv")
    result = perennial("predict", source, tmp_path / "out.csv")
    assert (result.exit_code, "nothing was promoted yet" in result.stderr) == (1, True)
    wrong = perennial("predict", source, tmp_path / "out.csv", "--problem", "smal")
    assert "did you mean 'small'?" in told(wrong)


def test_it_needs_no_database_and_writes_none(champion: Perennial, home: Path) -> None:
    (home / "perennial.db").write_bytes(b"not a database")
    assert champion("predict", write(rows(), home / "in.csv"), home / "out.csv").exit_code == 0
    assert (home / "perennial.db").read_bytes() == b"not a database"


def test_a_regression_gives_a_number(perennial: Perennial, home: Path, tmp_path: Path) -> None:
    publish(home, write_version(home / "store", 3, problem="small"), "3")
    source = write(pd.DataFrame({"x": [1.0, None]}), tmp_path / "in.parquet")
    assert perennial("predict", source, tmp_path / "out.parquet").exit_code == 0
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["x", "prediction", "model_version"]
    assert table["prediction"].to_pylist() == [3.0, 3.0]


def test_nested_columns_pass_from_parquet_to_parquet(champion: Perennial, tmp_path: Path) -> None:
    table = pa.table({"age": [1, 2], "plan": ["basic", "1"], "tags": [["a"], None]})
    pq.write_table(table, tmp_path / "in.parquet")
    assert champion("predict", tmp_path / "in.parquet", tmp_path / "out.parquet").exit_code == 0
    assert pq.read_table(tmp_path / "out.parquet")["tags"].to_pylist() == [["a"], None]


def test_an_answer_that_is_not_finite_is_a_bad_row(
    champion: Perennial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_is_nan(_model: Any, matrix: Any) -> Any:
        output = np.full((len(matrix), 2), 0.5, dtype=np.float32)
        output[0] = np.nan
        return output

    monkeypatch.setattr("operate.predict_score.score", first_is_nan)
    source = write(rows(), tmp_path / "in.csv")
    assert "row 1: the model gave no finite answer" in told(
        champion("predict", source, tmp_path / "out.csv")
    )


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1", 1.0), (" -2.5e1 ", -25.0), ("true", 1.0), ("FALSE", 0.0), (True, 1.0), (7, 7.0),
     ("inf", np.inf), (10**400, np.inf), ("", np.nan), ("N/A", np.nan), (None, np.nan)],
)  # fmt: skip
def test_cells_are_read_as_ingest_reads_them(cell: Any, number: float) -> None:
    assert read_number(cell) == pytest.approx(number, nan_ok=True)


@pytest.mark.parametrize("cell", ["one", "1_000", "0x1F", "1,5", "١", [1], START])
def test_what_is_no_number_is_none(cell: Any) -> None:
    assert read_number(cell) is None


@pytest.mark.parametrize(
    "cell",
    ["1", "-2.5e1", " 7", "1e400", "inf", "nan", "NA", "", "1_000", "0x1F", "1,5", "one", "1e-320",
     "0.1234567890123456789", "9007199254740993", "007", None, True, 2**60 + 1, 0.1],
)  # fmt: skip
def test_a_column_at_once_is_read_as_cell_by_cell(cell: Any) -> None:
    numbers = _at_once([cell, None])
    if numbers is not None:
        assert numbers[0] == pytest.approx(read_number(cell), rel=0, abs=0, nan_ok=True)
