"""Room for a fill: by the book, by the sensor, and for one that was typed wrongly a moment ago."""

import pytest
from fake_pump import FakePump

from thecal.host.errors import RequestInvalid
from thecal.host.fill import Fill
from thecal.host.implant import Implant
from thecal.host.records import Event, Status
from thecal.host.room import check_room, correction
from thecal.protocol import catalogue as cat

LAST = Event(3, 0, cat.E_REFILL, 0, 18_600, 0)


def fill(volume, withdrawn="0 mL"):
    return Fill(volume, "baclofen", "500 ug/mL", withdrawn=withdrawn)


def room(given, computed_ul, sensed_ul, delivered_nl=5_000_000, **fields):
    status = Status.of({**FakePump().status(), "reservoir_computed_nl": computed_ul * 1000, "reservoir_sensed_ul": sensed_ul, **fields})
    return check_room(given, status, Implant(), delivered_nl, LAST)


@pytest.mark.req("TH-LIFE-33")
@pytest.mark.parametrize("given, computed_ul, sensed_ul", [
    (fill("18.6 mL", "2 mL"), 3_400, 3_450), (fill("18.6 mL", "1 mL"), 3_400, 3_450),      # 1 mL is the pump's own accuracy
    (fill("5 mL"), 10_600, 10_600),                                                     # a top-up that fits
    (fill("18.6 mL", "0.6 mL"), 15_000, 2_000),                                         # theft: the sensor shows it
    (fill("18.6 mL", "0.6 mL"), 15_000, 20_010),                                        # the same, recorded behind the injection
])
def test_a_fill_that_has_room(given, computed_ul, sensed_ul):
    assert room(given, computed_ul, sensed_ul) == []


@pytest.mark.req("TH-LIFE-33")
def test_a_fill_without_room_is_refused_by_book_and_sensor():
    with pytest.raises(RequestInvalid, match="a fill of 18.6 mL does not fit by the book: 19.025 mL were computed to be in the reservoir of 20 mL and nothing was withdrawn; empty it first"):
        room(fill("18.6 mL"), 19_025, 19_090)
    with pytest.raises(RequestInvalid, match="and 5 mL withdrawn"):
        room(fill("18.6 mL", "5 mL"), 19_025, 19_090)
    with pytest.raises(RequestInvalid, match="does not fit"):
        room(fill("18.6 mL"), 15_000, 18_000)       # more than the book, and less than this fill alone
    assert room(fill("18.6 mL", "3 mL"), 10_000, 10_000, delivered_nl=40_000_000) == [], "15 % of 40 mL"
    assert "the level sensor is at fault" in room(fill("18.6 mL", "0.6 mL"), 15_000, 0, alarms=1 << 20)[0]


@pytest.mark.req("TH-LIFE-33")
def test_a_fill_recorded_a_moment_ago_is_put_right_by_what_it_said_went_in():
    def right(given, computed_nl, delivered_nl=0, last=LAST):
        return correction(given, Status.of({**FakePump().status(), "reservoir_computed_nl": computed_nl}), Implant(), delivered_nl, last)

    words = "a fill of 18.6 mL was recorded just before: if this one corrects that record, give as withdrawn 18.6 mL"
    assert right(fill("18 mL"), 20_000_000) == [words] and right(fill("18 mL", "18.6 mL"), 19_995_000) == []
    assert right(fill("18 mL"), 19_979_000, 21_000) == right(fill("18 mL"), 20_000_000, None, None) == []
    assert right(fill("18 mL"), 18_600_000)[0].endswith("give as withdrawn 17.2 mL and as volume what really went in less the residual of 1.4 mL"), "the very first"
    with pytest.raises(RequestInvalid, match="does not fit by the book: .*; " + words):
        room(fill("18 mL"), 20_000, 20_000, delivered_nl=0)
