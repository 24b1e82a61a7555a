"""The loss over a plane to be turned and hovered over, with the path of training on it (Plotly)."""

from typing import TYPE_CHECKING

import numpy as np

from labkit.plots.landscape import AXES, interpolate, landscape_text, scaled, short

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

PATH = "#d93025"
_ASPECT = {"x": 1, "y": 1, "z": 0.6}
_CAMERA = {"eye": {"x": 1.0, "y": -1.05, "z": 1.35}, "center": {"x": 0, "y": 0, "z": -0.15}}  # start left, end right


def landscape_surface(
    losses: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    path: np.ndarray | None = None,
    steps: np.ndarray | None = None,
    share: float | None = None,
    kind: str = "",
) -> "PlotlyFigure":
    """The loss as a surface to be turned, with contour lines on its floor and the path lifted onto it (Plotly).

    Arguments as in `landscape`. The height is the loss, or its logarithm where it spans much; hovering reads the loss.
    """
    import plotly.graph_objects as go  # only here: it takes half a second

    losses = np.asarray(losses, float)
    values, levels, log = scaled(losses)
    height = values.filled(np.nan)
    floor, top = (float(values.min()), float(values.max())) if values.count() else (0.0, 1.0)
    places = np.log10(levels) if log else np.asarray(levels)
    figure = go.Figure()
    contours = {"start": floor, "end": top, "size": (top - floor) / 12 or 1, "color": "rgba(32,33,36,0.4)"}
    figure.add_surface(
        x=a,
        y=b,
        z=height,
        customdata=losses,
        colorscale="Cividis",
        contours={"z": {"show": True, "project": {"z": True}, "usecolormap": False, **contours}},
        colorbar={"title": "loss", "tickvals": places, "ticktext": [short(x) for x in levels], "len": 0.7},
        hovertemplate="loss %{customdata:.3g}<extra></extra>",
    )
    if path is not None and len(path):
        read = interpolate(height, a, b, path)
        words = [f"step {step}" for step in (range(len(path)) if steps is None else steps)]
        lift = 0.01 * (top - floor)
        line = {
            "mode": "lines+markers",
            "line": {"color": PATH, "width": 5},
            "hovertemplate": "%{text}<extra></extra>",
        }
        figure.add_scatter3d(x=path[:, 0], y=path[:, 1], z=read + lift, text=words, marker={"size": 2.5}, **line)
        ends = {"mode": "markers+text", "textposition": "top center", "hoverinfo": "skip"}
        x, y, z = (column[[0, -1]] for column in (path[:, 0], path[:, 1], read + lift))
        dots = {"size": 5, "color": PATH, "symbol": ["circle-open", "diamond"]}
        figure.add_scatter3d(x=x, y=y, z=z, text=["start", words[-1]], marker=dots, **ends)
    across, up = AXES.get(kind, ("direction 1", "direction 2"))
    upward = {
        "title": "loss, log scale" if log else "loss",
        "tickvals": places,
        "ticktext": [short(x) for x in levels],
    }
    figure.update_layout(
        title={"text": landscape_text(losses, steps, share), "font": {"size": 14}},
        scene={
            "xaxis": {"title": across},
            "yaxis": {"title": up},
            "zaxis": upward,
            "aspectratio": _ASPECT,
            "camera": _CAMERA,
        },
        template="plotly_white",
        margin={"l": 0, "r": 0, "t": 40, "b": 10},
        height=520,
        showlegend=False,
    )
    return figure


def landscape_contour(
    losses: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    path: np.ndarray | None = None,
    steps: np.ndarray | None = None,
    share: float | None = None,
    kind: str = "",
) -> "PlotlyFigure":
    """The loss as a map to be hovered over and zoomed, with contour lines and the path on it (Plotly).

    Arguments as in `landscape`. Places where the loss is not finite are left out.
    """
    import plotly.graph_objects as go  # only here: it takes half a second

    losses = np.asarray(losses, float)
    values, levels, log = scaled(losses)
    places = np.log10(levels) if log else np.asarray(levels)
    figure = go.Figure()
    figure.add_contour(
        x=a,
        y=b,
        z=values.filled(np.nan),
        customdata=losses,
        colorscale="Cividis",
        line={"color": "white", "width": 0.7},
        colorbar={"title": "loss", "tickvals": places, "ticktext": [short(x) for x in levels]},
        hovertemplate="loss %{customdata:.3g}<extra></extra>",
    )
    if path is not None and len(path):
        words = [f"step {step}" for step in (range(len(path)) if steps is None else steps)]
        line = {
            "mode": "lines+markers",
            "line": {"color": "white", "width": 2},
            "hovertemplate": "%{text}<extra></extra>",
        }
        figure.add_scatter(x=path[:, 0], y=path[:, 1], text=words, marker={"size": 4, "color": PATH}, **line)
        dots = {"size": 11, "color": PATH, "symbol": ["circle-open", "star"]}
        ends = {
            "mode": "markers+text",
            "textposition": "top center",
            "hoverinfo": "skip",
            "textfont": {"color": "white"},
        }
        figure.add_scatter(x=path[[0, -1], 0], y=path[[0, -1], 1], text=["start", words[-1]], marker=dots, **ends)
    across, up = AXES.get(kind, ("direction 1", "direction 2"))
    figure.update_layout(
        title={"text": landscape_text(losses, steps, share), "font": {"size": 14}},
        xaxis={"title": across},
        yaxis={"title": up, "scaleanchor": "x"},
        template="plotly_white",
        margin={"l": 0, "r": 0, "t": 40, "b": 10},
        height=520,
        showlegend=False,
    )
    return figure
