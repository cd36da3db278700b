"""A client written by somebody who had PROTOCOL.md and nothing else (clean_room_client.py) against pumps of ours, over every way in.

If it stops working, either the pump broke its word or the page did: mend those, not the client.
"""

import ast
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from thecal.hw_sim.endpoints import Server, open_sim
from thecal.hw_sim.scenario import load_scenario, world_for

FILE = Path(__file__).with_name("clean_room_client.py")


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("clean_room_client", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["clean_room_client"] = module
    spec.loader.exec_module(module)
    return module


def test_it_imports_nothing_of_ours():
    names = set()
    for node in ast.walk(ast.parse(FILE.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            names.add(node.module.split(".")[0])
    assert names <= set(sys.stdlib_module_names) | {"serial"}


def visit(client, port):
    """Handshake, status, log, stage, check, read-back, commit, status, close; returns the rate before and after."""
    seen = client.run(client.Client(port))
    assert seen["after"]["rate_nl_day"] == 240_000
    return seen["before"]["rate_nl_day"]


def test_in_virtual_time(client):
    port = open_sim("sim://?scenario=baclofen-b1&runtime=inprocess")
    try:
        assert visit(client, port) == 300_000
        assert visit(client, port) == 240_000
        assert port.world.truth()["rotor_steps"] >= 0
    finally:
        port.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a pty is POSIX's")
def test_over_tcp_and_a_pty(client, tmp_path):
    import threading
    world = world_for(load_scenario("baclofen-b1"), runtime="inprocess")
    link, over = tmp_path / "pump0", threading.Event()
    server = Server(world, speed=20.0, tcp=0, pty=link)
    thread = threading.Thread(target=lambda: server.run(stop=over.is_set))
    thread.start()
    try:
        assert visit(client, "socket://127.0.0.1:%d" % server.tcp_port) == 300_000
        assert visit(client, os.fspath(link)) == 240_000
    finally:
        over.set()
        thread.join()
        server.close()
        world.close()
