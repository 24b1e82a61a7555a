"""What a view does when a notebook cell has ended: look whether the cell changed what it shows."""

import weakref
from collections.abc import Callable
from typing import Any

from labkit.widgets.view import View


def after_each_cell(view: View, look: Callable[[Any], None]) -> None:
    """Call `look(view)` when a notebook cell has ended, as long as the view lives; nothing outside of a notebook."""
    try:
        from IPython import get_ipython

        events = get_ipython().events
    except (ImportError, AttributeError):
        return
    reference = weakref.ref(view)

    def ended(*_: Any) -> None:
        living = reference()
        if living is None:
            events.unregister("post_run_cell", ended)
        else:
            look(living)

    events.register("post_run_cell", ended)
