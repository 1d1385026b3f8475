"""Wrong data files: read as what they say, or refused with the file's name; nothing in between."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import DataError, cifar10, iceberg, mnist
from pipeline.data._registry import load_registry
from pipeline.data._sources import Found
from pipeline.data._storage import read_processed, write_processed
from tests.trust import refusal

COMMAND = 'make test OPTIONS="-n0 --hypothesis-profile many --record-trust tests/pipeline/test_bad_data.py"'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


def found(content: bytes, name: str = "file") -> Found:
    return Found(content, Path(f"raw/{name}"), "official files", True)


@st.composite
def damages(draw, content: bytes) -> bytes:
    """`content` cut short, with changed bytes, or with bytes more."""
    kind = draw(st.sampled_from(["cut", "changed", "more", "other"]))
    at = draw(st.integers(0, len(content) - 1) | st.integers(0, min(40, len(content) - 1)))
    if kind == "cut":
        return content[:at]
    if kind == "changed":
        return content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
    return draw(st.binary(max_size=20)) if kind == "other" else content + draw(st.binary(min_size=1, max_size=20))


def record(**values):
    bands = {name: np.linspace(-30, 5, 75 * 75).round(3).tolist() for name in ("band_1", "band_2")}
    return {**bands, "inc_angle": 39.2, "is_iceberg": 1, **values}


ICEBERG = json.dumps([record(), record(inc_angle="na", is_iceberg=0)]).encode()


def checked_iceberg(content: bytes) -> None:
    arrays, message = refusal(DataError, lambda: iceberg.parse(found(content)))
    if message:
        assert message.startswith("raw/file")
        assert "get Kaggle's train.json again" in message
    else:
        assert set(np.unique(arrays["is_iceberg"])) <= {0, 1}
        assert np.isfinite(arrays["band_1"]).all()
        assert np.isfinite(arrays["band_2"]).all()
        assert not np.isinf(arrays["inc_angle"]).any()


def test_a_damaged_iceberg_file_is_read_as_it_is_or_refused_by_name(trust):
    with trust("iceberg files with damaged bytes or records: refused by name, or sound numbers", COMMAND) as count:

        @given(damages(ICEBERG) | st.binary(max_size=50))
        def bytes_changed(content):
            count.tried += 1
            checked_iceberg(content)

        @given(st.sampled_from(["band_1", "band_2", "inc_angle", "is_iceberg", None]), VALUES, st.booleans())
        def values_changed(field, value, one):
            count.tried += 1
            if field and field.startswith("band") and one:
                value = [value, *record()[field][1:]]
            checked_iceberg(json.dumps([record(**{field: value}) if field else value]).encode())

        bytes_changed()
        values_changed()


@pytest.mark.parametrize("content", [b"", b"[" * 200_000, b'[{"band_1": 1}', b"{}", b"[]", b"\xff\xfe"])
def test_what_is_no_list_of_records_is_refused(content):
    with pytest.raises(DataError, match=r"raw/file .*get Kaggle's train\.json again"):
        iceberg.parse(found(content))


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def test_a_damaged_idx_file_is_refused_by_name(trust, monkeypatch):
    images, labels = np.ones((3, 28, 28), np.uint8), np.arange(3, dtype=np.uint8)
    right = {file: idx(images if "images" in name else labels) for name, file in mnist.FILES.items()}
    with trust("MNIST's files with damaged bytes: refused by name, or of the right shapes", COMMAND) as count:

        @given(st.sampled_from(list(right)).flatmap(lambda file: st.tuples(st.just(file), damages(right[file]))))
        def try_one(change):
            count.tried += 1
            file, content = change
            files = {name: found(c, name) for name, c in {**right, file: content}.items()}
            monkeypatch.setattr(mnist, "obtain", lambda *arguments: files)
            prepared, message = refusal(DataError, lambda: mnist.prepare(Path("raw"), None, None))
            if message:
                assert f"raw/{file}" in message
                assert "delete" in message
            else:
                arrays = prepared.arrays
                for part in ("train", "test"):
                    assert arrays[f"{part}_images"].shape == (3, 28, 28)
                    assert arrays[f"{part}_labels"].max() < 10

        try_one()


def test_a_damaged_cifar_file_is_refused_by_name(trust):
    rng = np.random.default_rng(0)
    right = (
        np.concatenate([rng.integers(10, size=(2, 1)), rng.integers(256, size=(2, 3072))], axis=1)
        .astype("u1")
        .tobytes()
    )
    with trust("CIFAR-10's files with damaged bytes: refused by name, or of the right shapes", COMMAND) as count:

        @given(damages(right))
        def try_one(content):
            count.tried += 1
            records, message = refusal(DataError, lambda: cifar10.batch(found(content)))
            if message:
                assert "raw/file" in message
                assert "delete it and get" in message
            else:
                images, labels = records
                assert images.shape == (len(labels), 3, 32, 32)
                assert labels.max() < 10

        try_one()


def test_damaged_prepared_data_never_pass_for_whole(trust, tmp_path):
    arrays = {"x": np.arange(100.0).reshape(4, 25), "label": np.arange(4, dtype=np.uint8)}
    write_processed(tmp_path, "thing", arrays, {"data_source": "here", "origin": "real"})
    right = {path: path.read_bytes() for path in (tmp_path / "thing.npz", tmp_path / "thing.json")}
    npz, described = right
    with trust("prepared data with damaged bytes: read as they were written, or refused by name", COMMAND) as count:

        @given(st.data())
        def try_one(data):
            count.tried += 1
            path = data.draw(st.sampled_from([npz, described]))
            path.write_bytes(data.draw(damages(right[path])))
            stored, message = refusal(DataError, lambda: read_processed(tmp_path, "thing"))
            path.write_bytes(right[path])
            if message:
                assert str(path) in message
                assert "delete it and run" in message
            else:
                read, provenance = stored
                assert {"data_source", "origin"} <= provenance.keys()
                for name, array in arrays.items():
                    np.testing.assert_array_equal(read[name], array)

        try_one()


def test_every_registered_file_has_one_pinned_sum_and_its_size():
    for source in load_registry().values():
        for file in source.files.values():
            assert file.bytes > 0
            assert len(file.checksum[1]) in (32, 64)
