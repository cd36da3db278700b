"""Worlds for tests: the real App on the reference plant, filled and programmed through the ordinary Programmer, in virtual time."""

import sys
from pathlib import Path

import pytest

from thecal.host.fill import Fill
from thecal.host.implant import Implant
from thecal.host.prescription import Prescription
from thecal.host.programmer import Programmer
from thecal.hw_sim.params import PatientParams, PlantParams
from thecal.hw_sim.world import World

sys.path.append(str(Path(__file__).resolve().parent))      # command_book, stall_case, therapy_model: helpers of tests
PARAMS, ADULT = PlantParams.load("reference"), PatientParams.load("adult")


def therapy(port, dose="100 ug/day"):
    """Commission, fill and program 200 ug/mL baclofen over `port`: 100 ug/day are 500 uL a day, a pulse every 172.8 s."""
    with Programmer(port) as pump:
        pump.commission(Implant.reference())
        pump.refill(Fill("18 mL", "baclofen", "200 ug/mL"))
        pump.program(Prescription.simple("baclofen", concentration="200 ug/mL", dose=dose), confirm=True)
        return pump.status()


@pytest.fixture
def new_world():
    """`new_world(runtime=..., ...)`: as World.build, in-process unless told otherwise; closed at the end of the test."""
    made = []

    def make(runtime="inprocess", ready=False, **options):
        world = World.build(runtime=runtime, params=PARAMS, patient=ADULT, **options)
        made.append(world)
        if ready:
            world.plant.fill(18_000.0, {"baclofen": 200.0})
            therapy(world.port())
        return world

    yield make
    for world in made:
        world.close()


@pytest.fixture
def firmware(tmp_path):
    """`firmware(body)`: a folder with a pump.py whose step() has this body (indented by the caller's `;` and newlines)."""
    def make(body, init="pass", name="firmware"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "pump.py").write_text(
            "class Pump:\n    def __init__(self, ports):\n        self.ports = ports\n        " + init
            + "\n    def step(self):\n        " + body.replace("\n", "\n        ") + "\n\ndef build(ports):\n    return Pump(ports)\n")
        return folder

    return make
