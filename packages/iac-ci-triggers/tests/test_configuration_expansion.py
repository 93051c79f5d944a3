from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from iac_ci_common.errors import ConfigurationProblems, InputProblems
from iac_ci_common.graph import find_cycle
from iac_ci_common.models.job import ExecutionTarget, Job
from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_triggers.configuration import (
    TemplateValues,
    expand,
    order_names,
    read_configuration,
    uses_merge,
    with_project_jobs,
)
from iac_ci_triggers.configuration.templates import substitute

SHA = "0123456789abcdef0123456789abcdef01234567"
VALUES = TemplateValues(
    pr_number=7, sha=SHA, branch="feature", base_branch="main", actor="mona", command="plan", target="network"
)


def configuration(orders: list[dict], matrix: dict | None = None, defaults: dict | None = None):
    job = {"on": {"command": "plan"}, "orders": orders, "matrix": matrix or {}}
    return read_configuration(json.dumps({"version": 1, "defaults": defaults or {}, "jobs": {"plan": job}}).encode())


def order(name: str, after: list[str] | None = None, **fields) -> dict:
    return {"name": name, "cmds": ["true"], "depends_on": after or [], **fields}


def expanded(read, changed=None, target=None, values=VALUES):
    return expand(read, "plan", values, changed, target)


def names(expansion) -> list[str]:
    return [order.order_name for order in expansion.orders]


STEPS = configuration(
    [
        order("plan-{{ matrix.dir }}", paths=["{{ matrix.dir }}/**", "modules/**"]),
        order("apply-{{ matrix.dir }}", ["plan-{{ matrix.dir }}"], paths=["{{ matrix.dir }}/**"]),
    ],
    {"dir": ["network", "envs/app"]},
)


def test_an_order_is_copied_for_every_combination():
    orders = [order("a-{{ matrix.x }}-{{matrix.y}}"), order("b-{{ matrix.x }}-{{ matrix.y }}")]
    read = configuration(orders, {"x": [1, 2], "y": ["u", "v"]})
    assert names(expanded(read)) == ["a-1-u", "b-1-u", "a-1-v", "b-1-v", "a-2-u", "b-2-u", "a-2-v", "b-2-v"]


def test_the_pieces_make_a_job():
    expansion = expanded(STEPS)
    job = Job(
        username="mona",
        flow_label=expansion.flow_label,
        job_timeout=expansion.job_timeout,
        max_parallel=expansion.max_parallel,
        git_repo="https://example.com/x",
        commit_hash=SHA,
        orders=list(expansion.orders),
    )
    assert job.flow_label == "plan"
    assert names(job) == ["plan-network", "apply-network", "plan-envs-app", "apply-envs-app"]
    assert job.orders[3].dependencies == ["plan-envs-app"]


def test_values_stand_in_variables_and_every_order_gets_them_all():
    read = configuration(
        [
            order(
                "a-{{ matrix.dir }}",
                env_vars={
                    "TITLE": "#{{ pr.number }} {{sha}} {{ branch }}>{{ base_branch }} {{ actor }}",
                    "J": "{{ job }}",
                },
                folder="{{ matrix.dir }}",
                secrets={"T": "ssm:/{{ matrix.dir }}/t"},
                ssm_paths=["/{{ matrix.dir }}/all"],
                secret_manager_paths=["x/{{ matrix.dir }}"],
                sops_key="ssm:/{{ matrix.dir }}/age",
                assume_role="arn:aws:iam::123456789012:role/{{ matrix.dir }}",
            )
        ],
        {"dir": ["envs/app"]},
    )
    (made,) = expanded(read).orders
    assert made.env_vars == {
        "TITLE": f"#7 {SHA} feature>main mona",
        "J": "plan",
        "IACCI_PR_NUMBER": "7",
        "IACCI_SHA": SHA,
        "IACCI_BRANCH": "feature",
        "IACCI_BASE_BRANCH": "main",
        "IACCI_ACTOR": "mona",
        "IACCI_COMMAND": "plan",
        "IACCI_TARGET": "network",
        "IACCI_JOB": "plan",
        "IACCI_MATRIX_DIR": "envs/app",
    }
    assert made.order_name == "a-envs-app"
    assert made.git_folder == "envs/app"
    assert made.secrets == {"T": "ssm:/envs/app/t"}
    assert made.ssm_paths == ["ssm:/envs/app/all"]
    assert made.secret_manager_paths == ["secretsmanager:x/envs/app"]
    assert made.sops_key == "ssm:/envs/app/age"
    assert made.assume_role == "arn:aws:iam::123456789012:role/envs/app"


HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "'\"; touch pwned; #",
    "{{ sha }}",
    "{{ matrix.dir }}",
    "{{ ''.__class__ }}",
    "--upload-pack=touch pwned",
    "\u202egpj.exe",
    "${IACCI_SHA}",
    "\\g<0> \\1 {0} %s",
    "{{orders.network.token}}",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_value_is_text_and_stays_text(hostile, tmp_path):
    read = configuration([order("a", env_vars={"TITLE": "branch {{ branch }} by {{ actor }}"})])
    values = VALUES.model_copy(update={"branch": hostile, "actor": hostile})
    (made,) = expanded(read, values=values).orders
    assert made.env_vars["TITLE"] == f"branch {hostile} by {hostile}"
    assert made.env_vars["IACCI_BRANCH"] == hostile
    assert made.cmds == ["true"]
    # What the pages say to write, in a real shell.
    shell = ["bash", "-c", 'printf %s "$TITLE"']
    ran = subprocess.run(shell, env=made.env_vars, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == made.env_vars["TITLE"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "\x1b[31m", "x" * 1025])
def test_a_value_that_is_no_line_is_no_value(value):
    with pytest.raises(ValidationError):
        TemplateValues(branch=value)


def test_what_does_not_apply_is_empty():
    (made,) = expanded(configuration([order("a")]), values=TemplateValues(sha=SHA)).orders
    assert made.env_vars["IACCI_PR_NUMBER"] == made.env_vars["IACCI_TARGET"] == ""


def test_a_matrix_value_is_no_pattern():
    read = configuration([order("a-{{ matrix.d }}", paths=["{{ matrix.d }}/**"])], {"d": ["a*", "!b", "[c]"]})
    assert names(expanded(read, ["ab/x", "c/x", "z"])) == []
    assert names(expanded(read, ["a*/x", "!b/x"])) == ["a-a-", "a--b"]


def test_defaults_are_for_orders_that_do_not_say():
    read = configuration(
        [
            order("plain"),
            order(
                "own",
                timeout=5,
                execution_target="codebuild",
                must_succeed=True,
                env_vars={"A": "own", "S": "plain"},
                secrets={"B": "ssm:/own"},
                ssm_paths=[],
                assume_role="arn:aws:iam::123456789012:role/own",
                credentials="endpoint",
                git_credentials=[],
                registries={"b.example.com": "ssm:/own"},
            ),
        ],
        defaults={
            "credentials": "environment",
            "git_credentials": ["acme/modules"],
            "registries": {"a.example.com": "ssm:/all", "b.example.com": "ssm:/all"},
            "timeout": 30,
            "execution_target": "lambda",
            "must_succeed": False,
            "env_vars": {"A": "all", "B": "all", "C": "all"},
            "secrets": {"S": "ssm:/all"},
            "ssm_paths": ["/all"],
            "assume_role": "arn:aws:iam::123456789012:role/all",
            "sops_key": "ssm:/all-age",
        },
    )
    plain, own = expanded(read).orders
    assert (plain.timeout, plain.execution_target, plain.must_succeed) == (30, ExecutionTarget.LAMBDA, False)
    assert (own.timeout, own.execution_target, own.must_succeed) == (5, ExecutionTarget.CODEBUILD, True)
    assert {name: plain.env_vars.get(name) for name in "ABC"} == {"A": "all", "B": "all", "C": "all"}
    assert {name: own.env_vars.get(name) for name in "ABCS"} == {"A": "own", "B": None, "C": "all", "S": "plain"}
    assert plain.secrets == {"S": "ssm:/all"}
    assert own.secrets == {"B": "ssm:/own"}
    assert (plain.ssm_paths, own.ssm_paths) == (["ssm:/all"], [])
    assert (plain.assume_role[-3:], own.assume_role[-3:]) == ("all", "own")
    assert plain.sops_key == own.sops_key == "ssm:/all-age"
    assert (plain.credentials, own.credentials) == ("environment", "endpoint")
    assert (plain.git_credentials, own.git_credentials) == (["acme/modules"], [])
    assert own.registries == {"a.example.com": "ssm:/all", "b.example.com": "ssm:/own"}


def test_the_files_way_of_delivering_credentials_means_the_orders_with_a_role():
    (made,) = expanded(configuration([order("a")], defaults={"credentials": "environment"})).orders
    assert made.credentials is None


def test_an_order_of_which_nobody_says_anything_fits_the_quicker_target():
    (made,) = expanded(configuration([order("a")])).orders
    assert (made.timeout, made.execution_target, made.must_succeed) == (450, ExecutionTarget.AUTO, True)


@pytest.mark.parametrize(
    ("changed", "running"),
    [
        (None, ["plan-network", "apply-network", "plan-envs-app", "apply-envs-app"]),
        (["network/main.tf"], ["plan-network", "apply-network"]),
        (["modules/x.tf"], ["plan-network", "plan-envs-app"]),
        (["README.md"], []),
        ([], []),
    ],
)
def test_only_what_has_changed_runs(changed, running):
    expansion = expanded(STEPS, changed)
    assert names(expansion) == running
    left_out = {left.name: left.reason for left in expansion.left_out}
    assert sorted([*running, *left_out]) == sorted(names(expanded(STEPS)))
    assert set(left_out.values()) <= {"none of its paths have changed"}


def test_an_order_waits_for_what_a_left_out_one_would_have_waited_for():
    read = configuration(
        [
            order("a"),
            order("b", ["a"], paths=["b/**"]),
            order("c", ["b", "a"], paths=["c/**"]),
            order("d", ["c", "b"]),
        ]
    )
    assert {order.order_name: order.dependencies for order in expanded(read, []).orders} == {"a": [], "d": ["a"]}
    assert expanded(read, ["c/x"]).orders[-1].dependencies == ["c", "a"]


def test_two_left_out_orders_of_which_one_waits_for_the_other_hide_nothing():
    gone = {"paths": ["gone"]}
    read = configuration(
        [order("a", ["b", "c"]), order("x", ["c"]), order("c", ["b"], **gone), order("b", ["d"], **gone), order("d")]
    )
    waits = {made.order_name: made.dependencies for made in expanded(read, []).orders}
    assert waits == {"a": ["d"], "x": ["d"], "d": []}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sets(st.integers(0, 7)), st.booleans()), min_size=8, max_size=8), st.permutations(range(8))
)
def test_who_waits_for_whom_is_the_same_with_and_without_those_left_out(drawn, places):
    after = {n: {other for other in others if other < n} for n, (others, _) in enumerate(drawn)}
    kept = {n for n, (_, keep) in enumerate(drawn) if keep}
    nearest = {n: {far for other in after[n] for far in reached(other, after, kept)} for n in kept}
    orders = [
        order(f"a{n}", [f"a{other}" for other in sorted(after[n])], **({} if n in kept else {"paths": ["x"]}))
        for n in places
    ]
    expansion = expanded(configuration(orders), [])
    assert {made.order_name: set(made.dependencies) for made in expansion.orders} == {
        f"a{n}": {f"a{other}" for other in others} for n, others in nearest.items()
    }


def reached(n: int, after: dict[int, set[int]], kept: set[int]) -> set[int]:
    return {n} if n in kept else {far for other in after[n] for far in reached(other, after, kept)}


@pytest.mark.parametrize(
    ("target", "running"),
    [
        ("plan-network", ["plan-network"]),
        ("apply-network", ["plan-network", "apply-network"]),
        ("envs/app", ["plan-envs-app", "apply-envs-app"]),
    ],
)
def test_a_target_runs_with_what_it_depends_on_whatever_has_changed(target, running):
    expansion = expanded(STEPS, [], target)
    assert names(expansion) == running
    assert {left.reason for left in expansion.left_out} == {f"is not part of the target {target}"}
    assert expansion.orders[0].env_vars["IACCI_TARGET"] == target


@pytest.mark.parametrize("target", ["prod", "NETWORK", "network ", "*", "plan-*", "$(x)", "\x1b[31m", "x" * 5000])
def test_an_unknown_target_is_told_with_those_there_are(target):
    with pytest.raises(InputProblems) as caught:
        expanded(STEPS, None, target)
    (problem,) = caught.value.problems
    assert problem.where == "target"
    assert problem.what.endswith(
        "known are plan-network, apply-network, plan-envs-app, apply-envs-app, network, envs/app"
    )
    assert problem.what.isprintable()
    assert len(problem.what) < 400


def test_an_unknown_job_is_told_with_those_there_are():
    with pytest.raises(InputProblems, match="unknown job 'apply'; known are plan"):
        expand(STEPS, "apply", VALUES, None, None)


def test_values_cannot_make_a_job_larger_than_jobs_are():
    long = VALUES.model_copy(update={"branch": "b" * 1024})
    with pytest.raises(InputProblems, match="has more than 16384 characters"):
        expanded(configuration([order("a", env_vars={"A": "{{ branch }}" * 20})]), values=long)
    many = {f"A{number}": "{{ branch }}" * 15 for number in range(200)}
    read = configuration([order(f"a{number}") for number in range(3)], defaults={"env_vars": many})
    with pytest.raises(InputProblems, match="have more than 5242880 characters in total"):
        expanded(read, values=long)
    assert len(expanded(read).orders) == 3


def test_a_full_set_of_variables_leaves_room_for_the_engines_own():
    variables = {f"A{number}": "x" for number in range(200)}
    more = {f"B{number}": "x" for number in range(56)}
    with pytest.raises(ConfigurationProblems, match="env_vars: has more than 256 entries"):
        configuration([order("a", env_vars=more)], defaults={"env_vars": variables})
    read = configuration([order("a", env_vars=dict(list(more.items())[:48]))], defaults={"env_vars": variables})
    assert len(expanded(read).orders[0].env_vars) == 256


def test_a_thousand_orders_are_made_and_one_more_is_not():
    read = configuration([order("a-{{ matrix.n }}")], {"n": list(range(1000))})
    assert len(expanded(read).orders) == 1000
    with pytest.raises(ConfigurationProblems, match="1002 combinations of 1 orders; a job has at most 1000"):
        configuration([order("a-{{ matrix.n }}-{{ matrix.m }}")], {"n": list(range(501)), "m": [1, 2]})


def test_a_long_chain_needs_no_recursion():
    middle = (order(f"a{n}", [f"a{n - 1}"], paths=["x/**"], timeout=60) for n in range(1, 999))
    chain = [order("a0"), *middle, order("z", ["a998"])]
    read = configuration(chain)
    assert {order.order_name: order.dependencies for order in expanded(read, []).orders} == {"a0": [], "z": ["a0"]}
    assert len(expanded(read, [], "z").orders) == 1000


@settings(deadline=None)
@given(st.text(), st.text())
def test_values_are_put_in_once(before, value):
    assume("{{" not in before and "{" not in before[-1:])
    assert substitute(f"{before}{{{{ sha }}}}{before}", {"sha": value, "branch": "no"}) == f"{before}{value}{before}"


# Any configuration that is read can be expanded in any way.

WORDS = st.sampled_from(["a", "b", "c", "d-{{ matrix.x }}", "e-{{ matrix.y }}"])
ORDERS = st.lists(
    st.builds(
        lambda name, after, paths: order(name, sorted(after)) | ({"paths": paths} if paths else {}),
        WORDS,
        st.sets(WORDS, max_size=2),
        st.lists(st.sampled_from(["p/**", "{{ matrix.x }}/**", "q", "**/*.tf", "!p/1"]), max_size=2, unique=True),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda made: made["name"],
)
MATRICES = st.fixed_dictionaries({}, optional={"x": st.sampled_from([["1"], ["1", "p"]]), "y": st.just(["u"])})


@settings(deadline=None)
@given(
    ORDERS,
    MATRICES,
    st.none() | st.lists(st.sampled_from(["p/1", "q", "1/a.tf", "z"]), max_size=3),
    st.sampled_from([None, None, "1", "p", "b", "d-1"]),
)
def test_what_is_read_can_be_run(orders, matrix, changed, wanted):
    try:
        read = configuration(orders, matrix)
    except ConfigurationProblems:
        return
    whole = names(expanded(read))
    try:
        expansion = expanded(read, changed, wanted)
    except InputProblems:
        assert wanted not in {*whole, *(value for values in matrix.values() for value in values)}
        return
    running = names(expansion)
    assert sorted([*running, *(left.name for left in expansion.left_out)]) == sorted(whole)
    edges = {made.order_name: made.dependencies for made in expansion.orders}
    assert len(edges) == len(running)
    assert all(set(dependencies) <= edges.keys() for dependencies in edges.values())
    assert find_cycle(edges) is None
    if wanted is None and changed is None:
        assert running == whole


def test_those_that_are_read_have_all_that_there_is():
    def is_read(drawn) -> bool:
        orders, matrix = drawn
        if len(orders) < 3 or not matrix or not all(made["depends_on"] or made.get("paths") for made in orders):
            return False
        try:
            return len(expanded(configuration(orders, matrix)).orders) > 3
        except ConfigurationProblems:
            return False

    # Raises where there is none.
    once = settings(max_examples=2000, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    find(st.tuples(ORDERS, MATRICES), is_read, settings=once)


NETWORK_AND_APP = [
    order("network", paths=["network/**"]),
    order("app", ["network"], paths=["app/**"], env_vars={"VPC_ID": "{{ orders.network.vpc_id }}"}),
]


def test_an_order_takes_the_output_of_another():
    made = expanded(configuration(NETWORK_AND_APP)).orders[1]
    assert made.taken_outputs() == {"VPC_ID": ("network", "vpc_id")}
    assert made.verbatim == []


@pytest.mark.parametrize("text", ["{{ branch }}", "{{ orders.network.vpc_id }}"])
def test_only_the_files_author_takes_an_output(text):
    """A branch may be named like a template."""
    hostile = "{{orders.network.token}}"
    read = configuration([order("network"), order("app", ["network"], env_vars={"A": text})])
    made = expanded(read, values=VALUES.model_copy(update={"branch": hostile, "actor": hostile})).orders[1]
    assert made.env_vars["IACCI_BRANCH"] == hostile
    taken = {} if "branch" in text else {"A": ("network", "vpc_id")}
    assert made.taken_outputs() == taken
    assert {"IACCI_BRANCH", "IACCI_ACTOR"} <= set(made.verbatim)


def test_an_order_whose_output_is_taken_runs_too():
    read = configuration([*NETWORK_AND_APP, order("other", ["network"], paths=["other/**"])])
    assert names(expanded(read, changed=["app/main.tf"])) == ["network", "app"]
    assert names(expanded(read, changed=["network/main.tf"])) == ["network"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("A", "{{ orders.nope.x }}", "unknown order 'nope'"),
        ("A", "{{ orders.dns.x }}", "takes from 'dns', on which the order does not depend; add it to depends_on"),
        ("A", "{{ orders.app.x }}", "is an output of the order itself; take it from an order that ends before"),
        ("A", "a {{ orders.network.x }}", "must be one whole template, {{ orders.NAME.OUTPUT }}, without other text"),
        (
            "AWS_PROFILE",
            "{{ orders.network.x }}",
            "cannot come from another order's output, because programs read this",
        ),
    ],
)
def test_a_template_of_an_output_that_cannot_be_is_refused(name, text, problem):
    with pytest.raises(ConfigurationProblems) as caught:
        configuration([order("network"), order("dns"), order("app", ["network"], env_vars={name: text})])
    (found,) = caught.value.problems
    assert found.where.endswith(f"jobs.plan.orders[2].env_vars.{name}")
    assert found.what.startswith(problem)


def test_an_order_restores_files_of_another_also_of_a_combination():
    read = configuration(
        [
            order("plan-{{ matrix.dir }}", save=["tfplan"], paths=["{{ matrix.dir }}/**"]),
            order(
                "apply-{{ matrix.dir }}",
                ["plan-{{ matrix.dir }}"],
                restore=[{"order": "plan-{{ matrix.dir }}", "files": ["tfplan"]}],
                keep_on_failure=["*.log"],
            ),
        ],
        {"dir": ["network", "app"]},
    )
    expansion = expanded(read, changed=["README.md"])
    # An order without paths always runs, and with it the orders whose files it restores.
    assert names(expansion) == ["plan-network", "apply-network", "plan-app", "apply-app"]
    assert expansion.orders[3].restore[0].order == "plan-app"
    assert expansion.orders[0].save == ["tfplan"]
    assert expansion.orders[1].keep_on_failure == ["*.log"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nope", "unknown order 'nope'"),
        ("dns", "takes from 'dns', on which the order does not depend; add it to depends_on"),
        ("app", "is the order itself; restore files of an order that ends before"),
        ("network", "is 'network', which saves no files; add save to it"),
    ],
)
def test_files_that_cannot_be_restored_are_refused(name, problem):
    with pytest.raises(ConfigurationProblems) as caught:
        configuration(
            [order("network"), order("dns", save=["x"]), order("app", ["network"], restore=[{"order": name}])]
        )
    (found,) = caught.value.problems
    assert found.where.endswith("jobs.plan.orders[2].restore[0].order")
    assert found.what == problem


GATED = [
    order("plan-{{ matrix.dir }}", cmds=["true", {"run": True, "ok": [0, 2]}], paths=["{{ matrix.dir }}/*.tf"]),
    order(
        "apply-{{ matrix.dir }}",
        ["plan-{{ matrix.dir }}"],
        when={"plan-{{ matrix.dir }}": "changed"},
        idempotent=True,
        retry={"attempts": 2, "on": [75]},
        paths=["{{ matrix.dir }}/*"],
    ),
]


def test_exit_codes_conditions_and_attempts_reach_the_orders():
    plan, apply = expanded(configuration(GATED, {"dir": ["a"]})).orders
    assert [plan.commands, plan.cmds[1].ok] == [("true", "true"), [0, 2]]
    assert (apply.when, apply.idempotent, apply.retry.attempts, apply.retry.on) == (
        {"plan-a": "changed"},
        True,
        2,
        [75],
    )


def test_a_conditional_order_takes_the_order_with_it_that_its_condition_names():
    read = configuration(GATED, {"dir": ["a", "b"]})
    assert names(expanded(read, ["a/README.md"])) == ["plan-a", "apply-a"]


def test_every_problem_of_exit_codes_and_conditions_is_reported():
    orders = [
        order("plan", cmds=["echo {{ sha }}", {"run": "echo {{ matrix.x }}", "ok": [0, 137, 256]}, {"run": ""}]),
        order(
            "apply",
            ["plain"],
            when={"plan": "changed", "plain": "changed", "apply": "changed", "x": "yes", "{{ sha }}": "changed"},
            retry={"on": [3, 3]},
        ),
        order("plain"),
    ]
    with pytest.raises(ConfigurationProblems) as refused:
        configuration(orders, {"x": ["1"]})
    found = {problem.where.removeprefix("line 1: jobs.plan.orders"): problem.what for problem in refused.value.problems}
    assert {where: what.removesuffix(" (for x '1')") for where, what in found.items()} == {
        "[0].cmds[0]": 'contains the template sha, which commands do not support; use "$IACCI_SHA" instead',
        "[0].cmds[1].run": "contains the template matrix.x, which commands do not support; use"
        ' "$IACCI_MATRIX_X" instead',
        "[0].cmds[1].ok[1]": "137 is the exit code of a command that signal 9 has ended, which is never ok",
        "[0].cmds[1].ok[2]": "must be at most 255",
        "[0].cmds[2].run": "is empty",
        "[1].retry": "needs idempotent: true, because the commands of the order run again",
        "[1].retry.attempts": "is missing",
        "[1].retry.on[1]": "3 is in the list more than once; remove one",
        "[1].when.'{{ sha }}'": "cannot contain sha, which comes from the pull request; only matrix values are allowed",
        "[1].when.apply": "is the order itself; name an order that ends before",
        "[1].when.plan": "is about 'plan', on which the order does not depend; add it to depends_on",
        "[1].when.x": "must be 'changed'",
    }


def test_a_condition_on_an_order_that_is_never_changed_is_refused_unless_its_commands_could_not_be_read():
    apply = order("apply", ["plan"], when={"plan": "changed"})
    with pytest.raises(ConfigurationProblems, match="can never hold: 'plan' is never changed"):
        configuration([order("plan"), apply])
    with pytest.raises(ConfigurationProblems) as refused:
        configuration([order("plan", cmds=[[]]), apply])
    assert [problem.where for problem in refused.value.problems] == ["line 1: jobs.plan.orders[0].cmds[0]"]


@pytest.mark.parametrize(
    ("of_defaults", "of_job", "of_order", "merged"),
    [
        (None, None, None, False),
        ("merge", None, None, True),
        ("merge", "head", None, False),
        ("merge", "head", "merge", True),
        (None, "merge", None, True),
        (None, "merge", "head", False),
        ("head", None, "merge", True),
    ],
)
def test_the_nearest_choice_of_the_code_counts(of_defaults, of_job, of_order, merged):
    def chosen(value):
        return {} if value is None else {"checkout": value}

    job = {"on": {"command": "plan"}, "orders": [order("a", **chosen(of_order))], **chosen(of_job)}
    content = {"version": 1, "defaults": chosen(of_defaults), "jobs": {"plan": job}}
    read = read_configuration(json.dumps(content).encode())
    assert expanded(read).merged == ({"a"} if merged else set())
    assert uses_merge(read) is merged


def test_projects_choose_their_code():
    content = b"""
version: 1
projects:
  - {folder: one, checkout: merge}
  - {folder: two}
"""
    tree = Tree({f"{name}/main.tf": Entry(EntryKind.FILE, 3) for name in ("one", "two")}, {})
    read = with_project_jobs(read_configuration(content), tree).configuration
    assert expanded(read).merged == {"plan-one"}


def test_an_unknown_choice_of_the_code_is_refused():
    with pytest.raises(ConfigurationProblems) as refused:
        configuration([order("a", checkout="base")])
    assert "checkout" in refused.value.problems[0].where


WITH_APPROVAL = b"""
version: 1
defaults:
  env_vars: {A: b}
  secrets: {T: ssm:/iac-ci/jobs/t}
  timeout: 30
jobs:
  apply:
    on: {command: apply}
    checkout: merge
    matrix: {stage: [dev, prod]}
    orders:
      - {name: "plan-{{ matrix.stage }}", project: "{{ matrix.stage }}", cmds: [terraform plan]}
      - name: "ask-{{ matrix.stage }}"
        approval: {by: [ann], message: ready}
        depends_on: ["plan-{{ matrix.stage }}"]
      - name: "run-{{ matrix.stage }}"
        project: "{{ matrix.stage }}"
        cmds: [terraform apply]
        depends_on: ["ask-{{ matrix.stage }}"]
"""


def test_an_approval_takes_nothing_of_the_defaults_and_no_code():
    expansion = expand(read_configuration(WITH_APPROVAL), "apply", VALUES, None, None)
    ask = next(order for order in expansion.orders if order.order_name == "ask-dev")
    assert ask.model_dump(exclude_defaults=True) == {
        "order_name": "ask-dev",
        "approval": {"by": ["ann"], "message": "ready"},
        "dependencies": ["plan-dev"],
    }
    assert "ask-dev" not in expansion.merged
    assert "run-dev" in expansion.merged


def test_a_target_never_leaves_out_an_approval():
    orders = expand(read_configuration(WITH_APPROVAL), "apply", VALUES, None, "run-prod").orders
    by_name = {order.order_name: order.dependencies for order in orders}
    assert by_name == {"plan-prod": [], "ask-prod": ["plan-prod"], "run-prod": ["ask-prod"]}


WITH_OVERRIDE = b"""
version: 1
jobs:
  apply:
    on: {pull_request: {}}
    matrix: {stage: [dev, prod]}
    orders:
      - name: "plan-{{ matrix.stage }}"
        folder: "{{ matrix.stage }}"
        cmds: [terraform plan]
        paths: ["{{ matrix.stage }}/**"]
      - name: "policy-{{ matrix.stage }}"
        folder: "{{ matrix.stage }}"
        cmds: [check]
        depends_on: ["plan-{{ matrix.stage }}"]
        paths: ["{{ matrix.stage }}/**"]
      - name: "override-{{ matrix.stage }}"
        approval: {by: [ann], overrides: ["policy-{{ matrix.stage }}"]}
        depends_on: ["policy-{{ matrix.stage }}"]
      - name: "run-{{ matrix.stage }}"
        folder: "{{ matrix.stage }}"
        cmds: [terraform apply]
        depends_on: ["override-{{ matrix.stage }}"]
        paths: ["{{ matrix.stage }}/**"]
"""


def test_an_override_is_of_its_own_copy():
    expansion = expand(read_configuration(WITH_OVERRIDE), "apply", VALUES, None, None)
    override = next(order for order in expansion.orders if order.order_name == "override-dev")
    assert override.approval.overrides == override.dependencies == ["policy-dev"]


@pytest.mark.parametrize(
    ("changed", "target", "deleted", "runs"),
    [
        (["dev/main.tf"], None, (), ["plan-dev", "policy-dev", "override-dev", "run-dev"]),
        (["README.md"], None, (), []),
        (["dev/main.tf"], None, ("dev",), []),
        (None, "run-prod", (), ["plan-prod", "policy-prod", "override-prod", "run-prod"]),
    ],
)
def test_an_override_runs_where_something_runs_that_it_overrides(changed, target, deleted, runs):
    configuration = read_configuration(WITH_OVERRIDE)
    expansion = expand(configuration, "apply", VALUES, changed, target, deleted)
    assert [order.order_name for order in expansion.orders] == runs
    if target is None:
        assert list(order_names(configuration, "apply", changed, deleted)) == runs
