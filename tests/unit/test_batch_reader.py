"""A batch that is read one message at a time gives the same request as one that is read whole."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mailroom.domain.errors import Unacceptable
from mailroom.outbound.batch_body import NewBatch
from mailroom.outbound.batch_reader import MOST_VALUES, Misshapen, read_batch
from mailroom.outbound.packed import Packed
from mailroom.outbound.request import MORE_FAULTS, MOST_FAULTS, Request

MESSAGE = {"to": "ada@users.test", "subject": 'a "quoted" \\ [{,}]', "text": "ü 🎉 \u2028"}
PERSON = {"to": "ada@users.test", "data": {"n": [1, {"a": [[]]}], "s": "}],["}}
TEMPLATE = {"subject": "{{ n }}", "text": "Dear [{,"}


def whole(body: bytes) -> Request | None:
    """Return the request as pydantic alone reads it; None: it is refused."""
    try:
        request = NewBatch.model_validate_json(body).request("desk@acme.test")
    except ValidationError:
        return None
    return request


def apart(body: bytes) -> Request | None:
    try:
        request = read_batch(bytearray(body), "desk@acme.test")
    except Misshapen:
        return None
    letters = tuple(replace(one, recipients=tuple(one.recipients)) for one in request.letters)
    assert len(request.letters) == len(letters)
    return replace(request, letters=letters)


LISTS = [
    {"messages": [MESSAGE, MESSAGE | {"to": ["a@b.test", "c@d.test"], "metadata": {"a": "b"}}]},
    {"template": TEMPLATE, "recipients": [PERSON, {"to": "b@users.test"}]},
    {
        "recipients": [PERSON],
        "template": TEMPLATE,
        "from": "a@b.test",
        "metadata": {"messages": "[", "recipients": "["},
    },
    {"messages": []},
    {"template": TEMPLATE, "recipients": []},
    {"messages": None, "template": TEMPLATE, "recipients": [PERSON]},
]
BODIES = [
    *(json.dumps(one, **how).encode() for one in LISTS for how in ({}, {"ensure_ascii": False, "indent": 3})),
    b'{"messages": [{"to": "a@b.test", "subject": "x", "text": "y"}], "messages": null, "template": null}',
    b'{"messages": null, "messages": [{"to": "a@b.test", "subject": "x", "text": "y"}]}',
    b'{"messages": [1], "messages": [{"to": "a@b.test", "subject": "x", "text": "y"}]}',
    b'{"\\u006dessages": [{"to": "a@b.test", "subject": "x", "text": "y"}]}',
    b'{"messages" : \n [ {"to": "a@b.test", "subject": "x", "text": "y"} , ] }',
    b'{"messages": [,]}', b'{"messages": [ ]}', b'{"messages": [{}]}', b'{"messages": [1, "a", null, [], {}]}',
    b'{"messages": [{"to": "a@b.test", "subject": "x", "text": "y"} {}]}',
    b'{"messages": [{"to": "a@b.test", "subject": "x", "text": "y"}}', b'{"messages": [{]]}', b'{"messages": [}',
    b'{"messages": [{"to": "a@b.test", "subject": "x", "text": "y"}]} x', b'{"messages": [{"to": "a@b.test',
    b'{"messages": [{"to": "a@b.test", "subject": "x", "text": "y"}], "from": ["messages", [1]]}',
    b'{"template": {"messages": [1], "subject": "a", "text": "b"}, "recipients": [{"to": "a@b.test"}]}',
    b'{"messages": [{"to": "a@b.test", "subject": "x\\", "text": "y"}]}', b'{"messages": [\xff]}', b'{"messages": "\xff"}',
    b"", b"[", b"]", b"{", b"}", b'"', b"null", b"[]", b"{}{}", b'{"messages": [{"to": NaN}]}', b'\xef\xbb\xbf{"messages": []}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_reading_message_by_message_gives_the_same_request(body: bytes) -> None:
    """Splitting looks at brackets, commas and strings only; the same parser reads the rest."""
    assert apart(body) == whole(body)


@given(st.data())
def test_a_broken_body_is_refused_by_both_or_by_none(data: st.DataObject) -> None:
    """One byte changed, taken away or put in, at any place."""
    body = bytearray(data.draw(st.sampled_from(BODIES)))
    at = data.draw(st.integers(0, len(body)))
    body[at : at + data.draw(st.integers(0, 1))] = data.draw(
        st.sampled_from([b"", b'"', b"\\", b"[", b"]", b"{", b"}", b","])
    )

    assert apart(bytes(body)) == whole(bytes(body))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=12,
    ),
    st.booleans(),
)
@example({'"': "\\", "\\": '"', "]": "[", "": ","}, True)
def test_any_data_is_read_unchanged(data: Any, ascii_only: bool) -> None:
    """Quotes, backslashes and brackets in names and values included."""
    people = [{"to": "a@b.test", "data": {"it": data}}, {"to": "c@d.test"}]
    body = json.dumps({"recipients": people, "template": TEMPLATE}, ensure_ascii=ascii_only).encode()

    assert apart(body) == whole(body)


def test_faults_of_shape_are_named_by_their_place() -> None:
    """Read apart, the tenth message is still the tenth."""
    bad = [MESSAGE, {"to": [], "subjekt": "x", "subject": 3}, 7]
    with pytest.raises(Misshapen) as raised:
        read_batch(json.dumps({"messages": bad, "form": "x"}).encode(), "")

    assert [(fault.where, fault.what) for fault in raised.value.faults] == [
        (("form",), "unknown field"),
        (("messages", 1, "subject"), "Input should be a valid string"),
        (("messages", 1, "to"), "must be one address, or a list of 1 to 50"),
        (("messages", 1, "subjekt"), "unknown field"),
        (("messages", 2), "Input should be an object"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"to": [' + b"[]," * MOST_VALUES + b"[]]}]}",
        b'{"recipients": [{"to": "a", "data": {"x": [' + b"1," * MOST_VALUES + b"1]}}]}",
        b'{"metadata": {' + b'"a":"",' * MOST_VALUES + b'"b": ""}}',
        b"[" * (MOST_VALUES + 1),
    ],
)
def test_small_values_without_end_are_refused_before_they_are_made(body: bytes) -> None:
    """An empty list is two bytes of a body and three hundred of memory: 40 MiB of them were 4 GB."""
    with pytest.raises(Misshapen) as raised:
        read_batch(body, "")

    assert [fault.what for fault in raised.value.faults] == [f"more than {MOST_VALUES} values are here"]


def test_more_messages_than_a_batch_may_have_are_not_looked_at() -> None:
    """Reading stops at the first message over the limit."""
    with pytest.raises(Unacceptable) as raised:
        read_batch(b'{"messages": [' + b"1," * 100_000 + b"1]}", "")

    assert [fault.what for fault in raised.value.faults] == ["a batch must have 1 to 100000 messages"]


def test_a_list_of_faults_has_an_end() -> None:
    """Four faults of each of 100,000 messages are a hundred megabytes, and help no caller."""
    with pytest.raises(Misshapen) as raised:
        read_batch(b'{"messages": [' + b"{}," * 99_999 + b"{}]}", "")

    assert len(raised.value.faults) == MOST_FAULTS + 1
    assert raised.value.faults[-1] == MORE_FAULTS


def test_packed_values_come_back_in_order_as_often_as_wanted() -> None:
    """They are read once to be counted and once to be written."""
    packed = Packed[tuple[int, str]]()
    values = [(at, "ü" * at) for at in range(1_234)]
    for value in values:
        packed.add(value)

    assert (list(packed), list(packed), len(packed)) == (values, values, 1_234)
    assert (3, "üüü") in packed
