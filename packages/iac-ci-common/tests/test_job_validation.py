from __future__ import annotations

import json

import pytest

from iac_ci_common import draft
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.grants import EVERYTHING
from iac_ci_common.job_validation.check import check_fields, check_job
from iac_ci_common.job_validation.json_body import parse_body
from iac_ci_common.job_validation.parser import read_order_draft
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.models.job import Order

ORDER = {"cmds": ["true"], "timeout": 60}


def found(job, **options) -> list[tuple[str, str]]:
    body = job if isinstance(job, bytes) else json.dumps(job).encode()
    with pytest.raises(InputProblems) as caught:
        check_job(body, Rules(grant=EVERYTHING), **options)
    return [(problem.where, problem.what) for problem in caught.value.problems]


def orders(*several):
    return {"username": "tests", "orders": [{**ORDER, **one} for one in several]}


SIZES = [
    ({"size": "large"}, frozenset({"large"}), []),
    ({"size": "large"}, None, []),
    (
        {"size": "huge"},
        frozenset({"small", "large"}),
        [("orders[0].size", "'huge' is no size of this stack; its sizes: large, small")],
    ),
    (
        {"size": "huge"},
        frozenset(),
        [
            (
                "orders[0].size",
                "'huge' is no size of this stack; its sizes: none; its operator maps them with order_sizes",
            )
        ],
    ),
    (
        {"size": "large", "execution_target": "lambda"},
        frozenset({"large"}),
        [("orders[0].size", "is of builds only; remove it, or the target lambda")],
    ),
    (
        {"size": "large", "use_lambda": True},
        frozenset({"large"}),
        [("orders[0].size", "is of builds only; remove it, or the target lambda")],
    ),
    ({"size": "large", "timeout": 3000}, frozenset({"large"}), []),
]


@pytest.mark.parametrize(("fields", "sizes", "expected"), SIZES)
def test_a_size_is_one_of_the_stack_and_of_builds(fields, sizes, expected):
    body = json.dumps({"username": "tests", "orders": [{"cmds": ["true"], "timeout": 60, **fields}]}).encode()
    try:
        check_job(body, Rules(grant=EVERYTHING, sizes=sizes))
        found = []
    except InputProblems as refused:
        found = [(problem.where, problem.what) for problem in refused.problems]
    assert found == expected


def test_a_field_under_another_word_is_read_on_and_reported_under_that_word():
    assert found(orders({"name": "a", "depends_on": ["b"]}, {"order_name": "b", "dependencies": ["a", "x"]})) == [
        ("orders", "dependency cycle: a → b → a"),
        ("orders[0].name", "unknown field 'name'; did you mean 'order_name'?"),
        ("orders[0].depends_on", "unknown field 'depends_on'; did you mean 'dependencies'?"),
        ("orders[1].dependencies[1]", "unknown order 'x'"),
    ]


def test_a_field_that_is_given_under_both_words_counts_under_ours():
    assert found(orders({"order_name": "a", "name": "b"}, {"dependencies": ["b"]})) == [
        ("orders[0].name", "unknown field 'name'; did you mean 'order_name'?"),
        ("orders[1].dependencies[0]", "unknown order 'b'"),
    ]


def test_orders_under_another_word_are_checked_too():
    assert found({"username": "tests", "order": [{**ORDER, "timeout": 541, "use_lambda": True}]}) == [
        ("order", "unknown field 'order'; did you mean 'orders'?"),
        ("order[0].timeout", "is more than the 540 seconds that lambda allows"),
    ]


@pytest.mark.parametrize("given", [{}, {"orders": []}, {"orders": "all"}])
def test_without_orders_the_job_around_them_is_still_checked(given):
    assert ("git_repo", "is file://, which works on the local cloud only") in found(
        {"username": "tests", "git_repo": "file:///x", "commit_hash": "a" * 40, **given}
    )


def test_problems_come_job_first_and_then_order_by_order():
    places = [where for where, _ in found(orders({"timeout": 0}, {"x": 1}, {"git_folder": "../x"}) | {"pr_number": 0})]
    for number in (2**31, int("9" * 4000)):
        assert [where for where, _ in found(orders({}) | {"pr_number": number})] == ["pr_number"]
    assert places == ["pr_number", "orders[0].timeout", "orders[1].x", "orders[2].git_folder", "orders[2].git_folder"]


def test_code_that_is_sent_with_the_job_is_the_code_of_orders_without_one():
    job = orders({"git_folder": "x"}, {"s3_location": "s3://own/code.zip"})
    assert ("orders[0].git_folder", "needs a git_repo or an s3_location") in found(job)
    checked = check_job(json.dumps(job).encode(), Rules(grant=EVERYTHING), code="s3://packed/code.zip")
    assert [order.s3_location for order in checked.orders] == ["s3://packed/code.zip", "s3://own/code.zip"]


def test_fields_that_the_engine_put_together_are_checked_alike():
    with pytest.raises(InputProblems) as caught:
        check_fields(
            {"username": "a b", "orders": [Order(cmds=["true"], timeout=541, use_lambda=True)]}, Rules(grant=EVERYTHING)
        )
    assert [problem.where for problem in caught.value.problems] == ["username", "orders[0].timeout"]


LOWER_CASE = "true, false and null are written in lower case, None as null"
DIGITS = "a number is not in plain decimal digits (60, not 060, 0x3c, +60 or 60s)"


@pytest.mark.parametrize(("timeout", "least"), [(3601, 3601), (28800, 28800), (28801, 28800), (10**30, 28800)])
def test_no_longer_job_timeout_is_asked_for_than_an_order_may_use(timeout, least):
    text = f"is 3600 by default, shorter than the longest order's timeout; set at least {least} seconds"
    assert ("job_timeout", text) in found(orders({"timeout": timeout}))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b'{"a": 1,}', "is not JSON: a comma has nothing after it at line 1, column 8"),
        (b'{"a": [1,\n]}', "is not JSON: a comma has nothing after it at line 1, column 9"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark; save it as UTF-8 without one"),
        (b"[" * 33, "is nested too deeply: more than 32 levels"),
        (b'{"a": "' + b"[" * 33 + b'"', "is not JSON: the text ends too early at line 1, column 42"),
        (b"", "is empty"),
        (b'{"a": 1, // why\n"b": 2}', "is not JSON: a comment is not allowed in JSON at line 1, column 10"),
        (b'{"a": 1 /* why */}', "is not JSON: a comment is not allowed in JSON at line 1, column 9"),
        (b"# why\n{}", "is not JSON: a comment is not allowed in JSON at line 1, column 1"),
        (b"{\"a\": 'b'}", 'is not JSON: text is in other quotes than " at line 1, column 7'),
        ("{“a”: 1}".encode(), 'is not JSON: text is in other quotes than " at line 1, column 2'),
        *(
            (b'{"a": %s}' % word, f"is not JSON: {LOWER_CASE} at line 1, column 7")
            for word in (b"True", b"FALSE", b"None", b"NULL")
        ),
        *(
            (b'{"a": %s}' % number, f"is not JSON: {DIGITS} at line 1, column {column}")
            for number, column in (
                (b"060", 8),
                (b"0x3c", 8),
                (b"1_000", 8),
                (b"60s", 9),
                (b"5.", 8),
                (b"2026-01-01", 11),
                (b"1:00", 8),
                (b"+5", 7),
                (b".5", 7),
            )
        ),
        (b'{"a": 5 6}', "is not JSON: a comma is missing at line 1, column 9"),
        (b'{"a": 5 true}', "is not JSON: a comma is missing at line 1, column 9"),
        (b"{null: 5}", "is not JSON: the name of a field in double quotes is missing at line 1, column 2"),
        (b'{"a": 5"b": 6}', "is not JSON: a comma is missing at line 1, column 8"),
        (b'{"a": yes}', "is not JSON: a value is missing at line 1, column 7"),
    ],
)
def test_what_is_no_json_is_said_in_words_of_our_own(body, what):
    with pytest.raises(InputProblems) as caught:
        parse_body(body)
    assert [problem.what for problem in caught.value.problems] == [what]


def test_a_text_that_could_not_be_stored_is_refused_wherever_it_stands():
    job = b'{"username": "tests", "orders": [{"cmds": ["true"], "timeout": 1, "env_vars": {"A": "\\ud800"}}]}'
    assert found(job) == [("orders[0].env_vars.A", "must be text without a lone surrogate (half of a character)")]
    whole = b'{"username": "tests", "orders": [{"cmds": ["\\ud83d\\ude00"], "timeout": 1}]}'
    assert check_job(whole, Rules(grant=EVERYTHING)).orders[0].cmds == ["😀"]


def test_lists_of_text_are_not_searched_for_fields(monkeypatch):
    looks = []
    rename = draft._rename_fields
    monkeypatch.setattr(draft, "_rename_fields", lambda *given: (looks.append(1), rename(*given)))
    read_order_draft({"cmds": ["true"], "timeout": 1, "dependencies": [f"n{number}" for number in range(1000)]})
    assert len(looks) < 50


@pytest.mark.parametrize(("given", "text"), [({}, "is 3600 by default, shorter"), ({"job_timeout": 60}, "is shorter")])
def test_a_default_that_is_too_short_is_named_as_the_default(given, text):
    body = json.dumps({"username": "tests", "orders": [{"cmds": ["true"], "timeout": 3601}], **given}).encode()
    with pytest.raises(InputProblems) as caught:
        check_job(body, Rules(grant=EVERYTHING))
    (problem,) = caught.value.problems
    assert problem == Problem("job_timeout", f"{text} than the longest order's timeout; set at least 3601 seconds")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": {"terraform": "AKIAIOSFODNN7EXAMPLE"}},
        {"tools": {"terraform": "latest:AKIAIOSFODNN7EXAMPLE"}},
        {"verbatim": ["AKIAIOSFODNN7EXAMPLE"]},
        {"verbatim": ["AKIAIOSFODNN7EXAMPLE+"]},
        {"git_credentials": ["AKIAIOSFODNN7EXAMPLE"]},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(fields):
    assert "AKIAIOSFODNN7EXAMPLE" not in str(found(orders(fields)))


def test_a_time_out_of_thousands_of_digits_is_not_repeated():
    body = json.dumps({"username": "tests", "orders": [{"cmds": ["true"], "timeout": 10**4000}]}).encode()
    with pytest.raises(InputProblems) as caught:
        check_job(body, Rules(grant=EVERYTHING))
    assert [problem.where for problem in caught.value.problems] == ["job_timeout", "orders[0].timeout"]
    assert all(len(problem.what) < 100 for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("names", "order_statuses", "problems"),
    [
        (
            ["app", "App"],
            True,
            ["has the name of the order 'app' in other letters, whose status would be the same; rename it"],
        ),
        (["app", "App"], False, []),
        (["app", "App", *(f"n{number}" for number in range(49))], True, []),
        (["app", "apps"], True, []),
    ],
)
def test_no_two_orders_share_a_status(names, order_statuses, problems):
    job = orders(*({"order_name": name} for name in names), {"timeout": 0}) | {"order_statuses": order_statuses}
    assert [what for where, what in found(job) if where == "orders[1].order_name"] == problems


def taking(**variables):
    return {"order_name": "app", "dependencies": ["network", "q"], "env_vars": variables}


def test_every_problem_of_an_output_is_reported_in_the_callers_words():
    network, dns = {"order_name": "network"}, {"order_name": "dns"}
    app = taking(
        A="{{ orders.netwrk.id }}", B="{{ orders.dns.id }}", C="x-{{ orders.network.id }}", D="{{ orders.app.id }}",
        PATH="{{ orders.network.id }}", LD_PRELOAD="{{ orders.network.id }}", OK="{{ orders.network.id }}",
        Q="{{ orders.q.id }}", TF_CLI_ARGS_plan="{{ orders.nope }}",
    )  # fmt: skip
    fixed = (
        "cannot come from another order's output, because programs read this variable as a setting; use another name"
    )
    reserved = "is reserved for the engine, the shell or the loader; use another name"
    whole = "must be one whole template, {{ orders.NAME.OUTPUT }}, without other text"
    assert found(orders(network, dns, {"queue_id": "q"}, app)) == [
        ("orders[3].env_vars.LD_PRELOAD", reserved),
        ("orders[3].env_vars.C", whole),
        ("orders[3].env_vars.PATH", fixed),
        ("orders[3].env_vars.TF_CLI_ARGS_plan", whole),
        ("orders[3].env_vars.TF_CLI_ARGS_plan", fixed),
        ("orders[3].env_vars.A", "unknown order 'netwrk'"),
        ("orders[3].env_vars.B", "takes from 'dns', on which the order does not depend; add it to dependencies"),
        ("orders[3].env_vars.D", "is an output of the order itself; take it from an order that ends before"),
    ]  # fmt: skip


def test_an_unreadable_list_of_dependencies_hides_nothing_and_adds_nothing():
    app = taking(A="{{ orders.network.id }}", B="{{ orders.x.id }}") | {"dependencies": "network"}
    assert found(orders({"order_name": "network"}, app)) == [
        ("orders[1].dependencies", "must be a list"),
        ("orders[1].env_vars.B", "unknown order 'x'"),
    ]


def test_too_many_orders_to_take_from_are_refused():
    several = [{"order_name": f"n{number}"} for number in range(51)]
    app = {
        "dependencies": [one["order_name"] for one in several],
        "env_vars": {f"V{number}": f"{{{{ orders.n{number}.x }}}}" for number in range(51)},
    }
    assert found(orders(*several, app)) == [("orders[51]", "takes from more than 50 orders")]


def test_a_text_that_only_looks_like_a_template_can_be_set():
    app = {"env_vars": {"A": "{{ orders.x.y }}", "B": "{{ other }}"}, "verbatim": ["A"]}
    checked = check_job(json.dumps(orders(app)).encode(), Rules(grant=EVERYTHING))
    assert checked.orders[0].taken_outputs() == {}
    assert found(orders({"verbatim": ["A"]})) == [("orders[0].verbatim[0]", "is not in env_vars")]


@pytest.mark.parametrize(
    ("of_job", "of_order", "where"),
    [
        ({"commit_hash": "abc"}, {}, "commit_hash"),
        ({"git_repo": ""}, {}, "git_repo"),
        ({"git_token_location": 5}, {"git_credentials": ["acme/modules"]}, "git_token_location"),
        ({"mask": {"also": ["x" * 8, 5]}}, {}, "mask.also[1]"),
        ({"mask": {"never": [""]}}, {}, "mask.never[0]"),
        ({}, {"git_credentials": ["modules"]}, "orders[0].git_credentials[0]"),
        ({}, {"plan": {}}, "orders[0].plan.file"),
        ({}, {"plan": {"file": ""}}, "orders[0].plan.file"),
        ({}, {"plan": {"file": "p"}, "save": 5}, "orders[0].save"),
        ({}, {"plan": {"file": "p"}, "save": [""]}, "orders[0].save[0]"),
        ({}, {"merge_into": "abc", "merge_commit": "0" * 40}, "orders[0].merge_into"),
        ({}, {"assume_role": "x", "credentials": "endpoint"}, "orders[0].assume_role"),
        ({}, {"idempotent": 5, "retry": {"attempts": 2, "on": [1]}}, "orders[0].idempotent"),
        ({}, {"verbatim": ["A"], "env_vars": {"A": 5}}, "orders[0].env_vars.A"),
        ({}, {"verbatim": 5, "env_vars": {"A": "{{ orders.b.c }} d"}}, "orders[0].verbatim"),
        ({}, {"env_vars": {"A": "{{ orders.last.c }}"}, "dependencies": ["-"]}, "orders[0].dependencies[0]"),
    ],
)
def test_a_value_that_cannot_be_read_hides_nothing_and_adds_nothing(of_job, of_order, where):
    code = {"git_repo": "https://code.example/acme/app", "commit_hash": "a" * 40}
    last = {"order_name": "last", "git_folder": "..", "merge_into": "b" * 40}
    problems = found(code | orders(of_order, last) | of_job)
    assert [path for path, _ in problems] == [where, "orders[1].git_folder"]


def test_every_problem_of_files_is_reported_in_the_callers_words():
    network, dns = {"order_name": "network", "save": ["a"]}, {"order_name": "dns"}
    restore = [
        {"order": "network"}, {"order": "netwrk"}, {"order": "dns"}, {"order": "app"}, {"order": "q"},
        {"order": "network", "folder": "../x", "files": ["**a"]}, {"orders": "network"},
    ]  # fmt: skip
    app = {"order_name": "app", "dependencies": ["network", "q"], "restore": restore, "save": ["/etc/passwd"]}
    assert found(orders(network, dns, {"queue_id": "q"}, app)) == [
        ("orders[3].restore[6].orders", "unknown field 'orders'; did you mean 'order'?"),
        ("orders[3].save[0]", "begins with a slash; write paths from the folder of the commands without one"),
        (
            "orders[3].restore[5].files[0]",
            "has ** next to other characters; ** must be alone between slashes, as in **/*.tf",
        ),
        ("orders[3].restore[5].folder", "must be a relative path without .."),
        ("orders[3].restore[1].order", "unknown order 'netwrk'"),
        ("orders[3].restore[2].order", "takes from 'dns', on which the order does not depend; add it to dependencies"),
        ("orders[3].restore[3].order", "is the order itself; restore files of an order that ends before"),
        ("orders[3].restore[4].order", "is 'q', which saves no files; add save to it"),
    ]


def chain(*several):
    """Return a job of builds, each after the one before; ``several`` are their further fields."""
    build = {"execution_target": "codebuild", "timeout": 28_800}
    after = [{"dependencies": [f"o{number}"]} if number else {} for number in range(len(several))]
    named = [{**build, "order_name": f"o{number + 1}", **after[number], **one} for number, one in enumerate(several)]
    return {**orders(*named), "job_timeout": 86_400}


def too_long(names, seconds):
    return (
        f"make the run too long: {names} may take {seconds} seconds one after another (timeout and stop_grace of "
        "each), and a run ends 86400 seconds after it is accepted, waiting included"
    )


@pytest.mark.parametrize(
    ("several", "problems"),
    [
        ([{}, {}, {"timeout": 27_900}], []),
        ([{}, {}, {"timeout": 27_901}], [("orders[2].dependencies", too_long("o1 → o2 → o3", 86_401))]),
        ([{"stop_grace": 1800}, {}, {}], [("orders[2].dependencies", too_long("o1 → o2 → o3", 88_800))]),
        # Orders that run side by side do not add up, and an order that may fail is waited for too.
        ([{}, {}, {"dependencies": ["o1"]}, {"dependencies": ["o1"]}], []),
        ([{"must_succeed": False}, {}, {}], [("orders[2].dependencies", too_long("o1 → o2 → o3", 87_300))]),
        # What comes after is not reported again; another branch is.
        (
            [{}, {}, {}, {}, {"dependencies": ["o2"], "timeout": 28_000}],
            [
                ("orders[2].dependencies", too_long("o1 → o2 → o3", 87_300)),
                ("orders[4].dependencies", too_long("o1 → o2 → o5", 86_500)),
            ],
        ),
        # On Lambda an order takes no longer than the function lives.
        ([{}, {}, {"timeout": 540, "execution_target": "lambda"}], []),
        # It stands among the others.
        (
            [{}, {}, {"x": 1}],
            [("orders[2].x", "unknown field 'x'"), ("orders[2].dependencies", too_long("o1 → o2 → o3", 87_300))],
        ),
        # A time-out that is too long is a problem of its own.
        ([{"timeout": 90_000}, {}], [("orders[0].timeout", "is more than the 28800 seconds that codebuild allows")]),
    ],
)
def test_a_chain_that_outlasts_the_run_is_refused(several, problems):
    if not problems:
        assert check_job(json.dumps(chain(*several)).encode(), Rules(grant=EVERYTHING))
    else:
        assert set(problems) <= set(found(chain(*several)))
        assert [where for where, what in found(chain(*several)) if "too long:" in what] == [
            where for where, what in problems if "too long:" in what
        ]


def test_every_chain_that_is_too_long_is_reported_in_time_linear_in_the_orders():
    several = [{"order_name": f"o{n}", "execution_target": "codebuild", "timeout": 28_800} for n in range(600)]
    for number, one in enumerate(several):
        one["dependencies"] = [f"o{before}" for before in range(max(0, number - 30), number)]
    ((where, what),) = found({**orders(*several), "job_timeout": 86_400})
    assert (where, what) == ("orders[2].dependencies", too_long("o0 → o1 → o2", 87_300))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"merge_into": "a" * 40}, ("orders[0].merge_into", "needs a git_repo")),
        (
            {"merge_commit": "a" * 40},
            ("orders[0].merge_commit", "needs merge_into, the commit that is merged into"),
        ),
        (
            {"merge_into": "a" * 40, "s3_location": "s3://bucket/key"},
            ("orders[0].merge_into", "excludes s3_location; only code from git can be merged"),
        ),
    ],
)
def test_what_cannot_be_merged_is_refused(fields, problem):
    assert problem in found(orders(fields))


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"file": "a.tfplan", "json_file": "a.json"}, []),
        ({"file": "b.tfplan"}, [("file", "is not among the files of save; add it, so that the plan is kept")]),
        (
            {"file": "a.tfplan", "json_file": "a.tfplan"},
            [("json_file", "is the name of the plan or of its lock file; choose another one")],
        ),
        (
            {"file": "a.tfplan", "json_file": ".terraform.lock.hcl"},
            [("json_file", "is the name of the plan or of its lock file; choose another one")],
        ),
        (
            {"file": "a.tfplan", "json_file": "out/a.json"},
            [("json_file", "must be the name of a file in the folder of the commands")],
        ),
    ],
)
def test_the_files_of_a_plan_are_checked(plan, expected):
    job = json.dumps(orders({"save": ["a.tfplan"], "plan": plan})).encode()
    problems = []
    try:
        check_job(job, Rules(grant=EVERYTHING))
    except InputProblems as error:
        problems = [(problem.where, problem.what) for problem in error.problems]
    assert problems == [(f"orders[0].plan.{field}", text) for field, text in expected]


ASKS = {"order_name": "ask", "approval": {"api": True}}
RUNS_NOTHING = "is not for an order with approval, which runs nothing; remove it"
SENT = ("orders[0].approval.api", "must be true: nobody else could answer, because no pull request started the job")

OVERRIDES = {"api": True, "overrides": ["policy", "cost", "nothing", "ask", "override"]}

APPROVALS = [
    (
        {
            "orders": [
                ASKS,
                ORDER | {"order_name": "policy"},
                ORDER | {"order_name": "cost"},
                {"order_name": "override", "approval": OVERRIDES, "dependencies": ["policy", "ask"]},
            ]
        },
        "api",
        [
            (
                "orders[3].approval.overrides[1]",
                "is about 'cost', on which the order does not depend; add it to dependencies",
            ),
            ("orders[3].approval.overrides[2]", "unknown order 'nothing'"),
            (
                "orders[3].approval.overrides[3]",
                "is 'ask', an approval, whose answer nobody overrides; name orders that run commands",
            ),
            ("orders[3].approval.overrides[4]", "is the order itself; name an order that ends before"),
        ],
    ),
    ({"orders": [ASKS, ORDER | {"dependencies": ["ask"]}]}, "api", []),
    (
        {"orders": [{**ASKS, **ORDER, "secrets": {"A": "ssm:/iac-ci/jobs/a"}, "git_repo": "https://a/b"}]},
        "api",
        [(f"orders[0].{name}", RUNS_NOTHING) for name in ("cmds", "timeout", "git_repo", "secrets")],
    ),
    (
        {"orders": [{"approval": {}}]},
        "api",
        [SENT, ("orders[0].approval", "names nobody who could answer; set by, or api")],
    ),
    ({"orders": [{"approval": {"by": ["ann"]}}], "pr_number": 7, "git_repo": "https://a/b"}, "github.com/a/b", []),
    (
        {"orders": [{"approval": {"by": ["ann"]}}]},
        "github.com/a/b",
        [
            (
                "orders[0].approval.api",
                (
                    "must be true: nobody else could answer, because no pull request starts this run where people could"
                    " comment"
                ),
            )
        ],
    ),
    (
        {"orders": [ASKS | {"order_name": "abc1234"}]},
        "api",
        [("orders[0].order_name", "looks like a commit, which /iac-ci approve takes for one; use another name")],
    ),
    (
        {"orders": [ASKS | {"approval": {"api": True, "expires": 7200}}]},
        "api",
        [("job_timeout", "is 3600 by default, shorter than the longest approval's expires; set at least 7200 seconds")],
    ),
    ({"orders": [{}]}, "api", [("orders[0].cmds", "is missing"), ("orders[0].timeout", "is missing")]),
    (
        {"orders": [ASKS, ORDER | {"dependencies": ["ask"], "when": {"ask": "changed"}}]},
        "api",
        [
            (
                "orders[1].when.ask",
                "can never hold: 'ask' is never changed; name an exit code other than 0 in ok of one of its cmds",
            )
        ],
    ),
]


@pytest.mark.parametrize(("fields", "source", "expected"), APPROVALS)
def test_an_order_runs_commands_or_waits_for_an_approval(fields, source, expected):
    body = json.dumps({"username": "tests", **fields}).encode()
    try:
        check_job(body, Rules(grant=EVERYTHING, source=source))
        found = []
    except InputProblems as refused:
        found = [(problem.where, problem.what) for problem in refused.problems]
    assert found == expected


def test_an_approval_gets_no_code():
    job = {"username": "tests", "orders": [ASKS, ORDER]}
    checked = check_job(json.dumps(job).encode(), Rules(grant=EVERYTHING), code="s3://code/archive.zip")
    assert [order.s3_location for order in checked.orders] == [None, "s3://code/archive.zip"]


@pytest.mark.parametrize("name", ["ann", "a.b_c-d", "{01234567-89ab-cdef-0123-456789abcdef}", "team:acme/platform"])
def test_people_and_teams_may_be_named(name):
    body = json.dumps({"username": "tests", "orders": [{"approval": {"by": [name], "api": True}}]}).encode()
    problems = found(body)
    assert [where for where, _ in problems] == ["orders[0].approval.by"]


@pytest.mark.parametrize(
    "name",
    ["", "a b", "@ann", "team:", "acme/platform", "{x}", "a\n", "team:a//b", "team:acme/..", "team:./acme", ".."],
)
def test_what_names_no_person_or_team_is_refused(name):
    problems = found({"username": "tests", "orders": [{"approval": {"by": [name], "api": True}}]})
    assert "orders[0].approval.by[0]" in [where for where, _ in problems]


def test_a_job_and_its_orders_do_not_both_name_groups():
    group = {"concurrency": {"group": "deploy"}}
    message = "cannot be named: the job's own concurrency holds a group for all of its orders"
    assert found({**orders(group, {}), **group}) == [("orders[0].concurrency", message)]


@pytest.mark.parametrize("name", ["", "a b", "-a", "a#b", "a" * 129, "group:x"])
def test_a_group_has_a_plain_name(name):
    ((where, _),) = found(orders({"concurrency": {"group": name}}))
    assert where == "orders[0].concurrency.group"
