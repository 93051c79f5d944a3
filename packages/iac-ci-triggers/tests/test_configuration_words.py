"""The translator of common, held to the models of the configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_common.models.commands import CheckedCommand
from iac_ci_common.models.job import Job, Order
from iac_ci_common.validation_messages import meant, message, unknown_field
from iac_ci_triggers.commands import PREFIX, Command, find_commands
from iac_ci_triggers.configuration import read_configuration
from iac_ci_triggers.configuration.models import (
    ApprovalTemplate,
    CommandWord,
    Configuration,
    ConfiguredJob,
    ConfiguredOrder,
    Schedule,
    Settings,
    Triggers,
)


def patterns(schema) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*(patterns(value) for value in schema.values()))
    return set().union(*(patterns(value) for value in schema)) if isinstance(schema, list) else set()


@pytest.mark.parametrize("pattern", sorted(patterns(Configuration.model_json_schema())))
def test_every_pattern_of_the_models_is_explained(pattern):
    said = message({"type": "string_pattern_mismatch", "loc": (), "msg": "", "input": "", "ctx": {"pattern": pattern}})
    assert said.startswith("has a form that is not allowed; it must ")
    assert pattern not in said


@pytest.mark.parametrize(
    ("model", "word", "field"),
    [
        (ConfiguredOrder, "dependencies", "depends_on"),
        (ConfiguredOrder, "order_name", "name"),
        (ConfiguredOrder, "git_folder", "folder"),
        (Settings, "env", "env_vars"),
        (ConfiguredJob, "trigger", "on"),
        (Triggers, "merge_request", "pull_request"),
        (Triggers, "issue_comment", "command"),
        (ConfiguredOrder, "use_lambda", "execution_target"),
        (ConfiguredOrder, "git_repo", None),
        (ConfiguredOrder, "steps", "cmds"),
        (ConfiguredJob, "steps", "orders"),
        (ConfiguredJob, "requirements", "require"),
        (ConfiguredOrder, "requires", "depends_on"),
        (ConfiguredOrder, "apply_requirements", "require"),
        (ConfiguredOrder, "timeout_seconds", "timeout"),
        (ApprovalTemplate, "timeout", "expires"),
        (Schedule, "tz", "timezone"),
        (Configuration, "automerge", "merge_when_applied"),
        (CheckedCommand, "cmd", "run"),
        (ConfiguredOrder, "cmd", "cmds"),
        (ConfiguredJob, "stage", None),
        (ConfiguredJob, "stages", "orders"),
    ],
)
def test_what_a_word_stands_for(model, word, field):
    assert meant(word, model.model_fields) == field
    said = unknown_field(word, model.model_fields)
    assert said == f"unknown field {word!r}" + (f"; did you mean {field!r}?" if field else "")


OTHER_NUMBERS = ("060", "0x3c", "0o74", "1_000", '"010"', "'1:00'", "-01")
DECIMAL = "must be a whole number in plain decimal digits without quotes (60, not 060, 0x3c or 1_000)"
SPLIT_COMMAND = "cmds[0]: is a mapping without 'run'; put a command that contains a colon in quotes"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: CI", "line 1: name: unknown field 'name'"),
        ("stages: [a]", "stages: unknown field 'stages'; an order starts when those of its 'depends_on' have ended"),
        ("env: {A: b}", "unknown field 'env'; write 'env_vars' in 'defaults'"),
        ("retry: {}", "unknown field 'retry'; it is a field of each of 'projects'"),
        ("parallel_plan: true", "unknown field 'parallel_plan'; projects that depend on none run at the same time"),
        ("jobs: {a: {needs: [b]}}", "unknown field 'needs'; write 'depends_on' in each of 'orders'"),
        ("jobs: {a: {script: [b]}}", "unknown field 'script'; write 'cmds' in each of 'orders'"),
        ("jobs: {a: {runs-on: b}}", "unknown field 'runs-on'; write 'execution_target' in each of 'orders'"),
        ("jobs: {a: {retry: {}}}", "unknown field 'retry'; it is a field of each of 'orders'"),
        ("jobs: {a: {allow_failure: true}}", "write must_succeed: false, in each of 'orders'"),
        ("jobs: {a: {orders: [{timeout-minutes: 5}]}}", "'timeout-minutes'; write timeout, in seconds"),
        ("jobs: {a: {orders: [{uses: x}]}}", "'uses'; actions are not run here; write commands into cmds"),
        ("jobs: {a: {orders: [{timeout: 10m}]}}", "must be a whole number of seconds, without quotes and unit"),
        ("jobs: {a: {orders: [{timeout: 1.5}]}}", "must be a whole number without quotes, point or exponent"),
        ("jobs: {a: {orders: [{timeout: 0.5}]}}", "must be a whole number without quotes, point or exponent"),
        *((f"jobs: {{a: {{orders: [{{timeout: {number}}}]}}}}", DECIMAL) for number in OTHER_NUMBERS),
        ("jobs: {a: {orders: [{cmds: [echo a: b]}]}}", SPLIT_COMMAND),
        ("jobs: {a: {orders: [{cmds: [echo a:, echo b]}]}}", SPLIT_COMMAND),
        ("jobs: {a: {orders: [{cmds: [{commnd: echo a}]}]}}", "unknown field 'commnd'; did you mean 'run'?"),
        ("jobs: {a: {orders: [{cmds: [{ok: [2]}]}]}}", "jobs.a.orders[0].cmds[0].run: is missing"),
        ("jobs: {a: {orders: [{folder: {{ matrix.d }}}]}}", "put text that begins with {{ in quotes"),
        ("projects: [{find: '**', terraform_version: v1}]", "write tools: {terraform: …}"),
        ("projects: [{find: '**', require: {}}]", "write apply: {require: …}"),
        ("jobs: {a: {strategy: {matrix: {x: [1]}}}}", "unknown field 'strategy'; write matrix in the job itself"),
        ("jobs: {a: {autoplan: {}}}", "unknown field 'autoplan'; write paths in on: {pull_request: …}"),
        (
            "projects: [{find: '**', autoplan: {}}]",
            "must be true or false; patterns of when_modified are those of watch",
        ),
        ("projects: [{find: '**', autoplan: 1}]", "autoplan: must be true or false"),
        ("version: 3", "supports version 1 (`iac-ci scaffold --from` converts an atlantis.yaml)"),
        ("jobs: {}", "line 1: jobs: is empty; a configuration has jobs, projects or both"),
        ("version: 1", "line 1: jobs: is missing; a configuration has jobs, projects or both"),
    ],
)
def test_words_of_other_systems_have_hints_where_they_stand(text, expected):
    with pytest.raises(ConfigurationProblems) as caught:
        read_configuration(text.encode())
    said = [f"{problem.where}: {problem.what}" for problem in caught.value.problems]
    assert [one for one in said if one.endswith(expected)] != [], said


@pytest.mark.parametrize(
    ("model", "other"), [(ConfiguredJob, Job), (ConfiguredOrder, Order), (Job, ConfiguredJob), (Order, ConfiguredOrder)]
)
def test_each_field_of_the_other_vocabulary_has_a_hint(model, other):
    foreign = set(other.model_fields) - set(model.model_fields)
    assert [name for name in foreign if not meant(name, model.model_fields) and name not in model.foreign_fields] == []


def test_no_hint_is_about_a_field_that_is_known():
    for model in (Job, Order, Configuration, ConfiguredJob, ConfiguredOrder):
        assert not set(model.foreign_fields) & set(model.model_fields)


@given(st.text("abz019-", min_size=1, max_size=33) | st.sampled_from(["2nd-plan", "1", "0-", "a" * 32]))
def test_each_word_that_the_configuration_accepts_is_a_command(word):
    try:
        TypeAdapter(CommandWord).validate_python(word)
    except ValidationError:
        return
    assert find_commands(f"{PREFIX} {word}").commands == (Command(word),)
