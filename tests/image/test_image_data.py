"""CIFAR's own files, .npz archives and a packed one; what is refused, and why."""

import io
import pickle
import tarfile

import numpy as np
import pytest

pytest.importorskip("torch")

from mfpde import images


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(60, 3, 32, 32), dtype=np.uint8)
    y = np.arange(60) % 10
    return {"x_train": x[:50], "y_train": y[:50], "x_test": x[50:], "y_test": y[50:]}


def agrees(data, arrays):
    return all(np.array_equal(getattr(data, name), value) for name, value in arrays.items())


def batch(x, y, key):
    """A batch as CIFAR's python version has it: protocol 2, byte keys, rows of 3072 values."""
    held = {b"data": x.reshape(len(x), -1), key: [int(label) for label in y], b"batch_label": b"1"}
    return pickle.dumps(held, protocol=2)


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request, tmp_path, arrays):
    """A folder with CIFAR-10's or CIFAR-100's files."""
    folder = tmp_path / f"{request.param}-py"
    folder.mkdir()
    if request.param == "cifar10":
        parts = {"test_batch": (arrays["x_test"], arrays["y_test"])}
        for i in range(5):
            rows = slice(10 * i, 10 * i + 10)
            parts[f"data_batch_{i + 1}"] = (arrays["x_train"][rows], arrays["y_train"][rows])
        key = b"labels"
    else:
        parts = {name: (arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "test")}
        key = b"fine_labels"
    for name, (x, y) in parts.items():
        (folder / name).write_bytes(batch(x, y, key))
    return request.param, folder


def test_cifars_files_load_from_folder_and_tar(cifar, arrays, tmp_path):
    name, folder = cifar
    archive = tmp_path / "images.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, arcname=folder.name)
    for source in (folder, tmp_path, archive):
        data = images.load_images(source)
        assert agrees(data, arrays)
        assert (data.name, data.classes, data.channels) == (name, 10, 3)


def test_a_pickle_that_runs_code_is_refused(cifar):
    _, folder = cifar
    name = "test_batch" if (folder / "test_batch").exists() else "test"

    class Malicious:
        def __reduce__(self):
            return print, ("run",)

    (folder / name).write_bytes(pickle.dumps({b"data": Malicious()}, protocol=2))
    with pytest.raises(ValueError, match=r"asks for \w+\.print"):
        images.load_images(folder)


@pytest.mark.parametrize("layout", ["channels first", "channels last", "grey"])
def test_archives_load_in_either_layout(layout, arrays, tmp_path):
    given = dict(arrays)
    if layout != "channels first":
        for part in ("x_train", "x_test"):
            last = given[part].transpose(0, 2, 3, 1)
            given[part] = last if layout == "channels last" else last[..., 0]
            if layout == "grey":
                arrays[part] = arrays[part][:, :1]
    np.savez(tmp_path / "set.npz", **given)
    data = images.load_images(tmp_path / "set.npz")
    assert agrees(data, arrays)
    assert data.name == "set"
    mean, std = data.moments()
    assert mean == pytest.approx(arrays["x_train"].mean((0, 2, 3)))
    assert std == pytest.approx(arrays["x_train"].std((0, 2, 3)))


PACKED = """
import numpy as np
def load_packed(path):
    with np.load(path) as held:
        found = {name: held[name] for name in held.files}
    return {name.removesuffix("_packed"): value[::-1] for name, value in found.items()}
"""


def test_a_packed_archive_wants_its_unpacker(arrays, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    reversed_parts = {f"{name}_packed": value[::-1] for name, value in arrays.items()}
    np.savez(folder / "cifar_packed.npz", **reversed_parts)
    # What lies beside the data is never run, whatever its name.
    (folder / "imgpack.py").write_text("raise SystemExit('run')")
    with pytest.raises(ValueError, match="unpacker: cifar_packed"):
        images.load_images(folder / "cifar_packed.npz")
    with pytest.raises(FileNotFoundError, match="unpacker: there is no"):
        images.load_images(folder / "cifar_packed.npz", unpacker=tmp_path / "elsewhere.py")
    (tmp_path / "elsewhere.py").write_text(PACKED)
    named = images.load_images(folder / "cifar_packed.npz", unpacker=tmp_path / "elsewhere.py")
    assert agrees(named, arrays)
    assert named.name == "cifar"


def test_digits_and_shortened_sets():
    pytest.importorskip("sklearn")
    data = images.load_images("digits")
    assert data.x_train.shape == (898, 1, 8, 8)
    assert data.x_test.shape == (899, 1, 8, 8)
    assert data.x_train.max() == 240
    assert data.first() is data
    short = data.first(train=100)
    assert (short.name, len(short.x_train), len(short.x_test)) == ("digits-100-899", 100, 899)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x_test": None}, "lacks x_test"),
        ({"x_train": np.zeros((50, 3, 32, 32))}, "must be uint8"),
        ({"x_train": np.zeros((50, 7), np.uint8)}, r"given uint8 \(50, 7\)"),
        ({"y_train": np.arange(49)}, "49 for 50 images"),
        ({"y_train": np.arange(50) - 1}, "labels 0, 1, 2"),
        ({"y_train": np.arange(50) + 0.5}, "labels 0, 1, 2"),
    ],
)
def test_bad_archives_say_what_is_wrong(change, text, arrays, tmp_path):
    given = {name: value for name, value in {**arrays, **change}.items() if value is not None}
    np.savez(tmp_path / "set.npz", **given)
    with pytest.raises(ValueError, match=text):
        images.load_images(tmp_path / "set.npz")


def test_other_files_say_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing at"):
        images.load_images(tmp_path / "none")
    with pytest.raises(ValueError, match="found none"):
        images.load_images(tmp_path)
    for name, text in (("torn.npz", "not a readable"), ("torn.tar", "tar archive")):
        (tmp_path / name).write_bytes(io.BytesIO(b"nothing").getvalue())
        with pytest.raises(ValueError, match=text):
            images.load_images(tmp_path / name)
