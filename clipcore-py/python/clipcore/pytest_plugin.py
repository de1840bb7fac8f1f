"""Fixtures for pytest, there as soon as clipcore is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clipcore import Simulation


@pytest.fixture(scope="session")
def clipcore_check_detector() -> Callable[..., None]:
    """[`check_detector`][clipcore.conformance.check_detector]."""
    from clipcore.conformance import check_detector

    return check_detector


@pytest.fixture(scope="session")
def clipcore_simulate() -> Callable[..., Simulation]:
    """[`simulate`][clipcore.simulate]."""
    from clipcore import simulate

    return simulate


@pytest.fixture(scope="session")
def clipcore_stream() -> Simulation:
    """Half an hour of simulated chat with known highlights, the same every time."""
    from clipcore import simulate

    return simulate(seed=7, hours=0.5, stream="clip-stream")
