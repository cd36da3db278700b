"""Makes this folder's helper modules `fake_pump` and `real_pump` importable under pytest's importlib mode, and hands out both pumps."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_pump import FakeClock, FakePump  # noqa: E402  (the line above makes it importable)
from real_pump import RealPump  # noqa: E402

from thecal.host import Fill, Implant  # noqa: E402
from thecal.host.programmer import Programmer  # noqa: E402


@pytest.fixture
def fake():
    """A scripted pump on a virtual clock."""
    return FakePump(FakeClock())


@pytest.fixture
def pump(fake):
    """A programmer on it."""
    return Programmer(fake, timeout_s=5.0)


@pytest.fixture
def real():
    """The real firmware on a bench, from the factory."""
    return RealPump()


@pytest.fixture
def bedside(real):
    """A programmer on it, commissioned, filled with 18.6 mL of 500 ug/mL baclofen and primed; no program yet."""
    pump = Programmer(real, timeout_s=5.0)
    pump.commission(Implant())
    real.inject(18_600)
    pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
    pump.prime("both")
    pump.wait(minutes=30)
    return pump
