"""The bundle of ports and the bounds that boards and firmware share."""

from thecal.firmware import ports

NAMES = ("clock", "motor", "encoder", "level", "inlet_pressure", "temperature", "battery", "uart", "store", "tone", "magnet", "entropy",
         "system", "runtime")


def test_the_bundle_holds_what_it_is_given_under_the_documented_names():
    made = ports.Ports(*range(len(NAMES)))
    assert {name: getattr(made, name) for name in NAMES} == {name: index for index, name in enumerate(NAMES)}
    assert set(vars(made)) == set(NAMES)


def test_limits_of_a_step():
    assert (ports.MAX_POLLS, ports.MAX_HOLD_MS, ports.MAX_DELAY_MS) == (10_000, 500, 3_600_000)
    assert issubclass(ports.TooManyPolls, Exception) and issubclass(ports.PowerCut, Exception)
    assert not issubclass(ports.PowerCut, OSError), "a handler of a full store must not swallow a power cut"
