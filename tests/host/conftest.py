"""Makes this folder's helper module `fake_pump` importable under pytest's importlib mode, and hands out fakes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_pump import FakeClock, FakePump  # noqa: E402  (the line above makes it importable)

from thecal.host.programmer import Programmer  # noqa: E402


@pytest.fixture
def fake():
    """A scripted pump on a virtual clock."""
    return FakePump(FakeClock())


@pytest.fixture
def pump(fake):
    """A programmer on it."""
    return Programmer(fake, timeout_s=5.0)
