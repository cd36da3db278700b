"""HMAC by RFC 4231 and against the standard library, a comparison that always looks at everything, the keystream and its one use."""

import hashlib
import hmac

import pytest
from ends import sessions
from hypothesis import given
from hypothesis import strategies as st
from thecal.protocol import session as session_module
from thecal.protocol.mac import BLOCK, DIGEST, Mac, crypt, same

# RFC 4231, section 4: key, data, HMAC-SHA-256 (case 5 is cut to 128 bits there).
RFC_4231 = [
    pytest.param(b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", id="case 1"),
    pytest.param(b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", id="case 2"),
    pytest.param(b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe", id="case 3"),
    pytest.param(bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b", id="case 4"),
    pytest.param(b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b", id="case 5"),
]


@pytest.mark.req("TH-LINK-02")
@pytest.mark.parametrize(("key", "data", "expected"), RFC_4231)
def test_published_vectors(key, data, expected):
    tag = Mac(key).tag(data)
    assert len(tag) == DIGEST and tag.hex()[:len(expected)] == expected


@given(st.binary(min_size=1, max_size=BLOCK), st.binary(max_size=300), st.binary(max_size=100))
def test_any_key_and_message_as_the_standard_library_has_it(key, data, more):
    mac = Mac(key)
    assert mac.tag(data, more) == hmac.new(key, data + more, "sha256").digest() == mac.tag(memoryview(data), more)


@pytest.mark.parametrize("length", [0, BLOCK + 1])
def test_keys_that_would_need_a_rule_of_their_own_are_refused(length):
    with pytest.raises(AssertionError):
        Mac(bytes(length))


class Looked:
    """A buffer that counts who looks where."""

    def __init__(self, data):
        self.data, self.at = data, []

    def __getitem__(self, index):
        self.at.append(index)
        return self.data[index]


@pytest.mark.parametrize("wrong_at", [None, 0, 1, 7, 14, 15])
def test_comparing_costs_the_same_whatever_it_finds(wrong_at):
    tag, received = bytes(range(32)), bytearray(b"junk" + bytes(range(16)) + b"more")
    if wrong_at is not None:
        received[4 + wrong_at] ^= 0x10
    one, other = Looked(tag), Looked(received)
    assert same(one, other, 4, 16) == (wrong_at is None)
    assert one.at == list(range(16)) and other.at == list(range(4, 20))


def test_comparing_finds_every_single_bit():
    tag = bytes(range(32))
    for bit in range(128):
        received = bytearray(tag[:16])
        received[bit // 8] ^= 1 << bit % 8
        assert not same(tag, received, 0, 16)
        assert same(tag, received, 0, 8) == (bit >= 64)


@given(st.binary(min_size=32, max_size=32), st.integers(0, (1 << 30) - 1), st.binary(max_size=220), st.integers(0, 9))
def test_the_keystream_is_sha256_in_counter_mode_and_its_own_inverse(key, counter, clear, at):
    stream = b"".join(hashlib.sha256(key + counter.to_bytes(4, "little") + block.to_bytes(4, "little")).digest() for block in range(7))
    buffer = bytearray(b"\x55" * at + clear + b"\x66" * 9)
    crypt(key, counter, buffer, at, len(clear))
    assert buffer == b"\x55" * at + bytes(one ^ other for one, other in zip(clear, stream)) + b"\x66" * 9
    crypt(key, counter, buffer, at, len(clear))
    assert buffer[at:at + len(clear)] == clear


def test_blocks_of_a_keystream_and_of_its_neighbours_all_differ():
    blocks = set()
    for key in (b"a" * 32, b"b" * 32):
        for counter in (0, 1, 2, 255, 256, 65536, (1 << 30) - 1):
            buffer = bytearray(220)
            crypt(key, counter, buffer, 0, 220)
            blocks |= {bytes(buffer[start:start + 32]) for start in range(0, 192, 32)}
    assert len(blocks) == 2 * 7 * 6


def test_no_key_and_counter_ever_serve_two_messages(monkeypatch):
    """Both directions of sessions that differ in one thing each: the same key with the same counter would give both texts away."""
    used = []
    monkeypatch.setattr(session_module, "crypt", lambda key, counter, *_: used.append((bytes(key), counter)))
    for said in ({}, {"role": 2}, {"host_nonce": b"H" * 16}, {"device_nonce": b"D" * 16}, {"boot_count": 4}, {"serial": 1002}, {"key": b"k" * 32}):
        for end in sessions(**said):
            for _ in range(20):
                assert end.sending.seal(bytearray(64), 0, 10, 2)
    assert len(used) == len(set(used)) == 7 * 2 * 20
