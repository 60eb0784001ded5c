"""Keys come out of bytes, however these are cut."""

import pytest

from chamaleonet.top.keys import Keys

KEYS = {
    b"q": ["q"],
    b"\x1b[A": ["up"],
    b"\x1bOB": ["down"],
    b"\x1b[C\x1b[D": ["right", "left"],
    b"\x1b[5~\x1b[6~": ["page-up", "page-down"],
    b"\x1b[1~\x1b[4~\x1b[H\x1bOF": ["home", "end", "home", "end"],
    b"\x1b[1;5C": ["right"],
    b"\x1b[Z\t\r\n": ["back-tab", "tab", "enter", "enter"],
    b"\x7f\x08\x15\x0c": ["backspace", "backspace", "clear", "redraw"],
    "é".encode(): ["é"],
    b"\x1bq": ["escape", "q"],
    b"\x1b\x1b[A": ["escape", "up"],
    b"\x1b[200~": [],
    b"\xff/": ["\ufffd", "/"],
}


@pytest.mark.parametrize("data", KEYS, ids=repr)
def test_keys_have_names(data):
    assert Keys().feed(data) == KEYS[data]


@pytest.mark.parametrize("data", KEYS, ids=repr)
def test_keys_may_come_byte_by_byte(data):
    keys = Keys()
    assert [key for byte in data for key in keys.feed(bytes([byte]))] == KEYS[data]
    assert not keys.waits


def test_an_escape_alone_waits_for_more():
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.waits
    assert keys.flush() == ["escape"]
    assert not keys.waits


def test_what_never_becomes_a_key_is_dropped():
    keys = Keys()
    assert keys.feed(b"\x1b[1;") == []
    assert keys.flush() == []
    assert keys.feed(b"q") == ["q"]
