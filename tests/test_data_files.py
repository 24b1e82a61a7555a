"""Pictures in folders, and the well-known sets from local files; every file is made here, no network is used."""

import gzip
import hashlib
import io
import os
import struct
import sys
import tarfile
import urllib.error
import urllib.request
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit.data import cifar10, download, fashion_mnist, image_folder, mnist
from labkit.errors import DataError, SettingError, UnavailableError

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def folder(tmp_path):
    """Two classes of two plain pictures each."""
    for name, colour in (("blue", BLUE), ("red", RED)):
        (tmp_path / name).mkdir()
        for k in range(2):
            Image.new("RGB", (20, 30), colour).save(tmp_path / name / f"{k}.png")
    return tmp_path


def centre(ds, i):
    return [round(v, 2) for v in ds.inputs[i, :, 8, 8].tolist()]


def test_a_folder_a_class(folder):
    ds = image_folder(folder, size=16)
    assert ds.inputs.shape == (4, 3, 16, 16)
    assert ds.classes == ("blue", "red")
    assert ds.targets.tolist() == [0, 0, 1, 1]
    assert centre(ds, 0) == [0, 0, 1]
    assert centre(ds, 3) == [1, 0, 0]


def test_order_is_by_name_and_hidden_files_are_ignored(folder):
    Image.new("RGB", (9, 9), RED).save(folder / "blue" / "00.png")
    (folder / ".cache").mkdir()
    (folder / "red" / ".DS_Store").write_bytes(b"x")
    ds = image_folder(str(folder), size=16)
    assert centre(ds, 1) == [1, 0, 0]  # 0.png, 00.png, 1.png
    assert len(ds) == 5


def modes():
    grey = np.full((16, 16), 0.5)
    return {
        "L": (Image.new("L", (16, 16), 128), [0.5] * 3),
        "1": (Image.new("1", (16, 16), 1), [1] * 3),
        "LA": (Image.new("LA", (16, 16), (0, 0)), [1] * 3),
        "RGBA": (Image.new("RGBA", (16, 16), (255, 0, 0, 128)), [1, 0.5, 0.5]),
        "16bit": (Image.fromarray((grey * 65535).astype(np.uint16)), [0.5] * 3),
        "P": (Image.new("RGB", (16, 16), RED).quantize(4), [1, 0, 0]),
    }


@pytest.mark.parametrize("mode", modes())
def test_odd_modes_become_rgb(folder, mode):
    image, expected = modes()[mode]
    image.save(folder / "blue" / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = image_folder(folder, size=16)
    assert centre(ds, 2) == pytest.approx(expected, abs=0.01)


def test_cmyk_transparent_palette_and_tiff(folder):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(folder / "blue" / "a.jpg")
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(folder / "blue" / "b.png", transparency=1)
    Image.new("RGB", (16, 16), RED).save(folder / "blue" / "c.tif")
    ds = image_folder(folder, size=16)
    assert centre(ds, 2) == pytest.approx([1, 0, 0], abs=0.02)
    assert centre(ds, 3) == [1, 1, 1]
    assert centre(ds, 4) == [1, 0, 0]


def test_exif_orientation_is_honoured(folder):
    image = Image.new("RGB", (16, 16), RED)
    image.paste(BLUE, (0, 0, 16, 8))  # blue above, red below
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(folder / "blue" / "a.png", exif=exif)
    ds = image_folder(folder, size=16)
    assert ds.inputs[2, :, 2, 8].tolist() == pytest.approx([1, 0, 0], abs=0.05)


def test_animations_show_their_first_frame(folder):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    frames[0].save(folder / "blue" / "a.gif", save_all=True, append_images=frames[1:])
    assert centre(image_folder(folder, size=16), 2) == [1, 0, 0]


def test_the_middle_is_kept_and_nothing_is_stretched(folder):
    wide = Image.new("RGB", (64, 16), RED)
    wide.paste(BLUE, (24, 0, 40, 16))
    wide.save(folder / "red" / "a.png")
    ds = image_folder(folder, size=16)
    assert ds.inputs[4, 2].mean() > 0.98


def bomb(path):
    """A PNG of a few bytes that says it has 30,000 x 30,000 pixels."""
    small = io.BytesIO()
    Image.new("1", (8, 8)).save(small, "PNG")
    data = bytearray(small.getvalue())
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(bytes(data))


def test_what_is_no_picture_is_named_and_skipped(folder):
    red = folder / "red"
    whole = (red / "0.png").read_bytes()
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    noisy.save(red / "noisy.jpg")
    (red / "truncated.jpg").write_bytes((red / "noisy.jpg").read_bytes()[:2000])
    (red / "noisy.jpg").unlink()
    (red / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (red / "broken.png").write_bytes(whole[:30] + b"\0" * 20 + whole[50:])
    (red / "notes.txt").write_text("no picture")
    (red / "empty.png").write_bytes(b"")
    (red / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    bomb(red / "bomb.png")
    Image.fromarray(np.zeros((9, 9), np.float32)).save(red / "float.tif")
    (red / "inner").mkdir()
    (folder / "stray.png").write_bytes(whole)
    with pytest.warns(UserWarning, match="skipped 10") as caught:
        ds = image_folder(folder, size=16)
    assert len(ds) == 4
    assert len(caught) == 1
    text = str(caught[0].message)
    for name, reason in (
        ("truncated.jpg", "cannot be read"),
        ("truncated.png", "cannot be read"),
        ("broken.png", ""),
        ("notes.txt", "no picture of a known kind"),
        ("empty.png", "no picture of a known kind"),
        ("script.eps", "no picture of a known kind"),
        ("bomb.png", "more than 50 megapixels"),
        ("float.tif", "unknown range"),
        ("inner", "a folder"),
        ("stray.png", "not in a folder of its class"),
    ):
        line = next(line for line in text.splitlines() if name in line)
        assert reason in line


def test_a_large_picture_below_the_libraries_own_limit_is_refused_too(folder):
    Image.new("1", (8000, 8000)).save(folder / "red" / "large.png")
    with pytest.warns(UserWarning, match="large.png: more than 50 megapixels"):
        image_folder(folder, size=16)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_links_and_pipes_are_not_followed(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    Image.new("RGB", (9, 9), RED).save(other / "secret.png")
    (folder / "red" / "link.png").symlink_to(other / "secret.png")
    (folder / "linked").symlink_to(other)
    os.mkfifo(folder / "red" / "pipe.png")
    with pytest.warns(UserWarning, match="skipped 3"):
        ds = image_folder(folder, size=16)
    assert len(ds) == 4
    assert ds.classes == ("blue", "red")


def test_long_lists_are_cut(folder):
    for k in range(30):
        (folder / "red" / f"{k:02}.txt").write_text("x")
    with pytest.warns(UserWarning, match="and 10 more"):
        image_folder(folder, size=16)


def test_a_class_without_pictures_is_left_out(folder):
    (folder / "green").mkdir()
    with pytest.warns(UserWarning, match="green: no picture"):
        assert image_folder(folder, size=16).classes == ("blue", "red")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nothing", "is none"),
        (lambda p: p / "red" / "0.png", "is none"),
        (lambda p: p / "empty", r"received 0\."),
        (lambda p: p / "one", r"received 1 \(only\)"),
    ],
)
def test_folders_that_are_no_data_set(folder, make, message):
    (folder / "empty").mkdir()
    (folder / "one" / "only").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "one" / "only" / "a.png")
    with pytest.raises(DataError, match=message):
        image_folder(make(folder))


def test_a_set_that_does_not_fit_is_refused_before_it_is_read(folder, monkeypatch):
    monkeypatch.setattr("labkit.data.folder.MOST_BYTES", 3 * 3 * 16 * 16 * 4)
    with pytest.raises(DataError, match="smaller size"):
        image_folder(folder, size=16)
    with pytest.raises(SettingError, match="1 to 1024"):
        image_folder(folder, size=0)


# --- MNIST and its like


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder, n=20, prefix="train", packed=True):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, n, dtype=np.uint8)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        name, data = f"{prefix}-{kind}-ubyte", idx(array)
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return images, labels


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Every request fails; the cache is an empty folder of the test."""
    calls = []

    def refuse(url, **_):
        calls.append(url)
        raise urllib.error.URLError("no network in the tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "cache"))
    return calls


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("load", [mnist, fashion_mnist])
def test_idx_files_of_a_local_copy(tmp_path, no_network, load, packed):
    images, labels = write_mnist(tmp_path, packed=packed)
    ds = load(tmp_path)
    assert ds.inputs.shape == (20, 1, 28, 28)
    assert np.allclose(ds.inputs[:, 0].numpy() * 255, images, atol=1e-3)
    assert ds.targets.tolist() == labels.tolist()
    assert len(ds.classes) == 10
    assert len(load(tmp_path, n=3)) == 3
    write_mnist(tmp_path, n=5, prefix="t10k")
    assert len(load(str(tmp_path), train=False)) == 5
    assert no_network == []


def test_files_in_the_cache_need_no_network(tmp_path, no_network):
    (tmp_path / "cache" / "mnist").mkdir(parents=True)
    write_mnist(tmp_path / "cache" / "mnist")
    assert len(mnist()) == 20
    assert no_network == []


@pytest.mark.parametrize(("load", "instead"), [(mnist, "digits"), (fashion_mnist, "objects"), (cifar10, "objects")])
def test_without_files_and_network_the_embedded_data_are_named(tmp_path, no_network, load, instead):
    with pytest.raises(UnavailableError, match=rf"no network in the tests.*labkit\.data\.{instead}\(\)"):
        load()
    with pytest.raises(UnavailableError, match=rf"not there.*labkit\.data\.{instead}\(\)"):
        load(tmp_path)
    assert len(no_network) == 1
    assert no_network[0].startswith("https://")


IMAGES = "train-images-idx3-ubyte.gz"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip at all", "damaged"),
        (b"", "ends after 0"),
        (gzip.compress(idx(np.zeros((20, 28, 28), np.uint8)))[:-30], "damaged|ends after"),
        (gzip.compress(idx(np.zeros((20, 28, 28), np.uint8))[:-1]), "ends after"),
        (gzip.compress(struct.pack(">4I", 0x803, 2**32 - 1, 28, 28)), "4294967295 x"),
        (gzip.compress(struct.pack(">4I", 0x803, 20, 60_000, 60_000)), "header"),
        (gzip.compress(struct.pack(">4I", 0x803, 0, 28, 28)), "header"),
        (gzip.compress(struct.pack(">4I", 0xD03, 20, 28, 28)), "kind 0xd03"),
        (gzip.compress(idx(np.zeros((19, 28, 28), np.uint8))), "19 inputs and 20 targets"),
    ],
    ids=["no gzip", "empty", "cut off", "too short", "too many", "too large", "none", "wrong kind", "unequal"],
)
def test_damaged_and_hostile_idx_files(tmp_path, content, message):
    write_mnist(tmp_path)
    (tmp_path / IMAGES).write_bytes(content)
    with pytest.raises(DataError, match=message):
        mnist(tmp_path)


def test_labels_out_of_range(tmp_path):
    write_mnist(tmp_path)
    labels = gzip.compress(idx(np.full(20, 10, np.uint8)))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(DataError, match="0 to 9"):
        mnist(tmp_path)
    with pytest.raises(SettingError, match="at least 1"):
        mnist(tmp_path, n=0)


class Answer(io.BytesIO):
    length = None


def serve(monkeypatch, files):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(files[url.rsplit("/", 1)[1]]))


def test_a_download_is_checked_and_kept(tmp_path, monkeypatch):
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    write_mnist(source)
    files = {file.name: file.read_bytes() for file in source.iterdir()}
    monkeypatch.setenv("LABKIT_DATA", str(cache))
    serve(monkeypatch, files)
    with pytest.raises(UnavailableError, match="SHA-256"):
        mnist()
    assert list((cache / "mnist").iterdir()) == []  # nothing half or wrong stays
    for name, data in files.items():
        monkeypatch.setitem(download.MNIST_FILES, name, hashlib.sha256(data).hexdigest())
    assert len(mnist()) == 20
    assert {file.name for file in (cache / "mnist").iterdir()} == set(files)
    serve(monkeypatch, {})
    assert len(mnist()) == 20


def test_a_download_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(download, "MOST_BYTES", 1000)
    serve(monkeypatch, {IMAGES: b"x" * 100_000})
    with pytest.raises(UnavailableError, match="more than 1000 bytes"):
        mnist()


# --- CIFAR-10


def records(n, seed):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
    data[:, 0] = rng.integers(0, 10, n)
    return data


PARTS = [f"data_batch_{k}.bin" for k in range(1, 6)]


def write_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("form", ["bins", "inner", "tar"])
def test_cifar10_of_a_local_copy(tmp_path, no_network, form):
    blocks = [records(4, k) for k in range(5)]
    members = {part: block.tobytes() for part, block in zip(PARTS, blocks, strict=True)}
    if form == "tar":
        write_tar(tmp_path / "cifar-10-binary.tar.gz", {"readme.html": b"x", **members})
    else:
        target = tmp_path if form == "bins" else tmp_path / "cifar-10-batches-bin"
        target.mkdir(exist_ok=True)
        for part, data in members.items():
            (target / part).write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    ds = cifar10(tmp_path)
    everything = np.concatenate(blocks)
    assert ds.inputs.shape == (20, 3, 32, 32)
    assert ds.targets.tolist() == everything[:, 0].tolist()
    assert ds.inputs[7, 1, 2, 3].item() == pytest.approx(everything[7, 1 + 1024 + 2 * 32 + 3] / 255)
    assert ds.classes[:2] == ("airplane", "automobile")
    assert len(cifar10(tmp_path, n=6)) == 6
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked onto the disk
    assert no_network == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (dict.fromkeys(PARTS[:4], b"\x00" * 3073), "data_batch_5.bin"),
        (dict.fromkeys(PARTS, b"\x00" * 3000), "records of 3073"),
        (dict.fromkeys(PARTS[:1], b"\x00" * 3073 * 10001), "records of 3073"),
        (dict.fromkeys(PARTS, b"\x0b" + b"\x00" * 3072), "0 to 9"),
    ],
    ids=["missing", "short", "long", "label"],
)
def test_damaged_cifar_archives(tmp_path, members, message):
    write_tar(tmp_path / "cifar-10-binary.tar.gz", members)
    with pytest.raises(DataError, match=message):
        cifar10(tmp_path)


def test_a_truncated_cifar_archive_and_links_in_it(tmp_path):
    file = tmp_path / "cifar-10-binary.tar.gz"
    write_tar(file, {part: records(4, k).tobytes() for k, part in enumerate(PARTS)})
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        cifar10(tmp_path)
    with tarfile.open(file, "w:gz") as archive:
        for part in PARTS:
            info = tarfile.TarInfo(part)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    with pytest.raises(DataError, match="not there"):
        cifar10(tmp_path)


def test_nothing_is_unpickled_and_torchvision_is_not_imported():
    source = Path(download.__file__).read_text()
    assert "import pickle" not in source
    assert "torchvision" not in sys.modules
