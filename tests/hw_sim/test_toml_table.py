"""A TOML file as a table, or one sentence of the caller's own kind."""

import pytest

from thecal.hw_sim.toml_table import read


class Odd(ValueError):
    pass


def test_a_table(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("schema = 'x'\n[[row]]\nid = 1\n")
    assert read(path, Odd) == {"schema": "x", "row": [{"id": 1}]}


@pytest.mark.parametrize("content, said", [(b"schema = ", "a.toml is not TOML: "), (b"\xff\xfe", "a.toml is not TOML: "), (None, "a.toml cannot be read: No such file")])
def test_what_is_none_says_why(tmp_path, content, said):
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Odd, match=said):
        read(path, Odd)
