"""PROTOCOL.md against the code: its numbers, its hand-made tables, its worked examples, and the real firmware fed with their bytes."""

import re

import make
import pytest
import shown_capture
from bare_pump import Bench
from ends import SCHEMA
from plainwire import prf, uncobs
from thecal.firmware import access, alarms, event_log, history, limits, modes, orders, orders_program, settings
from thecal.host.alarms import TABLE as ALARMS
from thecal.host.blocks import STOP_REASONS
from thecal.protocol import catalogue as cat
from thecal.protocol import frame as fr
from thecal.protocol import requester
from thecal.protocol import session as ss
from thecal.protocol.crc import crc16, crc32

PAGE = make.PAGE.read_text(encoding="utf-8")
BYTE_US = 10 / 115200 * 1e6
RTO_FLOOR_MS = requester.Requester(SCHEMA)._floor_ms


def example(name):
    """{label: bytes} of a worked example; what goes on the line is `label line`."""
    text = next(match[0] for match in make.EXAMPLE.finditer(PAGE) if match["name"] == name)
    found, label, owner = {}, "", ""
    for line in text.splitlines()[2:-2]:
        if line[:22].strip():
            label = line[:22].strip()
            if not line.startswith(" "):
                owner = label
            label = owner if label == owner else "%s %s" % (owner, "line" if label == "on the line" else label)
            found[label] = b""
        if "direction" not in label and "(none)" not in line:
            found[label] += bytes.fromhex(line[22:])
    return found


# ---------------------------------------------------------------------------------------------------- words and numbers
SAYS = [
    f"protocol version {cat.PROTOCOL_VERSION}",
    f"`version` is this protocol's, {cat.PROTOCOL_VERSION};",
    f'"thecal/{cat.PROTOCOL_VERSION}|"',
    f"10 bits: {BYTE_US:.1f} us at 115200",
    f"{fr.MAX_FRAME} bytes on the line: {fr.MAX_FRAME * BYTE_US / 1000:.1f} ms",
    f"| first wait for a reply | {requester.FIRST_RTO_MS} ms |",
    f"at least {RTO_FLOOR_MS} ms (three longest frames",
    f"| {requester.TRIES}, then it is given up |",
    f"srtt + 4 rttvar (RFC 6298), at least {RTO_FLOOR_MS} ms (three longest frames and the turnaround), at most {requester.MAX_RTO_MS} ms",
    f"twice the one before, at most {requester.MAX_BACKOFF_MS} ms",
    f"| handshakes | at most {access.OPENS} may begin in a row",
    f"costs {access.BYTE_NJ / 1000:g} uJ (a 10 mW link for 87 us, a 3 mW controller for 40 us)",
    f"computed for anything else {access.TAG_NJ // 1000} uJ",
    f"`contact` to {cat.CONTACT_BYTES})",
    f"| idle session closes after | {access.IDLE_S} s",
    f"| a stage lives | {limits.STAGE_LIFE_S} s",
    f"frame version (3 bits, now {fr.VERSION})",
    f"of the payload, 0..{fr.MAX_PAYLOAD}",
    f"A body is at most {fr.MAX_BODY} bytes",
    f"too short (below {fr.MIN_BODY} bytes)",
    f"one transcript T of {len(ss.transcript(SCHEMA, 1, 1, 1, bytes(16), bytes(16)))} bytes",
    f"({ss.NONCE_BYTES} random bytes, new every time)",
    f"= first {ss.PROOF_BYTES} bytes of HMAC",
    f"first {fr.TAG_BYTES[2]} (class 2) or {fr.TAG_BYTES[3]} (class 3) bytes",
    f"it *locks* for {access.FIRST_LOCK_S} s, each time twice as long, at most {access.LONGEST_LOCK_S} s",
    f"Each pump has three keys of {ss.KEY_BYTES} bytes",
    f"first {cat.DIGEST_BYTES} bytes of SHA-256(kind",
    f"events, the last {event_log.EVENTS} | {cat.EVENT_BYTES} bytes | {cat.EVENT_BYTES} x",
    f"the last {event_log.DAYS} | {cat.DAY_BYTES} bytes | {cat.DAY_BYTES} x",
    "at most 200 bytes a time",
    f"when it is {limits.FLOOR_RATE_NL_DAY:,}..{limits.MAX_RATE_NL_DAY:,} nL/day",
    f"one count (1..{cat.MAX_STEPS_A_DAY}; periodic 1..{2 * cat.MAX_BOLUSES_A_DAY + 1})",
    f"the last {event_log.FAULTS}: records as in file 0", f"alarm action, the last {history.RECORDS} | {cat.HISTORY_BYTES} bytes | {cat.HISTORY_BYTES} x",
    f"past programs, the last {settings.PAST - 1}: time u32", f"| {cat.PRESCRIPTION_BYTES} bytes | {cat.PRESCRIPTION_BYTES} x",
    f"0x{orders_program.NO_BRIDGE:04X} a change of drug without a bridge, 0x{orders_program.STEP:04X} a step above",
    f"logged (event {cat.E_OVERRIDE})", f"and logged (event {cat.E_DENIED})", f"`mode` has bit 0x{history.CLOCK_MOVED:X} set",
    f"floor(counts_per_rev x pulse_nl / nl_per_rev) at least {2 * limits.EDGE_COUNTS}.",
    f"+ {limits.HOLD_MARGIN_MS + 1} at most 500 ms",
    f"padded with zeros to {cat.DRUG_NAME_BYTES}",
    f'"123456789" gives 0x{crc32(b"123456789"):X}',
    f'"123456789" gives 0x{crc16(b"123456789", 0, 9):X}',
    "Behind every eighth it",
    "ids 0x%02X..0x%02X" % (cat.EXTENSION_FIRST, cat.EXTENSION_LAST), "24 days of nothing but the shortest frames at 115200",
    ", ".join("%d %s" % (number, name) for number, name in enumerate(name.replace("mri", "MRI") for name in STOP_REASONS)),
]


@pytest.mark.parametrize("words", SAYS)
def test_the_page_says_the_number_that_runs(words):
    assert words.replace("\n", " ") in PAGE.replace("\n", " "), words


def test_numbers_that_are_words_there():
    assert access.FREE_FORGERIES == 8 and ss.MAX_COUNTER == (1 << 30) - 1
    shortest = fr.MIN_BODY + fr.trailer_bytes(fr.CLASS_ROUTINE) + 2
    assert int(ss.MAX_COUNTER * shortest * BYTE_US / 1e6 / 86400) == 24
    assert ss.ROLES == ("", "clinician", "service", "patient")
    assert orders.SERVICE_KINDS == (cat.COMMISSION, cat.SET_CLOCK, cat.ALARM_TEST)
    assert cat.message(cat.FILE_READ)[5][2][4] == cat.message(cat.STAGE)[5][3][4] == 200


def rows_of(mark):
    """Cells of the hand-made table between `<!-- mark -->` and `<!-- /mark -->`, head first."""
    text = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", PAGE, re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return rows[:1] + rows[2:]


@pytest.mark.req("TH-MODE-03")
def test_the_table_of_modes_and_blocks_is_the_firmwares():
    head, *rows = rows_of("modes-and-blocks")
    kinds = {name: kind for kind, name, _ in cat.BLOCKS}
    assert head[1:] == list(cat.MODES) and [row[0] for row in rows] == list(kinds)
    for name, *cells in rows:
        for mode, cell in enumerate(cells):
            allowed = modes.leads_to(mode, kinds[name]) != modes.REFUSE
            assert cell == ("yes" if allowed else ""), (name, cat.MODES[mode])


@pytest.mark.req("TH-ALM-30")
def test_the_alarm_rows_of_the_page_are_the_firmwares():
    """The words are the host's; which rows there are and how urgent each is, the firmware's."""
    assert {row: alarm.priority for row, alarm in ALARMS.items()} == {row: alarms.priority(row) for row in range(1, alarms.ROWS + 1)}


def test_every_reason_has_its_advice():
    told = {int(number) for line in re.findall(r"^\| ([\d, ]+) \| .+ \| .+ \| .+ \|$", PAGE, re.MULTILINE) for number in line.split(",")}
    assert {reason for reason, _ in cat.REASONS} <= told


def test_every_file_role_and_class_is_told():
    for row in ("| 0 | open | none | 0 |", "| 1 | plain | none | schema CRC |", "| 2 | routine | 4 + 8 bytes |", "| 3 | therapy | 4 + 16 bytes |"):
        assert row in PAGE
    for number, name in enumerate(ss.ROLES[1:], 1):
        assert f"| {number} | {name} |" in PAGE
    files = re.findall(r"^\| ([\d, ]+) \| .* \|(?: \d+ bytes)? \| (?:\d+ x .*|0) \|$", PAGE, re.MULTILINE)
    assert [int(number) for row in files for number in row.split(",")] == list(range(cat.FILE_PRESCRIPTIONS + 1))


def test_links_within_the_page_lead_somewhere():
    heads = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) <= heads


# ---------------------------------------------------------------------------------------------------- worked examples
def test_the_examples_are_those_of_the_generator():
    assert make.rewrite(PAGE) == PAGE, "run 'python tests/golden/make.py'"


def test_a_page_that_lacks_an_example_or_asks_for_another_is_refused():
    with pytest.raises(ValueError, match="the page shows the examples"):
        make.rewrite(PAGE.replace("example: status", "example: weather"))


def test_the_steps_of_each_example_lead_to_its_line():
    """From the printed hex alone, by the formulas of the page."""
    keys = {"to host": example("keys")["tag to host"], "to pump": example("keys")["tag to pump"]}
    count = 0
    for name in ("confirm", "status", "file_read", "order"):
        found = example(name)
        for label in [label for label in found if label + " tag" in found]:
            def part(what, found=found, label=label):
                return found.get("%s %s" % (label, what), b"")
            secret = part("ciphertext")
            assert secret == bytes(one ^ other for one, other in zip(part("payload"), part("keystream"), strict=True))
            tagged = found[label] + secret + part("counter")
            key = keys["to host" if label.endswith("_reply") else "to pump"]
            assert prf(key, b"", tagged)[:len(part("tag"))] == part("tag")
            assert uncobs(part("line")) == tagged + part("tag") + part("CRC, seed schema")
            assert crc32(tagged + part("tag"), SCHEMA) == int.from_bytes(part("CRC, seed schema"), "little")
            count += 1
    assert count == 11
    said = example("open")
    assert said["transcript"][2:6] == SCHEMA.to_bytes(4, "little") and len(said["transcript"]) == 46


@pytest.fixture
def pump(monkeypatch):
    """The real firmware as the example has it: serial 1001, 7th boot, never paired, its nonce f0..ff."""
    bench = Bench()
    while bench.app.settings.boot_count < make.BOOT_COUNT:
        bench.reboot()
    monkeypatch.setattr(bench.app.telemetry.access, "_fresh_nonce", lambda: make.DEVICE_NONCE)
    assert bench.app.serial == make.SERIAL
    return bench


def test_the_capture_shown_is_the_one_that_this_pump_and_host_make():
    assert shown_capture.rewrite(PAGE) == PAGE, "run 'python tests/protocol/shown_capture.py'"
    shown = shown_capture.SHOWN.search(PAGE)[0]
    assert f"version {cat.PROTOCOL_VERSION}; schema_crc 0x{SCHEMA:08x}" in shown and shown.count("again 0") == 2
    assert "claims to be stage_reply" in shown and "sent and lost" in shown and "its counter is old: replayed" in shown
    assert f"A status, and its {len(cat.message(cat.STATUS | cat.REPLY_BIT)[5])} fields, left out." in PAGE


def test_the_real_firmware_gives_the_very_bytes_of_the_examples(pump):
    def tell(line):
        pump.wake(line)
        return bytes(pump.latch.tx[:pump.latch.tx_length])

    hello, said, confirm, order = (example(name) for name in ("hello", "open", "confirm", "order"))
    assert tell(hello["hello line"]) == hello["hello_reply line"]
    assert tell(said["session_open line"]) == said["session_open_reply line"]
    assert tell(said["session_confirm line"]) == confirm["session_confirm_reply line"]
    for name in ("status", "file_read"):
        answer, shown = tell(example(name)[name + " line"]), example(name)[name + "_reply line"]
        assert len(answer) == len(shown) and answer[1:5] == shown[1:5], "a frame of the same shape; the figures are the pump's own"
    assert tell(order["stage line"]) == order["stage_reply line"]
    assert tell(order["check line"]) == order["check_reply line"]
    committed = uncobs(tell(order["commit line"]))
    assert committed[:5] == order["commit_reply"]
    block = example("block")
    assert pump.app.program_block == block["canonical"] and pump.app.settings.program_digest == block["digest"]
    assert pump.app.telemetry.access.forgeries == 0 and pump.app.telemetry.frames_bad() == 0
    close = next(row for row in make.sealed_frames() if row[0] == "session_close")
    assert tell(close[2]["line"])[1:3] == bytes([0x22, cat.SESSION_CLOSE | cat.REPLY_BIT])
    assert pump.app.telemetry.access.role == 0
