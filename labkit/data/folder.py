"""A user's own pictures: a folder of folders, one a class."""

import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from labkit.data.dataset import Dataset
from labkit.errors import DataError, SettingError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none of them runs a program to be read
MOST_PIXELS = 50_000_000  # of one picture
MOST_BYTES = 4 * 2**30  # of all pictures together, as float32
NAMED = 20  # files that a warning names before it only counts


class _Skip(Exception):
    """Why a file is not taken."""


def image_folder(path: str | os.PathLike[str], size: int = 64) -> Dataset:
    """The pictures in path/<class>/<file>: inputs (n, 3, size, size) in 0..1, classes named by the folders.

    Folders and files are read in the order of their names. A picture is turned as its EXIF orientation
    says, its shorter side is scaled to `size` and the middle is kept; transparency becomes white, grey, 16
    bit, CMYK and palette pictures become RGB, and of an animation the first frame counts. Whatever else
    lies there (broken or truncated files, more than 50 megapixels, links, other files and folders) is
    skipped, and one warning names it; hidden files are ignored.

    Raises DataError where there is no folder, fewer than two classes with pictures, or more than fits in
    memory.
    """
    if not 1 <= size <= 1024:
        raise SettingError(f"Expected a size of 1 to 1024 pixels; received size={size!r}.")
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"Expected a folder that holds one folder for each class; {str(root)!r} is none.")
    skipped: list[str] = []
    files = _files(root, skipped)
    count = sum(len(names) for names in files.values())
    if count * 3 * size * size * 4 > MOST_BYTES:
        raise DataError(
            f"{count} pictures of {size} x {size} need over {MOST_BYTES // 2**30} GiB; choose a smaller size."
        )
    pictures: list[np.ndarray] = []
    targets: list[int] = []
    classes: list[str] = []
    for name, members in files.items():
        taken = []
        for file in members:
            try:
                taken.append(_picture(file, size))
            except _Skip as reason:
                skipped.append(f"{file.relative_to(root)}: {reason}")
        if taken:
            targets += [len(classes)] * len(taken)
            classes.append(name)
            pictures += taken
        else:
            skipped.append(f"{name}: no picture in this folder")
    if skipped:
        more = "" if len(skipped) <= NAMED else f"\n  and {len(skipped) - NAMED} more"
        text = "".join(f"\n  {entry}" for entry in skipped[:NAMED])
        warnings.warn(f"image_folder skipped {len(skipped)} of what is in {root}:{text}{more}", stacklevel=2)
    if len(classes) < 2:
        raise DataError(
            f"Expected at least two folders with pictures in {str(root)!r}, one for each class; "
            f"received {len(classes)}{' (' + classes[0] + ')' if classes else ''}. "
            "Put the pictures of each class into a folder that has its name."
        )
    return Dataset(np.stack(pictures), targets, classes)


def _files(root: Path, skipped: list[str]) -> dict[str, list[Path]]:
    """The regular files of each class; what is neither hidden nor one of them is added to skipped."""
    files: dict[str, list[Path]] = {}
    for entry in _visible(root):
        if not stat.S_ISDIR(entry.lstat().st_mode):
            skipped.append(f"{entry.name}: not in a folder of its class")
            continue
        files[entry.name] = []
        for file in _visible(entry):
            mode = file.lstat().st_mode
            if stat.S_ISREG(mode):
                files[entry.name].append(file)
            else:
                kind = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "no file"
                skipped.append(f"{file.relative_to(root)}: {kind}, which is not followed")
    return files


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _picture(file: Path, size: int) -> np.ndarray:
    """One file as float32 (3, size, size) in 0..1. Raises _Skip with the reason where that is impossible."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                picture = _rgb(ImageOps.exif_transpose(image))
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        return np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _Skip(f"more than {MOST_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        raise _Skip(f"no picture of a known kind ({', '.join(FORMATS)})") from None
    except _Skip:
        raise
    except Exception as error:  # a decoder may raise anything on a broken file, and one file must not stop the rest
        raise _Skip(f"cannot be read ({error or type(error).__name__})") from None


def _rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode == "F":
        raise _Skip("values of unknown range (32-bit float)")
    if image.mode.startswith("I"):  # 16 bit; convert() would cut off everything above 255
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise _Skip("values of unknown range (32-bit integers)")
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
