"""The ports in prose: every method is a promise that a board keeps, and the bundle names them all."""

import inspect

import pytest
from thecal.firmware import ports
from thecal.firmware.boards.latched import Latch, bundle

NAMES = ("clock", "motor", "encoder", "level", "inlet_pressure", "temperature", "battery", "uart", "store", "tone", "magnet", "entropy",
         "system", "runtime")
SHAPES = {"clock": ports.Clock, "motor": ports.Motor, "encoder": ports.Encoder, "level": ports.Analog, "inlet_pressure": ports.Analog,
          "temperature": ports.Analog, "battery": ports.Analog, "uart": ports.Uart, "store": ports.Store, "tone": ports.Tone,
          "magnet": ports.Magnet, "entropy": ports.Entropy, "system": ports.System}


def methods(shape):
    return {name: function for name, function in vars(shape).items() if inspect.isfunction(function) and not name.startswith("_")}


def test_the_bundle_holds_what_it_is_given_under_the_documented_names():
    made = ports.Ports(*range(len(NAMES)))
    assert {name: getattr(made, name) for name in NAMES} == {name: index for index, name in enumerate(NAMES)}
    assert set(vars(made)) == set(NAMES)
    assert set(SHAPES) | {"runtime"} == set(NAMES)


@pytest.mark.parametrize("shape", sorted(set(SHAPES.values()), key=lambda shape: shape.__name__))
def test_a_port_that_a_board_forgot_says_so(shape):
    assert methods(shape) and shape.__doc__
    for name, function in methods(shape).items():
        assert function.__doc__, name
        with pytest.raises(NotImplementedError):
            function(shape(), *[1] * (len(inspect.signature(function).parameters) - 1))


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_latched_board_keeps_every_promise_with_the_same_arguments(name):
    if name == "store":
        return      # the runner's: tests/hw_sim/test_runner.py
    port = getattr(bundle(Latch(), None, "x"), name)
    for method, function in methods(SHAPES[name]).items():
        assert list(inspect.signature(getattr(port, method)).parameters) == list(inspect.signature(function).parameters)[1:]


def test_limits_of_a_step():
    assert (ports.MAX_POLLS, ports.MAX_HOLD_MS, ports.MAX_DELAY_MS) == (10_000, 500, 3_600_000)
    assert issubclass(ports.TooManyPolls, Exception) and issubclass(ports.PowerCut, Exception)
    assert not issubclass(ports.PowerCut, OSError), "a handler of a full store must not swallow a power cut"
