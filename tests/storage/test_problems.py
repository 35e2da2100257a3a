"""Problem files: found by name, refused with the place and the nearest key, written in full."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from learning.problem import Feature, GateRules, Generator, Problem, Section
from settings import Settings
from storage.problems import (
    SHIPPED,
    ProblemError,
    list_problems,
    load_problem,
    problem_folders,
    read_problem,
    write_problem,
)

ROOT = Path(__file__).resolve().parents[2]


def load(folder: Path, text: str, name: str = "churn") -> Problem:
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_problem(name, [folder])


def test_the_shipped_problems_are_complete() -> None:
    assert list_problems([SHIPPED]) == ("churn", "credit", "linear", "maintenance")
    for name in list_problems([SHIPPED]):
        problem = load_problem(name, [SHIPPED])
        assert problem.name == name
        assert problem.task == "binary"
        assert problem.features
        assert problem.key
        assert problem.event_time == "event_time"
        assert problem.sources == ("generator", "inbox", "feedback")
        assert problem.generator is not None
        assert problem.generator.name == name


def test_the_users_folder_is_searched_before_the_shipped_one(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "linear.yaml").write_text("target: mine")
    folders = problem_folders(settings.model_copy(update={"problems": tmp_path}))

    assert problem_folders(settings) == (SHIPPED,)
    assert load_problem("linear", folders).target == "mine"
    assert load_problem("churn", folders).target == "churn"


def test_a_folder_that_is_not_there_holds_no_problem(tmp_path: Path) -> None:
    assert list_problems([tmp_path / "gone"]) == ()


def test_the_name_is_that_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "target: y").name == "churn"
    with pytest.raises(ProblemError, match=r"churn.yaml: name: found 'other'; expected 'churn'"):
        load(tmp_path, "target: y\nname: other")


def test_an_unknown_problem_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(
        ProblemError, match=r"did you mean 'churn'.*churn, credit, linear, maintenance"
    ):
        load_problem("chrun", [SHIPPED])


@pytest.mark.parametrize("name", ["../churn", "/etc/passwd", "", "churn.yaml"])
def test_a_name_cannot_reach_outside_of_the_folders(name: str) -> None:
    with pytest.raises(ProblemError, match="found no problem"):
        load_problem(name, [SHIPPED])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "target: y\ndrift:\n  alhpa: 1",
            "churn.yaml: drift: unknown key 'alhpa'; did you mean 'alpha'?",
        ),
        ("target: y\nfeatures:\n- nmae: x", "churn.yaml: features.0: unknown key 'nmae'"),
        ("tarhet: y", "churn.yaml: unknown key 'tarhet'; did you mean 'target'?"),
        ("name: churn", "churn.yaml: target: missing"),
        ("target: y\ndrift: {alpha: x}", "churn.yaml: drift.alpha: found 'x'; input should be"),
        ("target: y\ndrift: {share: 3}", "drift.share: found 3; input should be less than"),
        ("target: y\ntask: sorting", "task: found 'sorting'; input should be 'auto', 'binary'"),
        ("target: y\nlabel_delay: soon", "label_delay: found 'soon'; expected a number of rows"),
        ("target: y\ntarget: z", "line 2: the key 'target' stands twice (also on line 1)"),
        ("target: y\ndrift:\n  share: 1\n  share: 0", "line 4: the key 'share' stands twice"),
        ("target: [y", "churn.yaml: line 1, column 11: not valid YAML"),
        ("target: y\n\tx: 1", "churn.yaml: line 2, column 1: not valid YAML"),
        ("target: !!python/object:os.system x", "not valid YAML"),
        ("target: *nobody", "not valid YAML"),
        ("", "churn.yaml: found no keys"),
        ("- target", "churn.yaml: found no keys"),
        ("target: y\x07", "churn.yaml: not valid YAML"),
        ("target: !!int x", "churn.yaml: not valid YAML"),
        ("target: !!timestamp x", "churn.yaml: not valid YAML"),
        ("target: y\n---\ntarget: z", "churn.yaml: line 2"),
        ("target: " + "[" * 5_000, "churn.yaml: not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_was_found(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "churn.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match=r"churn.yaml: cannot be read"):
        load_problem("churn", [tmp_path])


def test_only_true_and_false_are_truths_and_codes_stay_text(tmp_path: Path) -> None:
    problem = load(
        tmp_path,
        "target: y\nclasses: [no, yes]\nfeatures:\n"
        "- {name: f, kind: categorical, categories: [on, 010, 12:30, 2024-01-31, true, 7, 1.0]}",
    )

    assert problem.classes == ("no", "yes")
    assert problem.features[0].categories == ("on", "010", "12:30", "2024-01-31", "true", "7", "1")


@pytest.mark.parametrize("text", ["0.0001", "1e-4", "1.0e-4"])
def test_numbers_are_read_in_any_spelling(tmp_path: Path, text: str) -> None:
    problem = load(tmp_path, f"target: y\ngate: {{max_parity_difference: {text}}}")

    assert problem.gate.max_parity_difference == 0.0001


def test_a_written_problem_reads_back_equal(tmp_path: Path) -> None:
    problem = Problem(
        name="odd",
        description="two lines:\n\n\nand a # sign",
        target="what: happened",
        classes=("no", "yes"),
        drop=("a b", "12"),
        features=(
            Feature(name="é", group="g", minimum=-1.5),
            Feature(name="f", kind="categorical", categories=("1", "null", "~", "a\nb", "12:30")),
        ),
        gate=GateRules(floors={"roc_auc": 0.7}),
        generator=Generator(name="churn"),
    )

    path = write_problem(problem, tmp_path / "new")

    assert path == tmp_path / "new" / "odd.yaml"
    assert load_problem("odd", [tmp_path / "new"]) == problem
    assert [file.name for file in path.parent.iterdir()] == ["odd.yaml"]


@pytest.mark.parametrize("name", ["linear", "maintenance", "churn", "credit"])
def test_the_shipped_problems_survive_writing(tmp_path: Path, name: str) -> None:
    problem = load_problem(name, [SHIPPED])
    write_problem(problem, tmp_path)

    assert load_problem(name, [tmp_path]) == problem


def test_a_written_problem_spells_out_every_key(tmp_path: Path) -> None:
    path = write_problem(
        Problem(name="full", target="y", generator=Generator(name="linear")), tmp_path
    )
    written = yaml.safe_load(path.read_text())

    def assert_complete(section: type[Section], data: dict[str, Any]) -> None:
        assert set(data) == set(section.model_fields), section.__name__

    assert_complete(Problem, written)
    for key in ("windows", "drift", "performance", "retrain", "search", "gate", "generator"):
        kind = Problem.model_fields[key].annotation
        assert_complete(kind if isinstance(kind, type) else Generator, written[key])
    assert "# labelled rows before a first champion" in path.read_text()


def test_a_problem_without_a_name_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="without a name"):
        write_problem(Problem(target="y"), tmp_path)


def test_the_reference_page_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_problem_reference.py"))["reference"]()

    assert (ROOT / "docs" / "problem-file.md").read_text(encoding="utf-8") == page, (
        "run: python docs/make_problem_reference.py"
    )


def test_sources_outside_are_written_one_a_line_and_read_back(tmp_path: Path) -> None:
    sql = {"kind": "sql", "url_env": "ORDERS", "query": "SELECT ':x' AS id", "cursor": "id"}
    files = {"kind": "files", "url": "a: b/*.csv", "name": "old"}
    problem = Problem.model_validate({"name": "p", "target": "y", "sources": ["inbox", sql, files]})
    path = write_problem(problem, tmp_path)
    assert read_problem(path) == problem
    lines = path.read_text().splitlines()
    assert "  - inbox" in lines
    assert any(line.startswith("  - {kind: sql, name: sql, url_env: ORDERS") for line in lines)
