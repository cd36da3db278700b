"""The ports in prose: every method is a promise that a board keeps, and the bundle names them all."""

import inspect

import pytest
from thecal.firmware import port_shapes as shapes
from thecal.firmware import ports
from thecal.firmware.boards.latched import Latch, bundle

SHAPES = {"clock": shapes.Clock, "motor": shapes.Motor, "encoder": shapes.Encoder, "level": shapes.Analog, "inlet_pressure": shapes.Analog,
          "temperature": shapes.Analog, "battery": shapes.Analog, "uart": shapes.Uart, "store": shapes.Store, "tone": shapes.Tone,
          "magnet": shapes.Magnet, "entropy": shapes.Entropy, "system": shapes.System}


def methods(shape):
    return {name: function for name, function in vars(shape).items() if inspect.isfunction(function) and not name.startswith("_")}


def test_each_port_of_the_bundle_has_its_shape():
    assert set(SHAPES) | {"runtime"} == set(inspect.signature(ports.Ports).parameters)


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
