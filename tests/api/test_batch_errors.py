"""`/predict/batch` when something is wrong: single rows, whole bodies, hostile ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from api.batch_body import BODY_LIMIT, TOTAL_LIMIT
from settings import Settings
from tests.api.batches import ARROW, encode_batch, encode_table, send, send_json
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import promote, write_classifier

JSON = "application/json"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all of it: nothing that is sent here may harm what comes after."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(_env_file=None, home=home, api_insecure=True)  # type: ignore[call-arg]
    promote(settings.store, write_classifier(settings.store), generation=1)
    with running(settings) as server:
        wait_until(lambda: server.health()["status"] == "ok")
        yield server


def still_answers(api: Api) -> bool:
    return send_json(api, {"rows": [{"age": 1}]}).status_code == 200


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "text where a number belongs": ({"age": "secret-value"}, "invalid_value"),
    "text that reads like a number": ({"age": "1"}, "invalid_value"),
    "a number beyond float32": ({"age": 1e300}, "invalid_value"),
    "an integer beyond int64": ({"age": 1, "plan": 2**63}, "invalid_body"),
    "a long text": ({"plan": "x" * 1001}, "invalid_body"),
    "a NUL": ({"plan": "a\0b"}, "invalid_value"),
    "an unknown name": ({"secret-name": 1}, "unknown_feature"),
    "a list for a value": ({"age": [1]}, "invalid_body"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_row_is_named_by_its_index_and_fails_the_batch_whole(api: Api, name: str) -> None:
    row, code = WRONG[name]
    ids = [f"{name.replace(' ', '-')}-{index}" for index in range(3)]
    batch = {"rows": [{"age": 1}, row, {"age": 2}], "prediction_ids": ids}
    refusal = send_json(api, batch)
    assert refusal.status_code == 422
    document = refusal.json()
    assert document["code"] == "invalid_rows"
    assert [(error["index"], error["code"]) for error in document["errors"]] == [(1, code)]
    assert "secret" not in refusal.text
    assert api.client.get(f"/predictions/{ids[0]}").status_code == 404


@pytest.mark.parametrize("name", WRONG)
def test_with_skip_a_wrong_row_fails_only_itself(api: Api, name: str) -> None:
    row, code = WRONG[name]
    answer = send_json(api, {"rows": [{"age": 1}, row, {"age": 2}]}, on_error="skip")
    batch = answer.json()
    assert answer.status_code == 200
    assert [value is None for value in batch["predictions"]] == [False, True, False]
    assert batch["prediction_ids"][1] is batch["probabilities"][1] is None
    assert [(error["index"], error["code"]) for error in batch["errors"]] == [(1, code)]
    assert api.client.get(f"/predictions/{batch['prediction_ids'][2]}").json()["features"] == {
        "age": 2,
        "plan": None,
    }


def test_with_skip_a_batch_of_wrong_rows_alone_is_answered_empty(api: Api) -> None:
    batch = send_json(api, {"rows": [{"age": "a"}]}, on_error="skip").json()
    assert (batch["predictions"], batch["n_errors"]) == ([None], 1)


@pytest.mark.parametrize(
    ("aside", "values", "code"),
    [
        ("keys", ["ok", "a\0b"], "invalid_key"),
        ("keys", ["ok", "x" * 257], "invalid_key"),
        ("event_times", [None, "tomorrow"], "invalid_time"),
        ("event_times", [None, "0001-01-01T00:00+23:59"], "invalid_time"),
        ("prediction_ids", ["fine", "a b"], "invalid_prediction_id"),
        ("prediction_ids", ["twice", "twice"], "repeated_prediction_id"),
    ],
)
def test_what_stands_beside_the_features_is_checked_too(
    api: Api, aside: str, values: list[Any], code: str
) -> None:
    refusal = send_json(api, {"rows": [{"age": 1}, {"age": 2}], aside: values})
    errors = refusal.json()["errors"]
    assert [(error["index"], error["code"]) for error in errors] == [(1, code)]


def test_rows_of_another_length_are_named(api: Api) -> None:
    columns = {"columns": ["age", "plan"], "data": [[1, "1"], [1], [1, "1", 3]]}
    errors = send_json(api, columns).json()["errors"]
    assert [(error["index"], error["code"]) for error in errors] == [
        (1, "wrong_length"),
        (2, "wrong_length"),
    ]
    ragged = b"age,plan\n1,basic\n1\n2,basic,3\n4,basic\n"
    batch = send(api, ragged, "text/csv", on_error="skip").json()
    assert [error["index"] for error in batch["errors"]] == [1, 2]
    assert [value is None for value in batch["predictions"]] == [False, True, True, False]
    assert batch["probabilities"][3] == pytest.approx(0.598688, abs=1e-5)


def test_a_field_of_csv_that_is_no_number_is_named(api: Api) -> None:
    content = b'age,plan\n1,"a\nb"\n1,x,y\nsecret-value,basic\n,basic\n1_0,basic\ninf,basic\n'
    refusal = send(api, content, "text/csv").json()
    found = [(error["index"], error["code"]) for error in refusal["errors"]]
    assert found == [(1, "wrong_length")] + [(i, "invalid_value") for i in (2, 4, 5)]
    assert "secret" not in str(refusal)


def test_more_ids_than_can_be_looked_for_are_refused(api: Api) -> None:
    document = {"rows": [{}] * 10_001, "prediction_ids": [f"i{n}" for n in range(10_001)]}
    assert send_json(api, document).json()["code"] == "wrong_length"


def test_a_thousand_errors_are_told_and_all_are_counted(api: Api) -> None:
    refusal = send_json(api, {"columns": ["age"], "data": [["x"]] * 1500}).json()
    assert (refusal["n_errors"], len(refusal["errors"])) == (1500, 1000)


def _rows(n_rows: int) -> bytes:
    return b'{"columns":["age"],"data":[' + b",".join([b"[1]"] * n_rows) + b"]}"


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", JSON),
    "no rows": (b'{"rows":[]}', JSON),
    "rows and data": (b'{"rows":[{}],"columns":[],"data":[[]]}', JSON),
    "data without columns": (b'{"data":[[1]]}', JSON),
    "columns without data": (b'{"columns":["age"]}', JSON),
    "a column twice": (b'{"columns":["age","age"],"data":[[1,2]]}', JSON),
    "an unknown column": (b'{"columns":["secret-name"],"data":[[1]]}', JSON),
    "rows that are none": (b'{"rows":7}', JSON),
    "rows of lists": (b'{"rows":[[1]]}', JSON),
    "NaN": (b'{"rows":[{"age":NaN}]}', JSON),
    "Infinity": (b'{"rows":[{"age":-Infinity}]}', JSON),
    "1e400": (b'{"rows":[{"age":1e400}]}', JSON),
    "huge integer": (b'{"rows":[{"plan":' + b"9" * 5000 + b"}]}", JSON),
    "lone surrogate": (b'{"rows":[{"plan":"\\ud800"}]}', JSON),
    "surrogate in a name": (b'{"rows":[{"\\udfff aaaaaa":1}]}', JSON),
    "broken UTF-8": (b'{"rows":[{"plan":"\xff\xfe"}]}', JSON),
    "deep arrays": (b'{"rows":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON),
    "deep objects": (b'{"rows":[' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}", JSON),
    "an end inside a text": (b'{"rows":[{"plan":"' + b"}]" * 40_000 + b'"}]}', JSON),
    "cut off": (_rows(50_000)[:-2], JSON),
    "cut off inside": (_rows(50_000)[:-1000], JSON),
    "too many rows": (_rows(100_001), JSON),
    "keys of another length": (b'{"rows":[{"age":1}],"keys":["a","b"]}', JSON),
    "no header": (b"", "text/csv"),
    "a header alone": (b"age,plan\n", "text/csv"),
    "an unknown field": (b"secret-name\n1\n", "text/csv"),
    "a field twice": (b"age,age\n1,2\n", "text/csv"),
    "CSV in another encoding": (b"age,plan\n1,\xe9t\xe9\n", "text/csv"),
    "a NUL in CSV": (b"age,plan\n1,a\0b\n", "text/csv"),
    "an open quote": (b'age,plan\n1,"secret-value\n', "text/csv"),
    "too many lines": (b"age\n" + b"1\n" * 100_001, "text/csv"),
    "no Arrow": (b"secret-value" * 20, ARROW),
    "Arrow cut off": (encode_batch("arrow", {"age": [1.0] * 500})[0][:1500], ARROW),
    "Arrow of lists": (encode_batch("arrow", {"age": [[1.0]]})[0], ARROW),
    "Arrow of bytes": (encode_batch("arrow", {"plan": [b"a"]})[0], ARROW),
    "Arrow text for numbers": (encode_batch("arrow", {"age": ["1"]})[0], ARROW),
    "no rows in Arrow": (encode_table(pyarrow.table({"age": pyarrow.array([], "f8")})), ARROW),
    "endless nothing": (encode_table(pyarrow.table({"age": pyarrow.nulls(2**30)})), ARROW),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_batches_are_refused_quickly_and_never_repeated(api: Api, name: str) -> None:
    content, kind = HOSTILE[name]
    began = time.process_time()
    refusal = send(api, content, kind)
    assert refusal.status_code in {400, 422}, refusal.text
    assert time.process_time() - began < 3
    assert refusal.headers["content-type"] == "application/problem+json"
    assert len(refusal.content) < 700
    for sent in ("secret", "9999", "udfff", "Infinity"):
        assert sent not in refusal.text
    assert still_answers(api)


def test_a_number_beyond_float32_is_named_in_arrow(api: Api) -> None:
    for numbers in ([1.0, 1e300, None], [1.0, float("-inf"), float("nan")]):
        for kind in ("f8", "f4") if numbers[1] != 1e300 else ("f8",):
            column = pyarrow.array(numbers, pyarrow.float64()).cast(kind)
            content = encode_table(pyarrow.table({"age": column}))
            batch = send(api, content, ARROW, on_error="skip").json()
            assert [error["index"] for error in batch["errors"]] == [1]
            assert batch["probabilities"][2] == pytest.approx(0.268941, abs=1e-5)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u8", "f2", "f4", "f8", "bool"])
def test_every_kind_of_number_means_the_same_in_arrow(api: Api, kind: str) -> None:
    for values in ([1, 0], [1, None]):
        column = (
            pyarrow.array(values, pyarrow.float64()).cast(kind)
            if kind != "bool"
            else (pyarrow.array([None if value is None else bool(value) for value in values]))
        )
        content = encode_table(pyarrow.table({"age": column, "plan": ["basic", "basic"]}))
        batch = send(api, content, ARROW).json()
        assert batch["probabilities"] == [pytest.approx(0.524979, abs=1e-5), 0.5]


def test_compressed_arrow_is_refused_before_it_is_unpacked(api: Api) -> None:
    table = pyarrow.table({"age": np.zeros(50_000), "plan": ["basic"] * 50_000})
    for codec in ("zstd", "lz4"):
        sink = pyarrow.BufferOutputStream()
        options = pyarrow.ipc.IpcWriteOptions(compression=codec)
        with pyarrow.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        refusal = send(api, sink.getvalue().to_pybytes(), ARROW)
        assert (refusal.status_code, refusal.json()["code"]) == (422, "invalid_arrow")


@given(data=st.data())
@given_settings(max_examples=150, deadline=None)
def test_a_damaged_arrow_stream_never_ends_the_server(api: Api, data: st.DataObject) -> None:
    columns = {"age": [1.0, None, 3.0], "plan": ["basic", None, "1"]}
    table = pyarrow.table(columns)
    table = table.append_column("key", table.column("plan").dictionary_encode())
    content = bytearray(encode_table(table.select(["age", "plan"])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    assert send(api, bytes(content), ARROW).status_code in {200, 400, 422}


@given(body=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode()))
@given_settings(max_examples=100, deadline=None)
def test_whatever_is_sent_the_answer_is_never_a_server_error(api: Api, body: bytes) -> None:
    for kind in (JSON, "text/csv", ARROW):
        assert send(api, body, kind).status_code in {400, 422}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-pickle", "text/csv; charset=latin-1"]
)
def test_other_media_types_are_refused(api: Api, kind: str) -> None:
    refusal = send(api, b"{}", kind)
    assert (refusal.status_code, refusal.json()["code"]) == (415, "unsupported_media_type")


def test_other_words_for_on_error_are_refused(api: Api) -> None:
    assert send_json(api, {"rows": [{}]}, on_error="ignore").status_code == 422


def test_a_body_above_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    length = str(BODY_LIMIT + 1).encode()
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as client:
        client.sendall(
            b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
        )
        assert client.recv(100).split(b" ")[1] == b"413"
    assert still_answers(api)


def test_a_body_without_length_is_refused_while_it_is_read(api: Api) -> None:
    def endless() -> Iterator[bytes]:
        piece = b" " * (1024 * 1024)
        for _ in range(BODY_LIMIT // len(piece) + 3):
            yield piece

    refusal = api.client.post("/predict/batch", content=endless())
    assert refusal.status_code == 413
    assert api.runtime.workroom.n_bytes == 0
    assert still_answers(api)


def test_bodies_beyond_the_total_are_told_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.runtime.workroom, "n_bytes", TOTAL_LIMIT - 10)
    refusal = send_json(api, {"rows": [{"age": 1}]})
    assert (refusal.status_code, refusal.json()["code"]) == (503, "busy")
    assert int(refusal.headers["retry-after"]) > 0


def test_a_value_the_model_cannot_answer_is_named_only_with_skip(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_model: Any, matrix: Any) -> Any:
        output = np.full((len(matrix), 2), 0.5, dtype=np.float32)
        output[matrix[:, 0] == 13] = np.nan
        return output

    monkeypatch.setattr("api.batch.score", broken)
    rows = {"rows": [{"age": 1}, {"age": 13}]}
    refusal = send_json(api, rows)
    assert (refusal.status_code, refusal.json()["code"]) == (500, "model_output")
    batch = send_json(api, rows, on_error="skip").json()
    assert batch["errors"] == [
        {
            "index": 1,
            "code": "model_output",
            "detail": "the model gave no finite answer to this row",
        }
    ]
    assert msgspec.json.encode(batch["predictions"]) == b"[1,null]"
