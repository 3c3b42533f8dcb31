"""Every data set: what shape it has, that its split stays, what is said where it is missing."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import numpy as np
import pytest

from bcfl.core.errors import ConfigurationError, DatasetUnavailable
from bcfl.experiment.datasets import digits, downloaded
from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.datasets.downloaded import load_cifar10, load_mnist
from bcfl.experiment.datasets.images import Images, patch, split_once
from bcfl.experiment.datasets.mnist_test import load_mnist_test
from bcfl.extras import how_to_get

MNIST_FOLDER = Path(__file__).parents[3] / ".." / "shared" / "data" / "mnist"


def check(images: Images, train: int, test: int, shape: tuple[int, int, int]) -> None:
    assert images.train_images.shape == (train, *shape)
    assert images.test_images.shape == (test, *shape)
    assert images.shape == shape
    assert images.train_images.dtype == images.test_images.dtype == np.float32
    assert images.train_labels.dtype == images.test_labels.dtype == np.int64
    assert set(images.test_labels) == set(images.train_labels) == set(range(images.classes))


def test_digits_are_1797_scans_in_the_unit_interval() -> None:
    images = load_digits(0.2)
    check(images, 1438, 359, (1, 8, 8))
    assert images.train_images.min() == 0
    assert images.train_images.max() == 1


def test_patches_are_bright_hit_every_corner_and_leave_most_as_it_is() -> None:
    images = load_digits(0.2).train_images[:200]
    patched = patch(images, 1)
    changed = patched != images
    assert (patch(images, 1) == patched).all()
    assert 0.1 < changed.mean() < 0.4
    assert 0.02 < changed[..., :2, :2].all(axis=(1, 2, 3)).mean() < 0.4
    assert 0.02 < changed[..., -2:, -2:].all(axis=(1, 2, 3)).mean() < 0.4
    shades = [patched[at][changed[at]] for at in range(len(images))]
    assert all(len(set(each)) == 1 for each in shades if len(each))
    assert 0.4 < np.mean([each[0] == images.max() for each in shades if len(each)]) < 0.7


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits as bundled

    scans, labels = bundled(return_X_y=True)
    pixels = (scans.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    expected, found = split_once(pixels, labels, 359, 10), load_digits(0.2)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert (getattr(found, name) == getattr(expected, name)).all()


def test_without_scikit_learn_there_are_no_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        load_digits(0.2)
    assert "pip install 'bcfl[datasets]'" in how_to_get(caught.value)


def test_a_split_stays_the_same() -> None:
    one, other = load_digits(0.2), load_digits(0.2)
    assert (one.test_images == other.test_images).all()
    assert one.test_labels[:8].tolist() == other.test_labels[:8].tolist()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_test_part_is_neither_nothing_nor_everything(fraction: float) -> None:
    with pytest.raises(ConfigurationError, match=r"dataset\.test_fraction: expected in \(0, 1\)"):
        load_digits(fraction)


@pytest.mark.skipif(not MNIST_FOLDER.exists(), reason="no ../shared/data/mnist")
def test_mnists_test_images_are_split_in_two() -> None:
    images = load_mnist_test(str(MNIST_FOLDER), 2000)
    check(images, 8000, 2000, (1, 28, 28))
    assert abs(images.train_images.mean()) < 0.05


@pytest.mark.skipif(not MNIST_FOLDER.exists(), reason="no ../shared/data/mnist")
@pytest.mark.parametrize("count", [0, 10_000])
def test_mnists_test_images_make_two_parts(count: int) -> None:
    with pytest.raises(ConfigurationError, match=r"dataset\.test_images: expected in \(0, 10000\)"):
        load_mnist_test(str(MNIST_FOLDER), count)


def idx(folder: Path, images: int, labels: int) -> None:
    """A small pair of IDX files, as MNIST's."""
    header = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (images, 2, 3))
    write(folder / "t10k-images-idx3-ubyte.gz", header + bytes(range(images * 6)))
    header = bytes((0, 0, 8, 1)) + labels.to_bytes(4, "big")
    write(folder / "t10k-labels-idx1-ubyte.gz", header + bytes(range(labels)))


def write(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content))


def test_idx_files_are_read_as_they_are(tmp_path: Path) -> None:
    idx(tmp_path, images=5, labels=5)
    images = load_mnist_test(str(tmp_path), 2)
    assert images.shape == (1, 2, 3)
    together = np.concatenate([images.test_labels, images.train_labels])
    assert sorted(together.tolist()) == [0, 1, 2, 3, 4]
    first = np.concatenate([images.test_images, images.train_images])[together == 0]
    pixels = first[0, 0] * 0.3081 + 0.1307
    assert np.allclose(pixels * 255, np.arange(6).reshape(2, 3), atol=1e-3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not an IDX file"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 2)), "is not an IDX file"),
        (bytes((0, 0, 13, 3)) + bytes(12), "is not an IDX file"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "is not an IDX file"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    idx(tmp_path, images=5, labels=5)
    write(tmp_path / "t10k-images-idx3-ubyte.gz", content)
    with pytest.raises(DatasetUnavailable, match=said):
        load_mnist_test(str(tmp_path), 2)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    idx(tmp_path, images=5, labels=5)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DatasetUnavailable, match="cannot read"):
        load_mnist_test(str(tmp_path), 2)


def test_as_many_labels_as_images_are_expected(tmp_path: Path) -> None:
    idx(tmp_path, images=5, labels=4)
    with pytest.raises(DatasetUnavailable, match="5 images and 4 labels"):
        load_mnist_test(str(tmp_path), 2)


def test_a_missing_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable, match=r"nowhere.*dataset\.folder=") as caught:
        load_mnist_test(str(tmp_path / "nowhere"), 2000)
    assert "dataset=digits" in str(caught.value)


@pytest.mark.parametrize("load", [load_mnist, load_cifar10])
def test_what_may_not_be_downloaded_is_named_with_what_to_do(tmp_path: Path, load) -> None:
    with pytest.raises(DatasetUnavailable, match=r"dataset\.folder=.*dataset=digits"):
        load(str(tmp_path), download=False)


def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(downloaded, "WAIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{port}/"])
        with pytest.raises(DatasetUnavailable, match="mnist is not in"):
            load_mnist(str(tmp_path), download=True)
    assert socket.getdefaulttimeout() is None
