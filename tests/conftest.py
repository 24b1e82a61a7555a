"""Tests marked `gpu` are skipped where no GPU computes."""

import pytest

from labkit import device


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if device.choose().device.type != "cpu":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no GPU computes here"))
