"""What a problem file may say of its sources, and what each mistake is called."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from learning.problem import Problem
from learning.sources import DeltaSource, FilesSource, HttpSource, SqlSource

SQL = {"kind": "sql", "url_env": "ORDERS_URL", "query": "SELECT 1", "cursor": "id"}
HTTP = {"kind": "http", "url": "https://a.example/r", "hosts": ["A.example"], "cursor": "id"}


def problem(*sources: Any) -> Problem:
    return Problem.model_validate({"target": "y", "sources": list(sources)})


def test_words_and_mappings_stand_side_by_side() -> None:
    files = {"kind": "files", "url": "*.csv"}
    found = problem("inbox", files, SQL, HTTP, {"kind": "delta", "url": "t"})
    kinds = [type(source) for source in found.outside]
    assert found.sources[0] == "inbox"
    assert kinds == [FilesSource, SqlSource, HttpSource, DeltaSource]
    assert [source.name for source in found.outside] == ["files", "sql", "http", "delta"]
    assert Problem.model_validate(found.model_dump()) == found


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("inbx", "unknown source 'inbx'; did you mean 'inbox'?"),
        (7, "unknown source 7"),
        (["sql"], "unknown source"),
        ({"url": "x"}, "found no kind; expected one of files, sql, http, delta"),
        ({"kind": "sqll"}, "unknown kind 'sqll'; did you mean 'sql'?"),
        ({"kind": ["sql"]}, "unknown kind"),
        ({**SQL, "querry": 1}, "unknown key 'querry'; did you mean 'query'?"),
        ({**SQL, "name": "inbox"}, "and not inbox"),
        ({**SQL, "name": "a/b"}, "lower-case letters"),
        ({**SQL, "url_env": "postgresql://u:hidden@h/x"}, "the name of a variable"),
        ({**HTTP, "url": "https://u:hidden@a.example/r"}, "secrets come from the environment"),
        ({**HTTP, "hosts": ["b.example"]}, "'a.example' is not listed"),
        ({**HTTP, "hosts": []}, "at least 1 item"),
        ({**HTTP, "url": "file:///etc/passwd"}, "expected https://HOST/PATH"),
        ({**HTTP, "format": "csv", "rows": "data"}, "csv has no place to name"),
    ],
)
def test_a_mistake_is_named(source: Any, said: str) -> None:
    with pytest.raises(ValidationError) as found:
        problem(source)
    texts = [str(error["msg"]) for error in found.value.errors()]
    assert any(said in text for text in texts), texts
    assert not any("hidden" in text for text in texts)


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="'sql' is listed twice; give each a name"):
        problem(SQL, SQL)
    assert len(problem(SQL, {**SQL, "name": "second"}).outside) == 2
