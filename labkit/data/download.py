"""Well-known data sets: from a local copy in their published format, else downloaded and checked.

Formats: the idx files of http://yann.lecun.com/exdb/mnist, the binary version of CIFAR-10. Nothing is
unpickled and nothing is unpacked onto the disk.
"""

import gzip
import hashlib
import http.client
import os
import struct
import tarfile
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm.auto import tqdm

from labkit.data.dataset import Dataset
from labkit.errors import DataError, SettingError, UnavailableError

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FASHION_FILES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
FASHION_CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"
CIFAR_FILES = {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}
CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
CIFAR_RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
MOST_EXAMPLES = 100_000  # of one file; the real ones have at most 60,000
MOST_BYTES = 200_000_000  # of one download; the largest has 170 MB
TIMEOUT = 20  # seconds without an answer


def mnist(path: str | os.PathLike[str] | None = None, train: bool = True, n: int | None = None) -> Dataset:
    """MNIST's digits: inputs (60000, 1, 28, 28) in 0..1, or the 10,000 test ones with train=False.

    path  the folder of the four idx files (.gz or unpacked). Without it they are looked for, and downloaded
          (12 MB) to, the folder named in LABKIT_DATA, else ~/.cache/labkit.
    n     only the first n examples.

    Raises UnavailableError where there are no files and no network (`digits()` is always there), DataError
    for files that are not what they should be. Source: LeCun, Cortes and Burges, 1998.
    """
    folder = _folder("mnist", path, MNIST_URL, MNIST_FILES, train, "digits() has real handwritten digits")
    return _idx_dataset(folder, train, n, [str(d) for d in range(10)])


def fashion_mnist(path: str | os.PathLike[str] | None = None, train: bool = True, n: int | None = None) -> Dataset:
    """Zalando's articles of clothing, in the format of `mnist` and called like it (31 MB to download).

    Source: Xiao, Rasul and Vollgraf, arXiv:1708.07747.
    """
    hint = "objects() makes pictures of ten kinds of things"
    folder = _folder("fashion_mnist", path, FASHION_URL, FASHION_FILES, train, hint)
    return _idx_dataset(folder, train, n, FASHION_CLASSES)


def cifar10(path: str | os.PathLike[str] | None = None, train: bool = True, n: int | None = None) -> Dataset:
    """CIFAR-10: inputs (50000, 3, 32, 32) in 0..1, or the 10,000 test pictures; called like `mnist`.

    path: the folder of cifar-10-binary.tar.gz or of the .bin files in it (170 MB to download; all training
    pictures take 614 MB as float32, so choose n on a small machine).
    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    parts = [f"data_batch_{k}.bin" for k in range(1, 6)] if train else ["test_batch.bin"]
    hint = "objects() makes pictures of ten kinds of things"
    n = _count(n)
    if path is not None:
        for folder in (Path(path), Path(path) / "cifar-10-batches-bin"):
            if all((folder / part).is_file() for part in parts):
                return _cifar_dataset(_read_bins(folder, parts), n)
    folder = _folder("cifar10", path, CIFAR_URL, CIFAR_FILES, None, hint)
    return _cifar_dataset(_read_tar(folder / "cifar-10-binary.tar.gz", parts), n)


def _count(n: int | None) -> int:
    if n is None:
        return MOST_EXAMPLES
    if n < 1:
        raise SettingError(f"Expected n, the number of examples, of at least 1; received n={n!r}.")
    return n


def _folder(
    name: str,
    path: str | os.PathLike[str] | None,
    url: str,
    files: dict[str, str],
    train: bool | None,
    hint: str,
) -> Path:
    """The folder in which all needed files are: the user's own, or the cache, filled over the network."""
    prefix = "" if train is None else "train" if train else "t10k"
    needed = [file for file in files if file.startswith(prefix)]
    if path is not None:
        missing = [file for file in needed if not _local(Path(path), file).is_file()]
        if missing:
            raise UnavailableError(
                f"Expected {' and '.join(missing)} in {str(path)!r}; not there. Copy the files there, "
                f"leave out path to download them, or do without: labkit.data.{hint}."
            )
        return Path(path)
    cache = Path(os.environ.get("LABKIT_DATA") or Path.home() / ".cache" / "labkit") / name
    for file in needed:
        if not _local(cache, file).is_file():
            try:
                _download(url + file, cache / file, files[file])
            except (OSError, http.client.HTTPException) as error:
                raise UnavailableError(
                    f"{name} is not in {str(cache)!r} and could not be downloaded ({error}). Pass the "
                    f"folder of a local copy as path, or do without a network: labkit.data.{hint}."
                ) from error
    return cache


def _local(folder: Path, file: str) -> Path:
    """The file in the folder, packed or unpacked."""
    unpacked = folder / file.removesuffix(".gz")
    return unpacked if file.endswith("ubyte.gz") and unpacked.is_file() else folder / file


def _download(url: str, target: Path, sha256: str) -> None:
    """Puts what is at the address into target, all or nothing. OSError where it is not the file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    digest, received = hashlib.sha256(), 0
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT) as answer,
            open(part, "wb") as file,
            tqdm(total=answer.length, unit="B", unit_scale=True, desc=target.name) as bar,
        ):
            while chunk := answer.read(1 << 16):
                received += len(chunk)
                if received > MOST_BYTES:
                    raise OSError(f"more than {MOST_BYTES} bytes came")
                digest.update(chunk)
                file.write(chunk)
                bar.update(len(chunk))
        if digest.hexdigest() != sha256:
            raise OSError(f"{received} bytes came whose SHA-256 is not that of {target.name}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _idx_dataset(folder: Path, train: bool, n: int | None, classes: Sequence[str]) -> Dataset:
    most, prefix = _count(n), "train" if train else "t10k"
    images = _read_idx(_local(folder, f"{prefix}-images-idx3-ubyte.gz"), (28, 28), most)
    labels = _read_idx(_local(folder, f"{prefix}-labels-idx1-ubyte.gz"), (), most)
    return _bytes_dataset(images[:, None], labels, classes, folder)


def _bytes_dataset(images: np.ndarray, labels: np.ndarray, classes: Sequence[str], where: Path) -> Dataset:
    if labels.max() >= len(classes):
        raise DataError(f"Expected labels 0 to {len(classes) - 1} in {str(where)!r}; received {labels.max()}.")
    pictures = images.astype(np.float32)
    pictures /= 255
    return Dataset(pictures, labels.astype(np.int64), classes)


def _read_idx(file: Path, shape: tuple[int, ...], most: int) -> np.ndarray:
    """The first `most` entries of an idx file of bytes whose entries have this shape, uint8 (n, *shape)."""
    dims = 1 + len(shape)
    with open(file, "rb") as raw:
        stream = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
        header = _read(stream, 4 + 4 * dims, file)
        magic, count, *rest = struct.unpack(f">{1 + dims}I", header)
        if magic != 0x800 + dims or tuple(rest) != shape or not 1 <= count <= MOST_EXAMPLES:
            raise DataError(
                f"Expected an idx file of bytes {('n', *shape)} with n up to {MOST_EXAMPLES}; the header "
                f" of {str(file)!r} says kind {magic:#x}, {count} x {rest}. Get the file again."
            )
        count = min(count, most)
        data = _read(stream, count * int(np.prod(shape)), file)
    return np.frombuffer(data, np.uint8).reshape(count, *shape)


def _read(stream: BinaryIO | gzip.GzipFile, size: int, file: Path) -> bytes:
    """Exactly `size` bytes, and no more than these are unpacked."""
    try:
        data = stream.read(size)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{str(file)!r} is damaged ({error}). Get the file again.") from error
    if len(data) != size:
        raise DataError(f"{str(file)!r} ends after {len(data)} of {size} bytes. Get the file again.")
    return data


def _read_bins(folder: Path, parts: list[str]) -> list[bytes]:
    blocks = []
    for part in parts:
        file = folder / part
        with open(file, "rb") as stream:
            blocks.append(_read(stream, _cifar_size(file.stat().st_size, file), file))
    return blocks


def _read_tar(file: Path, parts: list[str]) -> list[bytes]:
    """The named members of the archive, read into memory; nothing is unpacked onto the disk."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(file, "r|gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in parts and member.isreg():
                    stream = archive.extractfile(member)
                    if stream is not None:
                        found[name] = stream.read(_cifar_size(member.size, file))
                if len(found) == len(parts):
                    break
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{str(file)!r} is damaged ({error}). Get the file again.") from error
    missing = [part for part in parts if part not in found]
    if missing:
        raise DataError(f"Expected {', '.join(missing)} in {str(file)!r}; not there. Get the file again.")
    return [found[part] for part in parts]


def _cifar_size(size: int, file: Path) -> int:
    if size == 0 or size % CIFAR_RECORD or size > 10_000 * CIFAR_RECORD:
        raise DataError(
            f"Expected 1 to 10000 records of {CIFAR_RECORD} bytes a file of CIFAR-10; {str(file)!r} has {size}. "
            "Get the file again."
        )
    return size


def _cifar_dataset(blocks: list[bytes], n: int) -> Dataset:
    records = np.concatenate([np.frombuffer(block, np.uint8).reshape(-1, CIFAR_RECORD) for block in blocks])[:n]
    images = records[:, 1:].reshape(-1, 3, 32, 32)
    return _bytes_dataset(images, records[:, 0], CIFAR_CLASSES, Path("cifar-10"))
