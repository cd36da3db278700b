"""Text on the wire: whole or refused, in one sentence; what comes back is printable whatever it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thecal.host import Fill, ImplantRecord, Prescription
from thecal.host.blocks import commission_block
from thecal.host.errors import RequestInvalid
from thecal.host.implant import Implant
from thecal.host.texts import read_text, wire_text


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16))
def test_what_fits_comes_back_whole(text):
    assert read_text(wire_text(text, "lot", 16)) == text and len(wire_text(text, "lot", 16)) == 16


@given(st.binary(max_size=40))
def test_text_off_the_wire_is_printable_whatever_it_was(raw):
    assert read_text(raw).isprintable() and read_text(raw).isascii()


def program(editor):
    return Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day", editor=editor)


@pytest.mark.parametrize(("make", "field", "most"), [
    (program, "editor", 16),
    (lambda text: Fill("18 mL", "baclofen", "500 ug/mL", lot=text), "lot", 16),
    (lambda text: commission_block(Implant(contact=text), 1), "contact", 32),
    (lambda text: ImplantRecord(text, "", 0).values(), "patient", 8),
    (lambda text: ImplantRecord("AB", text, 0).values(), "indication", 16),
    (lambda text: ImplantRecord("AB", "", 0, text).values(), "tip level", 8),
])
def test_one_too_long_is_refused_and_never_cut(make, field, most):
    make("x" * most)
    with pytest.raises(RequestInvalid, match="^%s 'x{%d}' has %d characters; allowed are 0 .. %d$" % (field, most + 1, most + 1, most)) as caught:
        make("x" * (most + 1))
    assert caught.value.field == field
    for odd in ("Zürich", "a\nb", "\x1b[2J"):
        with pytest.raises(RequestInvalid, match="^%s '.*' must be plain printable ascii of 0 .. %d characters$" % (field, most)):
            make(odd)
