"""The schema's file is read to the letter, and what is wrong in it is named."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terraform.stage import SOURCE

from offline.provider.schema import Attribute, load, parse_type, read, write_type

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TYPES = st.recursive(
    st.sampled_from(["string", "number", "bool", "dynamic"]),
    lambda inner: (
        st.tuples(st.sampled_from(["list", "set", "map"]), inner).map(list)
        | st.dictionaries(NAMES, inner, max_size=3).map(lambda fields: ["object", fields])
    ),
    max_leaves=6,
)


@given(TYPES)
def test_a_type_is_read_as_it_was_written(of_type: object) -> None:
    assert parse_type(write_type(of_type)) == of_type


def test_reads_attributes_and_blocks_at_every_depth() -> None:
    schema = read(
        "# a comment\n"
        "provider\n"
        "  region string optional\n"
        "resource aws_one\n"
        "  block outer list 1 2\n"
        "    block inner set 0 0\n"
        "      deep map(string) required\n"
        "    shallow bool optional computed\n"
        "  secret_wo string optional write_only\n"
        "data aws_two\n"
        "  id string computed\n"
    )
    outer = schema.resources["aws_one"].blocks["outer"]
    assert (outer.nesting, outer.min_items, outer.max_items) == ("list", 1, 2)
    assert outer.block.blocks["inner"].block.attributes == {"deep": Attribute(["map", "string"], required=True)}
    assert outer.block.attributes == {"shallow": Attribute("bool", optional=True, computed=True)}
    assert schema.resources["aws_one"].attributes == {"secret_wo": Attribute("string", optional=True, write_only=True)}
    assert schema.data["aws_two"].attributes == {"id": Attribute("string", computed=True)}
    assert schema.provider.attributes == {"region": Attribute("string", optional=True)}


@pytest.mark.parametrize(
    "line",
    [
        "something aws_one",
        "   a string",
        "    a string",
        "  a text",
        "  a list(string",
        "  a string maybe",
        "  block b",
    ],
)
def test_names_the_line_that_cannot_be_read(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 3: "):
        read(f"resource aws_one\n  id string computed\n{line}\n")


def test_the_file_has_every_type_that_the_stages_use() -> None:
    schema = load()
    text = "".join(path.read_text("utf-8") for path in SOURCE.glob("*/*.tf"))
    resources, data = (set(re.findall(rf'^{kind} "(\w+)"', text, re.MULTILINE)) for kind in ("resource", "data"))
    assert len(resources) > 30
    # Terraform itself brings this one.
    assert resources - {"terraform_data"} <= schema.resources.keys()
    assert data <= schema.data.keys()
