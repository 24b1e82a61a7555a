"""Features of pictures that people wrote down before networks learned them: gradients, colours, edges.

Each function takes pictures (n, 1, H, W) or (n, 3, H, W) in 0..1, as arrays or tensors, and gives (features, names):
float32 (n, k), and the k names. They are scikit-image's, which is imported when they are called.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.errors import DataError, SettingError

Array = NDArray[np.float32]
Features = tuple[Array, tuple[str, ...]]


def hog(pictures: Any, cell: int = 8, orientations: int = 9) -> Features:
    """Histograms of oriented gradients (Dalal and Triggs 2005, section 4): edges by place and direction.

    cell          side of a cell in pixels; the picture's sides hold at least two of them.
    orientations  bins over 180 degrees; bin i is centred at (i + 1/2) * 180 / orientations, the gradient's direction,
                  0 being along a row and counted as in mathematics with the y axis pointing down.

    Each cell has a histogram of its gradients' directions, weighted by their size (of colours, the one with the largest
    gradient); blocks of 2 x 2 cells are normalised together (L2-Hys) and overlap by a cell, so there are
    (H // cell - 1) * (W // cell - 1) * 4 * orientations features, in this order of block, cell and bin.
    """
    from skimage.feature import hog as histograms

    x = _pictures(pictures)
    _check_cells(x, cell, orientations)
    settings = {"pixels_per_cell": (cell, cell), "cells_per_block": (2, 2), "channel_axis": 0}
    blocks = np.stack([histograms(picture, orientations, feature_vector=False, **settings) for picture in x])
    degrees = _degrees(orientations)
    names = tuple(
        f"gradient {degrees[bin_]:.0f}° in cell {row + in_row},{column + in_column} of block {row},{column}"
        for row, column, in_row, in_column, bin_ in np.ndindex(*blocks.shape[1:])
    )
    return blocks.reshape(len(x), -1).astype(np.float32), names


def cells(pictures: Any, cell: int = 8, orientations: int = 9) -> Array:
    """The histograms of `hog` before blocks are normalised: (n, H // cell, W // cell, orientations), to be looked at.

    Each value is the share of a cell and direction in all gradients of its picture; together they are 1 (0 where a
    picture is plain).
    """
    from skimage.feature import hog as histograms

    x = _pictures(pictures)
    _check_cells(x, cell, orientations)
    rows, columns = x.shape[2] // cell, x.shape[3] // cell
    settings = {"pixels_per_cell": (cell, cell), "cells_per_block": (rows, columns), "channel_axis": 0}
    shares = np.stack([histograms(picture, orientations, block_norm="L1", **settings) for picture in x])
    return shares.reshape(len(x), rows, columns, orientations).astype(np.float32)


def colours(pictures: Any, hues: int = 8, levels: int = 4) -> Features:
    """Histograms of hue, saturation and brightness over the whole picture: shares of its pixels that add up to 1 each.

    hues, levels  equal bins of hue (0 is red, 1/3 green, 2/3 blue), and of saturation and brightness, from 0 to 1.

    Takes pictures of three channels. (Swain and Ballard 1991, section 3.)
    """
    from skimage.color import rgb2hsv

    x = _pictures(pictures)
    if x.shape[1] != 3:
        raise DataError(f"Expected pictures with red, green and blue, (n, 3, H, W); received {x.shape}.")
    for name, bins in (("hues", hues), ("levels", levels)):
        if bins < 1:
            raise SettingError(f"Expected at least one bin; received {name}={bins!r}.")
    hsv = rgb2hsv(x, channel_axis=1).reshape(len(x), 3, -1)
    columns, names = [], []
    for channel, (what, bins) in enumerate((("hue", hues), ("saturation", levels), ("brightness", levels))):
        place = np.minimum((hsv[:, channel] * bins).astype(int), bins - 1)
        for i in range(bins):
            columns.append((place == i).mean(axis=1))
            names.append(f"{what} {i / bins:.2f} to {(i + 1) / bins:.2f}")
    return np.stack(columns, axis=1).astype(np.float32), tuple(names)


def edges(pictures: Any, grid: int = 4) -> Features:
    """How strong edges are on the whole, and by place: the size of the Sobel gradient of the grey picture.

    grid  the picture is divided into grid x grid fields, as equal as its pixels allow.

    The first two features are mean and standard deviation over the picture, the others the means of the fields, row by
    row. `edge_picture` shows the sizes that they are of.
    """
    x = edge_picture(pictures)
    if not 1 <= grid <= min(x.shape[1:]):
        raise SettingError(f"Expected a grid of 1 to {min(x.shape[1:])} fields a side; received grid={grid!r}.")
    columns, names = [x.mean((1, 2)), x.std((1, 2))], ["edges, mean", "edges, spread"]
    for row, band in enumerate(np.array_split(x, grid, axis=1)):
        for column, field in enumerate(np.array_split(band, grid, axis=2)):
            columns.append(field.mean((1, 2)))
            names.append(f"edges in field {row},{column}")
    return np.stack(columns, axis=1).astype(np.float32), tuple(names)


def edge_picture(pictures: Any) -> Array:
    """(n, H, W): the size of the Sobel gradient of the grey picture (the mean of the channels), from 0 to 1."""
    from skimage.filters import sobel

    return np.stack([sobel(picture) for picture in _pictures(pictures).mean(1)]).astype(np.float32)


def describe(pictures: Any, cell: int = 8) -> Features:
    """`hog`, `colours` (where the pictures have any) and `edges` of each picture, joined."""
    x = _pictures(pictures)
    parts = [hog(x, cell), *([colours(x)] if x.shape[1] == 3 else []), edges(x)]
    names = tuple(name for _, of_part in parts for name in of_part)
    return np.concatenate([values for values, _ in parts], axis=1), names


def edge_filters(turns: int = 8, side: int = 5) -> Array:
    """(turns, side, side): filters that answer to edges, turned from 0 up to 180 degrees, each of length 1.

    Slopes of a Gaussian of width side / 5 (Canny 1986, section 4), of which Sobel's 3 x 3 filter is a small one. Filter
    i answers most where the picture grows in the direction i * 180 / turns degrees, the y axis pointing down.
    """
    if turns < 1 or side < 3 or side % 2 == 0:
        raise SettingError(f"Expected at least one turn and an odd side of at least 3; received {turns!r}, {side!r}.")
    y, x = np.mgrid[:side, :side] - side // 2
    angle = (np.arange(turns) * np.pi / turns)[:, None, None]
    slopes = (x * np.cos(angle) + y * np.sin(angle)) * np.exp(-(x**2 + y**2) / (2 * (side / 5) ** 2))
    return (slopes / np.linalg.norm(slopes, axis=(1, 2), keepdims=True)).astype(np.float32)


def edge_share(filters: Any) -> Array:
    """(n,): how much of each filter is an edge filter: the share of its squares that some turned edge filter explains.

    filters  (n, side, side), or (n, channels, side, side), where each channel may have an edge of its own. 0 to 1; of
    random filters it is 2 / side² on average, since every turned edge filter is a mixture of two: one across, one down.
    """
    given = np.asarray(filters, np.float32)
    if given.ndim not in (3, 4) or given.shape[-1] != given.shape[-2]:
        raise DataError(
            f"Expected square filters (n, side, side) or (n, channels, side, side); received {given.shape}."
        )
    flat = given.reshape(len(given), -1, given.shape[-1] ** 2)  # (n, channels, side²)
    pair = edge_filters(2, given.shape[-1]).reshape(2, -1)
    squares = (flat**2).sum((1, 2))
    return np.divide(((flat @ pair.T) ** 2).sum((1, 2)), squares, out=np.zeros_like(squares), where=squares > 0)


def _pictures(pictures: Any) -> Array:
    x = np.asarray(pictures, np.float32)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or not x.size:
        raise DataError(f"Expected pictures (n, 1 or 3, H, W); received {x.shape}.")
    if not (x.min() >= 0 and x.max() <= 1):
        raise DataError(f"Expected pictures from 0 to 1; received {x.min():.3g} to {x.max():.3g}. Divide bytes by 255.")
    return x


def _check_cells(x: Array, cell: int, orientations: int) -> None:
    if not 2 <= cell <= min(x.shape[2:]) // 2:
        raise SettingError(
            f"Expected cells of 2 to {min(x.shape[2:]) // 2} pixels, so that two fit into each side of "
            f"{x.shape[2]} x {x.shape[3]}; received cell={cell!r}."
        )
    if orientations < 1:
        raise SettingError(f"Expected at least one orientation; received orientations={orientations!r}.")


def _degrees(orientations: int) -> Array:
    return ((np.arange(orientations) + 0.5) * 180 / orientations).astype(np.float32)
