from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_projects.expressions import text_of
from iac_ci_projects.hcl import UnreadableHcl, blocks, entries, items

SAMPLE = """\ufeff# module "commented" { source = "../no" }
/* module "also" { source = "../no" } */
terraform {
  backend "s3" {
    bucket = "states" // of all
    key    = "a/b"
  }
  cloud {
    workspaces { name = "w" }
  }
}
module "net" {
  source = "../modules/net" # here
  text   = "${path.module}/x-${"a}b"}-$${not} \\"}"
  list = [
    "a", # ]
    { x = 1 },
  ]
  other = var.x == 1 ? "a" : "b"
}
locals {
  page = <<-EOT
    module "in_text" { source = "../no" }
    }
  EOT
}
module one { source = "./one" }
"""


def test_blocks_and_their_attributes_are_read():
    terraform, net, one = blocks(SAMPLE, {"terraform", "module"}, {"backend", "cloud", "workspaces"})
    backend, cloud = terraform.blocks
    assert (backend.kind, backend.labels, backend.attributes) == (
        "backend",
        ("s3",),
        {"bucket": '"states"', "key": '"a/b"'},
    )
    assert cloud.blocks[0].attributes == {"name": '"w"'}
    assert net.labels == ("net",)
    assert net.attributes["source"] == '"../modules/net"'
    assert net.attributes["other"] == 'var.x == 1 ? "a" : "b"'
    assert (one.labels, one.attributes) == (("one",), {"source": '"./one"'})


def test_line_breaks_of_windows_are_read():
    text = 'module "a" {\r\n  source = "../a"\r\n  x = <<A\r\n}\r\nA\r\n}\r\n'
    assert blocks(text, {"module"})[0].attributes["source"] == '"../a"'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('module "a" {', 1),
        ('module "a" {\n  x = "\n}', 2),
        ("a = 1\n}", 2),
        ("x = <<A\n  text", 1),
        ('module "a" { x = /* ', 1),
        ("x = [(])", 1),
        ("= 1", 1),
        ("a {\n" * 300, 21),
        ("x = " + '"${' * 300, 1),
    ],
)
def test_what_is_not_hcl_has_its_line(text, line):
    with pytest.raises(UnreadableHcl, match=f"line {line} has"):
        blocks(text, {"module", "a"}, {"a"})


@given(st.text(alphabet='a "{}[]()=,\n$%\\#/*<-:.', max_size=60))
def test_any_text_is_read_or_refused(text):
    for read in (lambda: blocks(text, {"a"}, {"a"}), lambda: entries("{" + text), lambda: items("[" + text)):
        try:
            read()
        except UnreadableHcl:
            continue
    text_of(text, {"a": lambda arguments: "x"}, {"a": "y"})


def test_objects_and_lists_are_divided():
    text = '{ bucket = "b", key = "k/${var.x}"\n region: "eu"\n "q" = [1, 2], z = { a = 1 } }'
    assert entries(text) == {"bucket": '"b"', "key": '"k/${var.x}"', "region": '"eu"', "q": "[1, 2]", "z": "{ a = 1 }"}
    assert items('["../a", "../b"\n, f(1, 2)]') == ['"../a"', '"../b"', "f(1, 2)"]
    assert entries("var.settings") is None
    assert entries("{ (var.x) = 1 }") is None
    assert items("local.paths") is None


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ('"../a"', "../a"),
        ('"a\\"b\\n"', 'a"b\n'),
        ('"$${x}%%{y}$z"', "${x}%{y}$z"),
        ('"${path.module}/../x"', "./../x"),
        ('join("/", "a", "${one()}")', "a/1"),
        ('"${var.x}/a"', None),
        ('"%{if x}a%{endif}"', None),
        ("local.x", None),
        ('"a" + "b"', None),
        ('unknown("a")', None),
        ('"', None),
        ('"\\u00e9"', None),
        ("", None),
        ('"' + "a" * 5000 + '"', None),
        ('"${' * 30 + "1" + '}"' * 30, None),
    ],
)
def test_expressions_are_texts_where_they_are_known(expression, text):
    functions = {"join": lambda arguments: arguments[0].join(arguments[1:]), "one": lambda arguments: "1"}
    assert text_of(expression, functions, {"path.module": "."}) == text
