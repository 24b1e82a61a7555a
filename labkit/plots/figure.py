"""A Matplotlib figure that shows itself in a notebook, with a text for those who do not see it."""

import base64
import io
from html import escape
from typing import Any

from matplotlib.figure import Figure as MatplotlibFigure


class Figure(MatplotlibFigure):
    """Like Matplotlib's, but needs no pyplot to be displayed, and carries `alt`: what it shows, in words."""

    alt: str = ""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=144)
        data = base64.b64encode(file.getvalue()).decode()
        width = round(self.get_figwidth() * 96)
        shown = f'alt="{escape(self.alt)}" style="max-width: 100%" width="{width}"'
        return {"text/html": f'<img {shown} src="data:image/png;base64,{data}">', "text/plain": f"Figure: {self.alt}"}
