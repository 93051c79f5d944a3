from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iac_ci_common.draft import read_partially
from iac_ci_common.errors import ConfigurationProblems, InputProblems
from iac_ci_triggers.configuration import BUILT_IN_COMMANDS, Configuration, Statuses, read_configuration
from iac_ci_triggers.configuration.stand_ins import stand_in
from iac_ci_triggers.configuration.yaml_document import MAX_BYTES, plain, read_document


def job(matrix: str = "{}", orders: str = "[{name: a, cmds: [x]}]", on: str = "{command: go}") -> bytes:
    """Write a configuration of one job, with its matrix on line 4, triggers on 5 and orders on 6."""
    return f"version: 1\njobs:\n  go:\n    matrix: {matrix}\n    on: {on}\n    orders: {orders}\n".encode()


def found(content: bytes | str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationProblems) as caught:
        read_configuration(content if isinstance(content, bytes) else content.encode())
    return [(problem.where, problem.what) for problem in caught.value.problems]


def order(fields: str) -> bytes:
    return job(orders=f"[{{name: a, cmds: [x], {fields}}}]")


def test_the_same_text_is_read_once_for_each_kind_of_code_host():
    content = job(on="{command: go, before_merge: true}") + b"merge_when_applied: true\n"
    assert read_configuration(content) is read_configuration(bytes(bytearray(content)))
    with pytest.raises(ConfigurationProblems, match="merge_when_applied"):
        read_configuration(content, can_merge=False)


def test_what_is_given_is_what_is_read():
    configuration = read_configuration(
        b"""\
version: 1
defaults: {timeout: 30, must_succeed: false}
statuses: orders
jobs:
  plan:
    on:
      pull_request: {branches: [main, "release/*"], paths: ["terraform/**", "!**/*.md"]}
      command: plan
      push:
    matrix: {directory: [network, app]}
    max_parallel: 2
    mask: {also: [HOST], never: [eu-central-1]}
    orders:
      - name: "plan-{{ matrix.directory }}"
        cmds: [terraform plan]
        secrets: {TOKEN: "aws:::ssm:/iac-ci/jobs/token"}
"""
    )
    assert configuration.statuses is Statuses.ORDERS
    assert configuration.defaults.timeout == 30
    plan = configuration.jobs["plan"]
    assert plan.on.pull_request.branches == ["main", "release/*"]
    assert plan.on.command == ["plan"]
    assert plan.on.push is not None
    assert plan.on.push.branches is None
    assert plan.orders[0].secrets == {"TOKEN": "ssm:/iac-ci/jobs/token"}
    assert plan.max_parallel == 2
    assert (plan.mask.also, plan.mask.never) == (["HOST"], ["eu-central-1"])


def test_a_trigger_that_is_not_named_is_none():
    assert read_configuration(job()).jobs["go"].on.push is None


def test_every_problem_is_told_at_once_with_its_line():
    assert found(
        """\
version: 2
defaults: {timout: 5, env_vars: {IAC_CI_X: a, IACCI_SHA: b, OK: }}
jobs:
  "pl an":
    on: {}
    orders: []
  apply:
    on:
      command: help
    orders:
      - name: x y
        cmds: terraform
        timeout: 010
        must_succeed: no
        secrets: {A: hunter2}
      - cmds: [x]
"""
    ) == [
        (
            "line 1: version",
            "is not supported; this engine supports version 1 (`iac-ci scaffold --from` converts an atlantis.yaml)",
        ),
        ("line 2: defaults.env_vars.IACCI_SHA", "the engine sets the names that begin with IACCI_; use another name"),
        (
            "line 2: defaults.env_vars.IAC_CI_X",
            "is reserved for the engine, the shell or the loader; use another name",
        ),
        ("line 2: defaults.env_vars.OK", "has no value"),
        ("line 2: defaults.timout", "unknown field 'timout'; did you mean 'timeout'?"),
        ("line 4: jobs.'pl an'", "must be 1 to 128 letters, digits, _ or -, beginning with a letter or digit"),
        (
            "line 5: jobs.'pl an'.on",
            "has no trigger, so nothing starts the job; add pull_request, command, push or schedule",
        ),
        ("line 6: jobs.'pl an'.orders", "is empty"),
        ("line 9: jobs.apply.on.command[0]", "help is a command of the engine; use another word"),
        (
            "line 11: jobs.apply.orders[0].name",
            "must be 1 to 128 letters, digits, _ or -, beginning with a letter or digit",
        ),
        ("line 12: jobs.apply.orders[0].cmds", "must be a list"),
        (
            "line 13: jobs.apply.orders[0].timeout",
            "must be a whole number in plain decimal digits without quotes (60, not 060, 0x3c or 1_000)",
        ),
        ("line 14: jobs.apply.orders[0].must_succeed", "must be true or false"),
        (
            "line 15: jobs.apply.orders[0].secrets.A",
            "is not a secret's location (ssm:/path or secretsmanager:id#key)",
        ),
        ("line 16: jobs.apply.orders[1].name", "is missing"),
    ]


def test_a_sound_job_is_checked_as_a_whole_though_another_is_not():
    problems = found(
        """\
version: 1
jobs:
  broken: {}
  circle:
    on: {command: go}
    orders:
      - {name: a, cmds: [x], depends_on: [b]}
      - {name: b, cmds: [x], depends_on: [a]}
"""
    )
    assert ("line 6: jobs.circle.orders", "dependency cycle: a → b → a") in problems
    assert ("line 3: jobs.broken.on", "is missing") in problems


def test_problems_are_input_problems_and_say_where_in_their_text():
    with pytest.raises(InputProblems, match="line 1: the configuration is empty"):
        read_configuration(b"# nothing\n")


@pytest.mark.parametrize("word", BUILT_IN_COMMANDS)
def test_the_engines_own_commands_cannot_be_taken(word):
    assert found(job(on=f"{{command: [go, {word}]}}")) == [
        ("line 5: jobs.go.on.command[1]", f"{word} is a command of the engine; use another word")
    ]


# What YAML 1.1 reads otherwise than people.


@pytest.mark.parametrize(
    "text",
    ["no", "off", "y", "010", "0x1F", "1.10", "1e3", "1_000", "12:30:45", "2024-01-01", "True", ".inf", "-0", "1."],
)
def test_text_that_yaml_would_read_as_something_else_stays_as_it_is_written(text):
    configuration = read_configuration(order(f"env_vars: {{A: {text}}}"))
    assert configuration.jobs["go"].orders[0].env_vars == {"A": text}
    assert "timeout" in str(found(order(f"timeout: {text}")))
    assert "must be true or false" in str(found(order(f"must_succeed: {text}")))


def test_numbers_and_booleans_are_text_where_text_is_meant():
    configuration = read_configuration(
        job("{n: [1, -2, true]}", '[{name: "a-{{ matrix.n }}", cmds: [true], env_vars: {A: 5, B: false}}]')
    )
    assert configuration.jobs["go"].matrix == {"n": ["1", "-2", "true"]}
    assert configuration.jobs["go"].orders[0].cmds == ["true"]
    assert configuration.jobs["go"].orders[0].env_vars == {"A": "5", "B": "false"}


def test_a_quoted_number_is_no_number():
    assert found(order('timeout: "30"')) == [
        ("line 6: jobs.go.orders[0].timeout", "must be a whole number without quotes, point or exponent")
    ]


def test_version_true_is_not_version_1():
    assert ("line 1: version", "must be a whole number without quotes, point or exponent") in found(
        "version: true\njobs: {}"
    )


# What the document itself can have wrong.


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (b"", "line 1", "is empty"),
        (b"[]", "line 1", "must be a mapping"),
        (b"version: 1\njobs: {\xff}", "line 2", "not UTF-8"),
        (b"a:\n  b: \x07", "line 2", "U+0007"),
        ("a: 1\nb: \u2028".encode(), "line 2", "U+2028"),
        (b"a:\n\tb: 1", "line 2", "indent with spaces"),
        (b"a: [1\nb: 2", "line 2", "is not YAML"),
        (b"a: 1\n--- \nb: 1", "line 2", "more than one document"),
        (b"a: *x", "line 1", "alias"),
        (b"a: &x\n  b: *x", "line 2", "alias"),
        (b"a: 1\na: 2", "line 2", "has the key 'a' more than once"),
        (b"a: 1\n? [x]\n: 2", "line 2", "has a list or a mapping as a key"),
        (b"a: 1\n2: 2", "line 2", "has a key that is not text"),
        (b"a: 1\ntrue: 2", "line 2", "has a key that is not text"),
        (b"<<: {a: 1}", "line 1", "merge key"),
        (b"a: !!python/object/apply:os.system [echo]", "line 1: a", "has a tag"),
        (b"a: !!binary aGk=", "line 1: a", "has a tag"),
        (b"a: !Ref x", "line 1: a", "has a tag"),
        (b'a: "\\ud800"', "line 1: a", "not text"),
        (b'a: "\\0"', "line 1: a", "not text"),
        (b'a: "\\UFFFFFFFF"', "line 1", "an escape or a directive is not valid"),
        (b"[" * 100_000, "line 1", "nested more than"),
        (b"? " * 100_000, "line 1", "nested more than"),
        (b"a: " + b"x" * MAX_BYTES, "line 1", "more than 256 KiB"),
        (b"a: [" + b"x," * 60_000 + b"]", "line 1", "more than 50000 values"),
    ],
)
def test_a_document_that_is_no_configuration_is_refused_with_the_line(text, where, what):
    assert any(place == where and what in told for place, told in found(text)), found(text)


def test_a_byte_order_mark_and_foreign_line_ends_are_nothing_wrong():
    assert read_configuration(b"\xef\xbb\xbf" + job().replace(b"\n", b"\r\n")) == read_configuration(job())


def test_what_is_named_once_can_be_used_again():
    configuration = read_configuration(
        b"""\
version: 1
jobs:
  a: {on: {command: go}, orders: &orders [{name: a, cmds: [x]}]}
  b: {on: {command: go}, orders: *orders}
"""
    )
    assert configuration.jobs["a"].orders == configuration.jobs["b"].orders


def test_aliases_that_grow_without_end_are_refused_before_they_grow():
    laughs = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20))
    assert "more than 50000 values with aliases expanded" in found("a: &a [x, x, x]\n" + laughs)[0][1]
    nested = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}]\n" for n in range(20))
    assert "nested more than" in found("a: &a [x]\n" + nested)[0][1]


def test_depth_and_number_are_taken_to_the_limit_and_no_further():
    assert "nested" not in str(found("[" * 16 + "]" * 16))
    assert "nested" in str(found("[" * 17 + "]" * 17))
    # A key, fifteen lists below its mapping, and what is in the innermost.
    assert "nested" not in str(found("a: &a " + "[" * 7 + "x" + "]" * 7 + "\nb: " + "[" * 7 + "*a" + "]" * 7))
    assert "nested" in str(found("a: &a " + "[" * 7 + "x" + "]" * 7 + "\nb: " + "[" * 8 + "*a" + "]" * 8))
    assert "more than 50000 values" not in str(found("[" + ",".join(["x"] * 49_999) + "]"))
    assert "more than 50000 values" in str(found("[" + ",".join(["x"] * 50_000) + "]"))


def test_very_many_problems_are_counted():
    problems = found("version: 1\njobs: {}\n" + "".join(f"k{number}: 1\n" for number in range(500)))
    assert len(problems) == 201
    assert problems[-1][1] == "and 301 more problems"


def test_secrets_in_the_wrong_place_are_not_repeated():
    secret = "AKIAIOSFODNN7EXAMPLE"
    assert secret not in str(found(order(f"secrets: {{A: {secret}}}, timeout: {secret}, assume_role: {secret}")))
    assert secret not in str(found(order(f"tools: {{terraform: {secret}}}, env_vars: {{A: '{{{{ {secret} }}}}'}}")))


# What only the whole job shows.


@pytest.mark.parametrize(
    ("content", "path", "what"),
    [
        (order("depends_on: [b]"), "orders[0].depends_on[0]", "unknown order 'b'"),
        (order("depends_on: [a]"), "orders[0].depends_on[0]", "is the order itself; an order cannot depend on itself"),
        (order("timeout: 600, execution_target: lambda"), "orders[0].timeout", "is more than the 540 seconds"),
        (order("timeout: 3700"), "orders[0].timeout", "more than the 3600 seconds of job_timeout"),
        (order("folder: ../x"), "orders[0].folder", "must be a relative path without .."),
        (order("folder: /x"), "orders[0].folder", "must be a relative path without .."),
        (
            order("env_vars: {A: x}, secrets: {A: 'ssm:/x'}"),
            "orders[0].secrets.A",
            "is also set in env_vars; remove one of the two",
        ),
        (
            order("assume_role: 'arn:aws:iam::123456789012:role/x', env_vars: {AWS_SESSION_TOKEN: x}"),
            "orders[0].env_vars.AWS_SESSION_TOKEN",
            "is also set by assume_role; remove one of the two",
        ),
        (job(orders="[{name: a, cmds: [' ']}]"), "orders[0].cmds[0]", "is empty"),
        (job(orders="[{name: a, cmds: [x]}, {name: a, cmds: [x]}]"), "orders[1].name", "the name of more than one"),
        (job("{d: [x, y]}"), "orders[0].name", "add the matrix's values to the name"),
        (job("{d: [x, x]}"), "matrix.d[0]", "is in the list more than once; remove one"),
        (job("{d: [x], D: [x]}"), "matrix.D", "only in case"),
        (job("{d-e: [x]}"), "matrix.d-e", "has a form that is not allowed"),
        (job(f"{{d: [{','.join(map(str, range(501)))}], e: [1, 2]}}"), "matrix", "1002 combinations"),
        (job(on="{command: [a, a]}"), "on.command[1]", "more than once"),
        (job(on="{push: {branches: ['{{ branch }}']}}"), "on.push.branches[0]", "cannot contain a template"),
        (order("env_vars: {A: '{{ nothing }}'}"), "orders[0].env_vars.A", "has a template with an unknown name"),
        (order("env_vars: {A: '{{ sha }'}"), "orders[0].env_vars.A", "has {{ without a template"),
        (order("folder: '{{ sha }}'"), "orders[0].folder", "cannot contain sha"),
        (order("folder: '{{ matrix.d }}'"), "orders[0].folder", "this job's matrix does not have; it has none"),
        (
            job(orders="[{name: a, cmds: ['echo {{ branch }}']}]"),
            "orders[0].cmds[0]",
            'which commands do not support; use "$IACCI_BRANCH" instead',
        ),
        (
            job(orders="[{name: a, cmds: ['echo ${{matrix.dir}}']}]"),
            "orders[0].cmds[0]",
            '"$IACCI_MATRIX_DIR"',
        ),
        (
            job("{d: ['../x']}", "[{name: a, cmds: [x], folder: '{{ matrix.d }}'}]"),
            "orders[0].folder",
            "must be a relative path without .. (for d '../x')",
        ),
        (
            job("{d: ['x/']}", "[{name: a, cmds: [x], paths: ['{{ matrix.d }}/**']}]"),
            "orders[0].paths[0]",
            "has an empty segment",
        ),
        (
            job("{d: ['x y']}", "[{name: a, cmds: [x], secrets: {A: 'ssm:/{{ matrix.d }}'}}]"),
            "orders[0].secrets.A",
            "is not a valid name of a secret in ssm (for d 'x y')",
        ),
        (
            job("{d: ['.x']}", "[{name: '{{ matrix.d }}', cmds: [x]}]"),
            "orders[0].name",
            "must be 1 to 128 letters, digits, _ or -, beginning with a letter or digit",
        ),
        (
            job(f"{{d: [{','.join(map(str, range(900)))}]}}", f"[{{name: a, cmds: [{'x' * 8000}]}}]"),
            "orders",
            "have more than 5242880 bytes with all combinations",
        ),
    ],
)
def test_what_a_job_cannot_be_is_told(content, path, what):
    assert any(place.endswith(f": jobs.go.{path}") and what in told for place, told in found(content)), found(content)


def test_templates_of_the_defaults_are_checked_once_and_for_each_order_that_has_no_such_axis():
    defaults = "{ssm_paths: ['{{ matrix.d }}'], secrets: {A: '{{ matrix.d }}'}, sops_key: '{{ sha }}'}"
    orders = "[{name: a, cmds: [x]}, {name: b, cmds: [x], ssm_paths: [], sops_key: 'ssm:/x'}]"
    assert [where for where, _ in found(job(orders=orders) + f"defaults: {defaults}\n".encode())] == [
        "line 7: defaults.secrets.A",
        "line 7: defaults.sops_key",
        "line 7: defaults.ssm_paths[0]",
    ]
    other = "  other:\n    on: {command: go}\n    matrix: {d: [x]}\n    orders: [{name: '{{ matrix.d }}', cmds: [x]}]\n"
    text = job(orders=orders).decode() + other + "defaults: {secrets: {A: 'ssm:/{{ matrix.d }}'}}\n"
    assert [where for where, _ in found(text)] == [
        "line 6: jobs.go.orders[0].secrets.A",
        "line 6: jobs.go.orders[1].secrets.A",
    ]


def test_a_long_cycle_is_shortened():
    circle = [{"name": f"a{n}", "cmds": ["x"], "depends_on": [f"a{(n + 1) % 40}"]} for n in range(40)]
    ((_, told),) = found(job(orders=json.dumps(circle)))
    assert told.startswith("dependency cycle: a0 → a1 → ")
    assert "a9 → … 21 more … → a31 → " in told
    assert told.endswith("→ a39 → a0")


def test_choices_are_named():
    assert found(job() + b"statuses: some\n") == [("line 7: statuses", "must be 'run' or 'orders'")]
    assert found(order("execution_target: fast")) == [
        ("line 6: jobs.go.orders[0].execution_target", "must be 'auto', 'lambda' or 'codebuild'")
    ]


def test_what_is_too_little_or_too_much_is_named():
    assert found(order("timeout: 0") + b"    max_parallel: 1001\n") == [
        ("line 6: jobs.go.orders[0].timeout", "must be more than 0"),
        ("line 7: jobs.go.max_parallel", "must be at most 1000"),
    ]
    assert found(job(orders=f"[{{name: a, cmds: ['{'x' * 16385}', '']}}]")) == [
        ("line 6: jobs.go.orders[0].cmds[0]", "has more than 16384 characters"),
        ("line 6: jobs.go.orders[0].cmds[1]", "is empty"),
    ]


def test_every_problem_of_a_mask_is_named():
    assert found(job() + b"    mask: HOST\n") == [
        ("line 7: jobs.go.mask", "must be a mapping (example: {also: [HOST], never: [USER]})")
    ]
    assert found(job() + b"    mask: {also: [1, ''], only: []}\n") == [
        ("line 7: jobs.go.mask.also[0]", "must be text"),
        ("line 7: jobs.go.mask.also[1]", "is empty"),
        ("line 7: jobs.go.mask.only", "unknown field 'only'"),
    ]
    short = "is no variable of an order, and is shorter than 4 characters without white space"
    assert found(job() + b"    mask: {also: ['{{ sha }}', abc, abcd], never: ['{{ sha }}', a]}\n") == [
        ("line 7: jobs.go.mask.also[0]", "cannot contain a template"),
        ("line 7: jobs.go.mask.also[1]", short),
        ("line 7: jobs.go.mask.never[0]", "cannot contain a template"),
    ]
    assert read_configuration(order("env_vars: {A: b}") + b"    mask: {also: [A]}\n").jobs["go"].mask.also == ["A"]
    database = order("ssm_paths: ['ssm:/iac-ci/jobs/db']")
    assert read_configuration(database + b"    mask: {also: [pw]}\n").jobs["go"].mask.also == ["pw"]


def test_braces_of_other_tools_may_stand_in_commands():
    command = "docker ps --format '{{.Names}}' && helm template --set 'x={{ .Values.sha }}'"
    configuration = read_configuration(job(orders=json.dumps([{"name": "a", "cmds": [command]}])))
    assert configuration.jobs["go"].orders[0].cmds == [command]


# Whatever comes.

FIELDS = st.sampled_from(
    [
        *("version", "defaults", "statuses", "jobs", "on", "matrix", "orders", "name", "cmds", "folder", "paths"),
        *("depends_on", "pull_request", "push", "command", "branches", "timeout", "job_timeout", "env_vars", "secrets"),
        *("must_succeed", "assume_role", "max_parallel", "mask", "also", "never", "ssm_paths", "a", "b", "A"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 700),
    FIELDS,
    st.text(max_size=12),
    st.sampled_from(
        ["{{ matrix.a }}", "{{ sha }}", "{{", "!a", "**/x", "[", "ssm:/x", "plan-{{matrix.b}}", "../x", "run"]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=5), max_leaves=20
)
ORDERS = st.fixed_dictionaries(
    {"name": SCALARS, "cmds": VALUES},
    optional={"depends_on": VALUES, "folder": SCALARS, "paths": VALUES, "env_vars": VALUES, "timeout": SCALARS},
)
JOBS = st.fixed_dictionaries(
    {"on": st.just({"command": "go"}) | VALUES, "orders": st.lists(ORDERS, max_size=3) | VALUES},
    optional={"matrix": st.dictionaries(st.sampled_from("abA"), st.lists(SCALARS, max_size=3)) | VALUES},
)
CONFIGURATIONS = st.fixed_dictionaries(
    {"version": st.just(1) | SCALARS, "jobs": st.dictionaries(FIELDS, JOBS, max_size=3) | VALUES},
    optional={"defaults": VALUES},
)


def holds(content: bytes) -> None:
    problems = None
    try:
        assert isinstance(read_configuration(content), Configuration)
    except ConfigurationProblems as error:
        problems = error.problems
    assert problems is None or (problems and all(told.where.startswith("line ") and told.what for told in problems))


@settings(deadline=None)
@given(CONFIGURATIONS | VALUES)
def test_whatever_is_written_is_read_or_refused(content):
    holds(json.dumps(content).encode())


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text("ab:-?[]{}&*!|>'\"%#@`\n\t \\x0<,.~", max_size=60).map(str.encode))
@example(b"%YAML 1.99999999999999999999\n---\na: 1")
@example(b"\xef\xbb\xbf\xef\xbb\xbf")
@example(b"? ")
@example(b"&a &b")
@example(b"a: &a *a")
@example(b"*a : 1")
def test_any_bytes_are_read_or_refused(content):
    holds(content)


def test_reading_nothing_loads_no_yaml():
    code = "import sys, iac_ci_triggers.configuration; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# A fault in one place hides none in another.


def test_unsound_defaults_hide_nothing():
    assert found(
        """\
version: 1
defaults: {timeout: soon, env_var: {A: b}, secrets: [x]}
jobs:
  go:
    on: {command: go}
    orders:
      - {name: a, cmds: [x], depends_on: [b], timeout: 600, execution_target: lambda}
      - {name: b, cmds: [x], depends_on: [a, nope]}
"""
    ) == [
        ("line 2: defaults.env_var", "unknown field 'env_var'; did you mean 'env_vars'?"),
        ("line 2: defaults.secrets", "must be a mapping"),
        ("line 2: defaults.timeout", "must be a whole number without quotes, point or exponent"),
        ("line 6: jobs.go.orders", "dependency cycle: a → b → a"),
        ("line 7: jobs.go.orders[0].timeout", "is more than the 540 seconds that lambda allows"),
        ("line 8: jobs.go.orders[1].depends_on[1]", "unknown order 'nope'"),
    ]


def test_a_fault_of_one_order_hides_none_of_the_others():
    assert found(
        """\
version: 1
jobs:
  go:
    on: {push: 5}
    job_timeout: long
    matrix: {d: [x, x]}
    orders:
      - {name: "a-{{ matrix.d }}", cmds: x, depends_on: ["b-{{ matrix.d }}"], folder: "{{ sha }}"}
      - {name: "b-{{ matrix.d }}", cmds: [x], depends_on: ["a-{{ matrix.d }}"], timeout: -1}
      - {name: c, cmds: [x], folder: ../x, timeout: 600, execution_target: lambda}
"""
    ) == [
        ("line 4: jobs.go.on.push", "must be a mapping (example: {branches: [main]})"),
        ("line 5: jobs.go.job_timeout", "must be a whole number without quotes, point or exponent"),
        ("line 6: jobs.go.matrix.d[0]", "is in the list more than once; remove one"),
        ("line 7: jobs.go.orders", "dependency cycle: a-x → b-x → a-x"),
        ("line 8: jobs.go.orders[0].cmds", "must be a list"),
        (
            "line 8: jobs.go.orders[0].folder",
            "cannot contain sha, which comes from the pull request; only matrix values are allowed",
        ),
        ("line 9: jobs.go.orders[1].timeout", "must be more than 0"),
        ("line 10: jobs.go.orders[2].folder", "must be a relative path without .. (for d 'x')"),
        ("line 10: jobs.go.orders[2].timeout", "is more than the 540 seconds that lambda allows (for d 'x')"),
    ]


def test_the_words_of_a_job_are_read_on_and_reported_where_they_stand():
    assert found(job(orders="[{order_name: a, cmds: [x], dependencies: [b], git_folder: ../x}]")) == [
        ("line 6: jobs.go.orders[0].dependencies", "unknown field 'dependencies'; did you mean 'depends_on'?"),
        ("line 6: jobs.go.orders[0].dependencies[0]", "unknown order 'b'"),
        ("line 6: jobs.go.orders[0].git_folder", "must be a relative path without .."),
        ("line 6: jobs.go.orders[0].git_folder", "unknown field 'git_folder'; did you mean 'folder'?"),
        ("line 6: jobs.go.orders[0].order_name", "unknown field 'order_name'; did you mean 'name'?"),
    ]


def test_what_other_systems_write_is_answered_with_what_to_write_here():
    assert found(
        """\
version: 1
username: me
jobs:
  go:
    on: pull_request
    flow_label: x
    orders: [{name: a, cmds: [x], git_repo: r, use_lambda: true}]
"""
    ) == [
        ("line 2: username", "unknown field 'username'; it is a field of a job that is sent; here the event sets it"),
        ("line 5: jobs.go.on", "must be a mapping (example: {pull_request: {}})"),
        (
            "line 6: jobs.go.flow_label",
            "unknown field 'flow_label'; it is a field of a job that is sent; here the job's name is its label",
        ),
        (
            "line 7: jobs.go.orders[0].git_repo",
            "unknown field 'git_repo'; it is a field of a job that is sent; here orders run on the commit of the event",
        ),
        ("line 7: jobs.go.orders[0].use_lambda", "must be 'auto', 'lambda' or 'codebuild'"),
        (
            "line 7: jobs.go.orders[0].use_lambda",
            "unknown field 'use_lambda'; did you mean 'execution_target'?",
        ),
    ]
    assert found("version: 1\njobs: [{name: go}]\n") == [
        ("line 2: jobs", "must be a mapping (example: {plan: {on: …, orders: …}})")
    ]


def test_an_order_that_could_not_be_read_is_not_missed():
    assert found(job(orders="[{name: a, cmds: [x], depends_on: [b]}, {name: 5, cmds: [x]}, x]")) == [
        ("line 6: jobs.go.orders[1].name", "must be text"),
        ("line 6: jobs.go.orders[2]", "must be a mapping"),
    ]
    assert found(job("{d: x}", "[{name: 'a-{{ matrix.d }}', cmds: [x], depends_on: [a-y]}]")) == [
        ("line 4: jobs.go.matrix.d", "must be a list")
    ]
    assert found(job("x", "[{name: 'a-{{ matrix.d }}', cmds: [x]}]")) == [
        ("line 4: jobs.go.matrix", "must be a mapping")
    ]


def test_a_job_with_a_wrong_name_is_checked_under_it():
    content = job(orders="[{name: a, cmds: [x], depends_on: [b]}]").replace(b"  go:", b"  g o:")
    assert found(content) == [
        ("line 3: jobs.'g o'", "must be 1 to 128 letters, digits, _ or -, beginning with a letter or digit"),
        ("line 6: jobs.'g o'.orders[0].depends_on[0]", "unknown order 'b'"),
    ]


def test_a_text_in_place_of_a_list_hides_no_other_problem():
    content = """
        version: 1
        jobs:
          one:
            on: {command: ""}
            orders: [{name: a, cmds: ["true"], timeout: 60, depends_on: [b]}]
    """
    assert [where for where, _ in found(content)] == [
        "line 5: jobs.one.on.command[0]",
        "line 6: jobs.one.orders[0].depends_on[0]",
    ]


def with_order(**fields):
    return {"orders": [{"name": "a", "cmds": ["x"], **fields}]}


@pytest.mark.parametrize(
    ("whole", "of_job", "where"),
    [
        ({}, {"require": {"approved": {"people": ["@mona"]}}}, "jobs.go.require.approved.people[0]"),
        ({}, {"require": {"approved": True}}, "jobs.go.require.approved"),
        ({}, {"require": {"approved": {"teams": ["acme/.."]}}}, "jobs.go.require.approved.teams[0]"),
        ({}, {"require": {"checks": ["test", "iac-ci/go"]}}, "jobs.go.require.checks[1]"),
        ({}, {"on": {"pull_request": {"labels": ["a", ""]}}}, "jobs.go.on.pull_request.labels[1]"),
        ({}, {"mask": {"also": [""]}}, "jobs.go.mask.also[0]"),
        ({}, {"mask": {"never": [5]}}, "jobs.go.mask.never[0]"),
        ({}, with_order(git_credentials=["modules"]), "jobs.go.orders[0].git_credentials[0]"),
        ({}, with_order(after_merge=["/x"]), "jobs.go.orders[0].after_merge[0]"),
        ({}, with_order(plan={}), "jobs.go.orders[0].plan.file"),
        ({}, with_order(plan={"file": "p"}, save=5), "jobs.go.orders[0].save"),
        ({}, with_order(assume_role="x", credentials="endpoint"), "jobs.go.orders[0].assume_role"),
        ({}, with_order(idempotent=5, retry={"attempts": 2, "on": [1]}), "jobs.go.orders[0].idempotent"),
        ({}, with_order(env_vars={"A": "{{ orders.last.b }}"}, depends_on=["-"]), "jobs.go.orders[0].depends_on[0]"),
        (
            {},
            {"matrix": {"a b": ["x"]}, **with_order(restore=[{"order": "{{ matrix.c }}"}])},
            "jobs.go.matrix.'a b'",
        ),
        ({}, {"matrix": {"c": [""]}}, "jobs.go.matrix.c[0]"),
        ({}, {"on": {"push": {"branches": ["refs/heads/main", "x"]}}}, "jobs.go.on.push.branches[0]"),
        ({}, {"on": {"pull_request": {"branches": ["x", "!refs/heads/y"]}}}, "jobs.go.on.pull_request.branches[1]"),
        ({}, {"require": {"from": ["refs/heads/x"]}}, "jobs.go.require.from[0]"),
        ({"projects": [{"folder": "x", "retry": {"attempts": 2}}]}, {}, "projects[0].retry.on"),
        (
            {"projects": [{"folder": "x", "matrix": {"a b": ["x"]}, "var_files": ["{{ matrix.c }}"]}]},
            {},
            "projects[0].matrix.'a b'",
        ),
        ({"projects": 5, "workflows": {"w": {"plan": ["x"], "apply": ["x"]}}}, {}, "projects"),
        ({"defaults": {"assume_role": "x", "credentials": "endpoint"}}, {}, "defaults.assume_role"),
        ({"merge_when_applied": True}, {"on": {"command": "go", "before_merge": 5}}, "jobs.go.on.before_merge"),
    ],
)
def test_a_value_that_cannot_be_read_hides_nothing_and_adds_nothing(whole, of_job, where):
    go = {"on": {"command": "go"}, **with_order()} | of_job
    go["orders"] = [*go["orders"], {"name": "last", "cmds": ["x"], "folder": ".."}]
    problems = found(json.dumps({"version": 1, "jobs": {"go": go}} | whole))
    assert sorted(path.removeprefix("line 1: ") for path, _ in problems) == sorted([where, "jobs.go.orders[1].folder"])
    assert "stand" not in str(problems)


@pytest.mark.parametrize("approved", [True, False, "2", 2.0, ["mona"]])
def test_approvals_are_a_number_or_a_mapping(approved):
    go = {"on": {"command": "go"}, "require": {"approved": approved}, **with_order()}
    (problem,) = found(json.dumps({"version": 1, "jobs": {"go": go}}))
    assert problem[1].startswith("must be a number or a mapping (examples: 1, {count: 2")


@pytest.mark.parametrize(
    ("whole", "of_job", "where"),
    [
        ({}, {"require": None}, "jobs.go.require"),
        ({}, {"require": {"approved": None}}, "jobs.go.require.approved"),
        ({}, {"require": {"mergeable": True, "from": None}}, "jobs.go.require.from"),
        ({}, {"on": {"push": {"branches": None}}}, "jobs.go.on.push.branches"),
        ({}, {"on": {"pull_request": {"labels": None}}}, "jobs.go.on.pull_request.labels"),
        ({}, {"on": {"command": "go", "schedule": None}}, "jobs.go.on.schedule"),
        ({}, {"concurrency": None}, "jobs.go.concurrency"),
        ({}, {"mask": None}, "jobs.go.mask"),
        ({}, {"max_parallel": None}, "jobs.go.max_parallel"),
        ({}, with_order(require={"approved": None}), "jobs.go.orders[0].require.approved"),
        ({}, with_order(approval=None), "jobs.go.orders[0].approval"),
        ({}, with_order(needs=[], dir=None), "jobs.go.orders[0].dir"),
        ({}, with_order(paths=None), "jobs.go.orders[0].paths"),
        ({}, with_order(apply_plan=None), "jobs.go.orders[0].apply_plan"),
        ({}, with_order(plan={"file": "p", "workspace": None}, save=["p"]), "jobs.go.orders[0].plan.workspace"),
        ({"defaults": {"assume_role": None}}, {}, "defaults.assume_role"),
        ({"drift": None}, {}, "drift"),
        ({"projects": [{"folder": "x", "role": None}]}, {}, "projects[0].role"),
        ({"projects": [{"folder": "x", "workspace": None}]}, {}, "projects[0].workspace"),
        ({"projects": [{"folder": "x", "apply": None}]}, {}, "projects[0].apply"),
        ({"projects": [{"folder": "x", "apply": {"require": None}}]}, {}, "projects[0].apply.require"),
        (
            {"projects": [{"folder": "x", "apply": {"require": {"approved": None}}}]},
            {},
            "projects[0].apply.require.approved",
        ),
    ],
)
def test_a_field_without_a_value_is_refused(whole, of_job, where):
    go = {"on": {"command": "go"}, **with_order()} | of_job
    problems = found(json.dumps({"version": 1, "jobs": {"go": go}} | whole))
    assert (f"line 1: {where}", "has no value") in problems


@pytest.mark.parametrize("trigger", ["pull_request", "push"])
def test_a_trigger_and_the_defaults_may_be_empty(trigger):
    triggered = {"on": {trigger: None}, **with_order()}
    text = json.dumps({"version": 1, "defaults": None, "jobs": {"go": triggered}})
    assert getattr(read_configuration(text.encode()).jobs["go"].on, trigger) is not None


@settings(deadline=None)
@given(CONFIGURATIONS)
@example({"version": 1, "jobs": {"version": {"on": {"version": None, "command": ""}, "orders": []}}})
def test_a_mapping_is_always_read_so_far_that_the_whole_can_be_checked(content):
    root = read_document(json.dumps(content).encode()).root
    draft = read_partially(Configuration, plain(root), stand_in)
    assert draft.value is not None, draft.findings


@settings(deadline=None)
@given(st.text("ab:-?[]{}&*!|>'\"%#@`\n\t \\x0<,.~", max_size=40))
def test_no_words_of_the_yaml_library_reach_the_user(text):
    theirs = ("while ", "expected", "found", "could not", "<block", "not allowed here")
    for finding in read_document(text.encode()).findings:
        assert not any(words in finding.message for words in theirs)


def test_an_unknown_axis_is_not_repeated_and_told_once():
    """A text that looks like a template may be a secret."""
    content = order("folder: 'a/{{ matrix.plantedOne }}/{{ matrix.plantedTwo }}'")
    problem = "has a template with an axis that this job's matrix does not have; it has none"
    assert [told for _, told in found(content)] == [problem]


OWN_VALUES = {"timeout": 30, "ssm_paths": [], "assume_role": "arn:aws:iam::123456789012:role/own"}


@pytest.mark.parametrize("own", [{}, OWN_VALUES])
@pytest.mark.parametrize(
    ("defaults", "found"),
    [
        ({"env_vars": {"A": "{{ nope }}"}}, "defaults.env_vars.A: has a template with an unknown name"),
        ({"env_vars": {"A": "x"}, "secrets": {"A": "ssm:/x"}}, "defaults.secrets.A: is also set in env_vars"),
        ({"timeout": 600, "execution_target": "lambda"}, "defaults.timeout: is more than the 540 seconds"),
        ({"assume_role": "{{ sha }}"}, "defaults.assume_role: "),
        ({"ssm_paths": ["ssm:/{{ matrix.none }}"]}, "defaults.ssm_paths[0]: has a template with an axis that"),
    ],
)
def test_unsound_defaults_are_reported_once_whether_orders_take_them_or_not(defaults, found, own):
    env_vars = {"env_vars": dict.fromkeys(defaults.get("env_vars", {}), "own")} if own else {}
    orders = [{"name": name, "cmds": ["true"], **own, **env_vars} for name in ("a", "b")]
    content = {
        "version": 1,
        "defaults": defaults,
        "jobs": {"plan": {"on": {"command": "plan"}, "orders": orders}, "none": {"on": {}, "orders": orders}},
    }
    with pytest.raises(ConfigurationProblems) as raised:
        read_configuration(json.dumps(content).encode())
    lines = [f"{problem.where.partition(': ')[2]}: {problem.what}" for problem in raised.value.problems]
    assert [line for line in lines if line.startswith("defaults.")] == [line for line in lines if found in line]
    assert len(lines) == 2, lines
    assert any(line.startswith("jobs.none.on") for line in lines)


def test_an_axis_of_any_job_may_complete_the_defaults():
    orders = [{"name": "{{ matrix.team }}", "cmds": ["true"]}]
    content = {
        "version": 1,
        "defaults": {"env_vars": {"TEAM": "{{ matrix.team }}"}},
        "jobs": {"plan": {"on": {"command": "plan"}, "matrix": {"team": ["a", "b"]}, "orders": orders}},
    }
    assert read_configuration(json.dumps(content).encode()).jobs.keys() == {"plan"}


@pytest.mark.parametrize("name", ["configuration", "Configuration"])
def test_no_job_has_the_name_of_the_engines_status(name):
    content = {"version": 1, "jobs": {name: {"on": {"command": "plan"}, "orders": [{"name": "a", "cmds": ["true"]}]}}}
    with pytest.raises(ConfigurationProblems, match="is the name of a status of the engine"):
        read_configuration(json.dumps(content).encode())


def test_no_two_jobs_have_one_name_in_other_letters():
    job = {"on": {"command": "plan"}, "orders": [{"name": "a", "cmds": ["true"]}]}
    content = {"version": 1, "jobs": {"deploy": job, "Deploy": job}}
    with pytest.raises(ConfigurationProblems, match=r"jobs\.Deploy: has the name of the job 'deploy' in other letters"):
        read_configuration(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("statuses", "matrix", "names", "problems"),
    [
        ("orders", {}, ["app", "App"], ["line 1: jobs.go.orders[1].name"]),
        ("run", {}, ["app", "App"], []),
        ("orders", {"d": ["x", "X"]}, ["app-{{ matrix.d }}"], ["line 1: jobs.go.orders[0].name"]),
        ("orders", {"d": ["x", "y"]}, ["app-{{ matrix.d }}"], []),
    ],
)
def test_no_two_orders_with_statuses_have_one_name_in_other_letters(statuses, matrix, names, problems):
    job = {"on": {"command": "go"}, "matrix": matrix, "orders": [{"name": name, "cmds": ["x"]} for name in names]}
    content = {"version": 1, "statuses": statuses, "jobs": {"go": job}, "unknown": 1}
    assert [where for where, _ in found(json.dumps(content)) if where != "line 1: unknown"] == problems


def test_a_chain_that_outlasts_the_run_is_refused():
    assert found(
        """\
version: 1
defaults: {timeout: 28800, stop_grace: 1800}
jobs:
  go:
    on: {command: go}
    job_timeout: 86400
    matrix: {d: [x, y]}
    orders:
      - {name: "a-{{ matrix.d }}", cmds: [x]}
      - {name: "b-{{ matrix.d }}", cmds: [x], depends_on: ["a-{{ matrix.d }}"], stop_grace: 60}
      - {name: "c-{{ matrix.d }}", cmds: [x], depends_on: ["b-{{ matrix.d }}"], timeout: 27000}
      - {name: "d-{{ matrix.d }}", cmds: [x], depends_on: ["b-{{ matrix.d }}"], timeout: 450, stop_grace: 1}
"""
    ) == [
        (
            "line 11: jobs.go.orders[2].depends_on",
            (
                "make the run too long: a-x → b-x → c-x may take 88260 seconds one after another (timeout and"
                " stop_grace of each), and a run ends 86400 seconds after it is accepted, waiting included"
            ),
        )
    ]


@pytest.mark.parametrize("of_job", [{"size": "large"}, {"execution_target": "codebuild"}])
def test_an_order_with_a_size_takes_the_time_of_a_build(of_job):
    names = [f"o{number}" for number in range(130)]
    orders = [
        {"name": name, "cmds": ["x"], "timeout": 400, "depends_on": before, **of_job}
        for name, before in zip(names, [[], *([name] for name in names)], strict=False)
    ]
    job = {"on": {"command": "go"}, "job_timeout": 86400, "orders": orders}
    content = json.dumps({"version": 1, "jobs": {"go": job}})
    assert [problem.split(":")[0] for _, problem in found(content)] == ["make the run too long"]


def test_an_order_with_an_approval_has_nothing_that_runs():
    content = b"""
version: 1
jobs:
  a:
    on: {push: {}, command: a}
    job_timeout: 600
    orders:
      - name: ask
        approval: {by: [ann, "x y"], expires: 700}
        cmds: [terraform apply]
        secrets: {A: ssm:/iac-ci/jobs/a}
        must_succeed: false
        paths: ["**"]
"""
    with pytest.raises(ConfigurationProblems) as caught:
        read_configuration(content)
    found = {
        problem.where.partition(": ")[2].removeprefix("jobs.a.orders[0]."): problem.what
        for problem in caught.value.problems
    }
    runs_nothing = "is not for an order with approval, which runs nothing; remove it"
    assert found.pop("approval.by[1]").startswith("must be a person's login")
    assert found.pop("approval.api").startswith("must be true: nobody else could answer")
    assert found.pop("approval.expires") == "is more than the 600 seconds of job_timeout"
    assert found == dict.fromkeys(("cmds", "secrets", "must_succeed", "paths"), runs_nothing)


def test_an_approval_overrides_orders_before_it_that_run_commands():
    content = b"""
version: 1
jobs:
  a:
    on: {command: a}
    orders:
      - {name: policy, cmds: [check]}
      - {name: cost, cmds: [estimate]}
      - {name: ask, approval: {by: [ann]}}
      - name: override
        approval: {by: [ann], overrides: [policy, cost, nothing, override, ask, "{{ pr.number }}"]}
        depends_on: [policy, ask]
"""
    with pytest.raises(ConfigurationProblems) as caught:
        read_configuration(content)
    found = {problem.where.rpartition("overrides")[2]: problem.what for problem in caught.value.problems}
    assert found.pop("[5]")
    assert found == {
        "[1]": "is about 'cost', on which the order does not depend; add it to depends_on",
        "[2]": "unknown order 'nothing'",
        "[3]": "is the order itself; name an order that ends before",
        "[4]": "is 'ask', an approval, whose answer nobody overrides; name orders that run commands",
    }


PROJECT = "projects: [{find: 'live/*/main.tf'%s}]\n"


@pytest.mark.parametrize(
    "text",
    [
        PROJECT % "",
        PROJECT % ", apply: {on: comment}",
        "jobs: {go: {on: {command: go, before_merge: true}, orders: [{name: a, cmds: [x]}]}}\n",
    ],
)
def test_a_merge_may_follow_what_is_applied_before_it(text):
    assert read_configuration(f"version: 1\nmerge_when_applied: true\n{text}".encode()).merge_when_applied


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "jobs: {go: {on: {command: go}, orders: [{name: a, cmds: [x]}]}}\n",
            "is for projects and jobs with before_merge, and there are none; add them or remove it",
        ),
        (
            PROJECT % ", apply: {on: merge}",
            "merges what is applied, and projects[0] is applied after the merge; choose one of the two",
        ),
    ],
)
def test_a_merge_follows_nothing_that_is_applied_after_it(text, told):
    assert found(f"version: 1\nmerge_when_applied: true\n{text}") == [("line 2: merge_when_applied", told)]
    assert not read_configuration(f"version: 1\nmerge_when_applied: false\n{text}".encode()).merge_when_applied


def test_a_host_that_cannot_merge_one_commit_refuses_the_setting():
    text = f"version: 1\nmerge_when_applied: true\n{PROJECT % ''}".encode()
    assert read_configuration(text).merge_when_applied
    with pytest.raises(ConfigurationProblems) as refused:
        read_configuration(text, can_merge=False)
    [problem] = refused.value.problems
    assert (problem.where, "is not possible on this code host" in problem.what) == (
        "line 2: merge_when_applied",
        True,
    )
    assert not read_configuration(text.replace(b"true", b"false"), can_merge=False).merge_when_applied
