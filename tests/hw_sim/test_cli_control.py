"""`thecal-sim fault` against a door that answers: what it sends, and its exit status."""
import threading

import pytest
from click.testing import CliRunner
from thecal.hw_sim.cli import cli
from thecal.hw_sim.control_door import ControlDoor


@pytest.fixture
def door():
    made = ControlDoor(lambda text: "refused: no" if "gremlin" in text else "ok " + text.strip(), port=0)
    over = threading.Event()

    def serve():
        while not over.wait(0.005):
            made.poll()

    thread = threading.Thread(target=serve)
    thread.start()
    yield made
    over.set()
    thread.join()
    made.close()


@pytest.mark.parametrize("words, sent", [
    (["head_gain", "1.3"], "fault head_gain 1.3"), (["heal", "head_gain"], "heal head_gain"), (["level_offset_ul", "-500"], "fault level_offset_ul -500"),
    (["env", "temperature", "39"], "env temperature 39"), (["fault", "kink"], "fault kink"), (["truth"], "truth")])
def test_a_fault_is_the_usual_command_and_the_others_go_as_they_are(door, words, sent):
    done = CliRunner().invoke(cli, ["fault", "--control", str(door.port), *words])
    assert (done.exit_code, done.stdout) == (0, "ok %s\n" % sent)


def test_a_refusal_is_said_on_stderr_and_no_pump_is_no_connection(door):
    done = CliRunner().invoke(cli, ["fault", "--control", str(door.port), "gremlin"])
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "no\n")
    free = ControlDoor(str, port=0)
    port = free.port
    free.close()
    done = CliRunner().invoke(cli, ["fault", "--control", str(port), "truth"])
    assert done.exit_code == 3 and "no pump answers on control port %d" % port in done.stderr
