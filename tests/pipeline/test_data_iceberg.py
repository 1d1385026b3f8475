"""Iceberg records: read and refused, and arranged as R's column-major arrays arrange them."""

import hashlib
import json
import logging

import numpy as np
import pytest

from pipeline.data import DataError, iceberg, load_dataset, prepare, simulated_sar
from pipeline.data._storage import write_processed
from pipeline.data.r_sample import r_sample
from pipeline.study import Dataset

LOG = logging.getLogger("test")
RECORDS, PIXELS = 1604, 75 * 75


def records(count=4):
    rng = np.random.default_rng(0)
    return [
        {
            "id": f"{i:08x}",
            "band_1": np.round(rng.normal(-20, 3, PIXELS), 6).tolist(),
            "band_2": np.round(rng.normal(-26, 3, PIXELS), 6).tolist(),
            "inc_angle": "na" if i == 1 else 39.5 + i,
            "is_iceberg": i % 2,
        }
        for i in range(count)
    ]


def put(folder, content):
    """A user's own train.json in data/raw, its sum accepted."""
    (folder / "iceberg").mkdir()
    content = content if isinstance(content, str) else json.dumps(content)
    (folder / "iceberg/train.json").write_text(content)
    (folder / "iceberg/train.json.sha256").write_text(hashlib.sha256(content.encode()).hexdigest())


@pytest.fixture
def no_kaggle(monkeypatch, tmp_path):
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "no"))


def test_records_survive_preparation(tmp_path):
    listed = records()
    put(tmp_path, listed)
    prepare("iceberg", tmp_path, tmp_path / "processed", None, LOG)
    with np.load(tmp_path / "processed/iceberg.npz") as arrays:
        for i, record in enumerate(listed):
            for band in ("band_1", "band_2"):
                np.testing.assert_allclose(arrays[band][i].ravel(), record[band], rtol=1e-6)
        assert arrays["is_iceberg"].tolist() == [0, 1, 0, 1]
        np.testing.assert_array_equal(arrays["inc_angle"], np.float32([39.5, np.nan, 41.5, 42.5]))
    described = json.loads((tmp_path / "processed/iceberg.json").read_text())
    assert described["records"] == {"all": 4, "icebergs": 2, "without_angle": 1}
    assert described["origin"] == "real"
    assert described["data_source"] == "icebergs of the user's own train.json"


def test_a_file_that_is_not_kaggles_is_refused_unless_its_sum_is_written_down(tmp_path):
    put(tmp_path, records())
    (tmp_path / "iceberg/train.json.sha256").unlink()
    with pytest.raises(DataError, match=r"train\.json is truncated: \d+ of 196313674 bytes.*train\.json\.sha256"):
        prepare("iceberg", tmp_path, tmp_path / "processed", None, LOG)
    assert not (tmp_path / "processed").exists()


def changed(**values):
    listed = records()
    listed[2] |= values
    return [{key: value for key, value in record.items() if value != "gone"} for record in listed]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(band_2="gone"), "record 3 of 4: has no 'band_2'"),
        (changed(is_iceberg="gone"), "record 3 of 4: has no 'is_iceberg'"),
        (changed(is_iceberg=7), "record 3 of 4: is_iceberg is 7"),
        (changed(band_1=[1.0, 2.0]), "record 3 of 4: not 75·75 numbers"),
        (changed(band_1=[None] * PIXELS), "record 3 of 4: a band has values that are no finite numbers"),
        (changed(inc_angle="steep"), "record 3 of 4: not 75·75 numbers a band, a label and an angle"),
        (json.dumps(records())[:-40], "is not JSON"),
        ({"band_1": []}, "is not a list of records"),
    ],
)
def test_damaged_records_are_named(tmp_path, content, words):
    put(tmp_path, content)
    with pytest.raises(DataError, match=words):
        prepare("iceberg", tmp_path, tmp_path / "processed", None, LOG)
    assert not (tmp_path / "processed").exists()


def test_without_the_records_simulated_ones_say_so(tmp_path, monkeypatch, no_kaggle, caplog):
    simulate = simulated_sar.simulate
    monkeypatch.setattr(simulated_sar, "simulate", lambda: simulate(40))
    prepare("iceberg", tmp_path, tmp_path, None, LOG)
    described = json.loads((tmp_path / "iceberg.json").read_text())
    splits = load_dataset(Dataset(name="iceberg"), 1, tmp_path)
    assert described["origin"] == splits.origin == "simulated"
    assert splits.data_source == described["data_source"] == "simulated SAR images (not the Kaggle data)"
    assert "SIMULATED" in caplog.text


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    """As many records as Kaggle's; pixel k of band b of record i can be told from every other."""
    folder = tmp_path_factory.mktemp("processed")
    values = np.arange(RECORDS * 2 * PIXELS, dtype=np.float32).reshape(RECORDS, 2, 75, 75)
    labels = np.random.default_rng(3).integers(2, size=RECORDS, dtype=np.uint8)
    arrays = {"band_1": values[:, 0], "band_2": values[:, 1], "is_iceberg": labels, "inc_angle": np.ones(RECORDS)}
    write_processed(folder, "iceberg", arrays, {"data_source": "here", "origin": "real"})
    return folder, values, labels


def split_order(seed):
    order = np.random.default_rng(seed).permutation(RECORDS)
    return order[:1300], np.sort(order[1300:])


def test_as_listed_pours_both_bands_of_the_first_802_records(processed):
    """R's array(dim = c(75, 75, n)) and aperm(c(3, 1, 2)), element by element."""
    folder, values, labels = processed
    splits = load_dataset(Dataset(name="iceberg", arrangement="as_listed"), 5, folder)
    poured = values.ravel()  # c(band_1, band_2) of record 1, then of record 2, …
    train, test = split_order(5)
    largest = np.abs(poured.reshape(-1, PIXELS)[train]).max()
    rng = np.random.default_rng(0)
    for images, chosen, scale in ((splits.train_images, train, largest), (splits.test_images, test, 1)):
        for n, i in enumerate(chosen):
            a, b = rng.integers(75, size=2)
            assert images[n, 0, a, b] == np.float32(poured[a + 75 * b + PIXELS * i] / scale)
    np.testing.assert_array_equal(splits.train_labels, labels[train])
    assert splits.test_images.max() < 802 * 2 * PIXELS
    assert (splits.train_images.shape, splits.test_images.shape) == ((1300, 1, 75, 75), (304, 1, 75, 75))


def test_corrected_keeps_each_record_with_its_label_and_scales_both_parts_alike(processed):
    folder, values, labels = processed
    splits = load_dataset(Dataset(name="iceberg", arrangement="corrected"), 5, folder)
    train, test = split_order(5)
    largest = np.abs(values[train, 0]).max()
    assert np.abs(splits.train_images).max() == 1
    np.testing.assert_allclose(splits.test_images[:, 0], values[test, 0].transpose(0, 2, 1) / largest, rtol=1e-6)
    np.testing.assert_array_equal(splits.test_labels, labels[test])


def test_three_channels_are_the_bands_and_their_mean(processed):
    """R's array(dim = c(75, 75, 3, n)) and aperm(c(4, 1, 2, 3)), with channels first."""
    folder, values, _ = processed
    splits = load_dataset(Dataset(name="iceberg", arrangement="three_channels", test_images=20), 5, folder)
    _, test = split_order(5)
    for n, i in enumerate(test[:20]):
        poured = np.concatenate([values[i, 0].ravel(), values[i, 1].ravel(), values[i].reshape(2, -1).mean(0)])
        expected = poured.reshape((75, 75, 3), order="F").transpose(2, 0, 1)
        np.testing.assert_allclose(splits.test_images[n], expected, rtol=1e-6)


def test_the_seed_decides_the_split_and_limits_come_after_it(processed):
    folder, _, _ = processed
    whole = load_dataset(Dataset(name="iceberg"), 1, folder)
    few = load_dataset(Dataset(name="iceberg", train_images=96, test_images=32), 1, folder)
    np.testing.assert_array_equal(few.train_images, whole.train_images[:96])
    np.testing.assert_array_equal(few.test_images, whole.test_images[:32])
    other = load_dataset(Dataset(name="iceberg", train_images=96), 2, folder)
    assert not np.array_equal(other.train_images, few.train_images)
    with pytest.raises(DataError, match="train_images asks for 1301 images, but there are only 1300"):
        load_dataset(Dataset(name="iceberg", train_images=1301), 1, folder)


def test_the_listings_seed_draws_the_records_that_r_draws(processed):
    # R 4.2.2: set.seed(1); sample(1:10), and the first of sample(1:1604, 1300) and sample(1:70000, 70000).
    assert list(r_sample(10, 10, 1) + 1) == [9, 4, 7, 1, 2, 5, 3, 10, 6, 8]
    assert list(r_sample(1604, 1300, 1)[:12] + 1) == [1017, 679, 129, 930, 1533, 471, 299, 270, 1211, 1331, 597, 1301]
    large = r_sample(70000, 70000, 1) + 1
    assert [*large[:3], *large[-2:]] == [24388, 59521, 43307, 61146, 42056]
    chosen = [load_dataset(Dataset(name="iceberg", split="R"), seed, processed[0]) for seed in (1, 2)]
    np.testing.assert_array_equal(chosen[0].train_images, chosen[1].train_images)
    np.testing.assert_array_equal(chosen[0].test_labels, chosen[1].test_labels)


def test_every_image_is_in_one_part_only(processed):
    folder, values, _ = processed
    splits = load_dataset(Dataset(name="iceberg", arrangement="three_channels"), 7, folder)
    corners = np.concatenate([splits.train_images[:, 0, 0, 0], splits.test_images[:, 0, 0, 0]])
    np.testing.assert_array_equal(np.sort(corners), np.sort(values[:, 0, 0, 0]))
    assert iceberg.class_names("corrected")[1] == "iceberg"
