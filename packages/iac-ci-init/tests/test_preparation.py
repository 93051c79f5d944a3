from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tempfile
import zipfile

import pyrage
import pytest

from iac_ci_common import keys, limits
from iac_ci_common.accepted_jobs import AcceptedJobs
from iac_ci_common.errors import NotFound, PortFailed, SealingFailed, Throttled
from iac_ci_common.identity_context import IdentityContext
from iac_ci_common.models.manifest import ENCRYPTED_IDENTITY_NAME, MANIFEST_NAME, SEALED_NAME, Manifest
from iac_ci_common.models.tools import StoredTool
from iac_ci_common.states import RunState
from iac_ci_common.testing import (
    FakeClock,
    MemoryCodeStore,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemorySealer,
    MemorySecrets,
    Observed,
    Sequential,
)
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, queued, stored_job
from iac_ci_common.tool_versions import Version
from iac_ci_init.downloads import HttpDownloads
from iac_ci_init.job_tools import JobTools
from iac_ci_init.own_tools import OwnTools
from iac_ci_init.preparation import PreparationPorts, Preparer
from iac_ci_init.tool_releases import ToolReleases
from iac_ci_triggers.connections import Connection, Connections
from iac_ci_triggers.testing import MemoryLedgers
from iac_ci_vcs.provider import CommitState
from iac_ci_vcs.testing import MemoryReports, MemoryRepositories

COMMIT = "a" * 40
GIT = {"git_repo": "https://example.com/a/b", "commit_hash": COMMIT}
IDENTITY = str(pyrage.x25519.Identity.generate())
SECRETS = {
    "ssm:/iac-ci/jobs/token": "planted-token",
    "secretsmanager:iac-ci/jobs/database": '{"user": "planted-user", "port": 5432}',
    "ssm:/iac-ci/jobs/identity": IDENTITY,
}


class Crash(BaseException):
    pass


def archive(**files):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return body.getvalue()


ARCHIVES = {("bucket", "code.zip"): archive(a="1")}


class World:
    def __init__(self, orders, archives=ARCHIVES, tools=None, files=None, **fields):
        self.clock = FakeClock(START)
        self.runs, self.objects, self.reports = MemoryRuns(), MemoryObjects(self.clock), MemoryReports()
        self.sealer, self.calls = MemorySealer(), []
        self.before = self.after = lambda name: None
        self.accepted = AcceptedJobs()
        self.objects.put(keys.job(RUN_ID), stored_job(orders, **fields).model_dump_json().encode())

        def watched(port, name):
            def before(call):
                self.calls.append(call)
                self.before(call)

            return Observed(port, name=name, before=before, after=lambda call: self.after(call))  # noqa: PLW0108 - looked up late

        repositories = MemoryRepositories(
            {(GIT["git_repo"], COMMIT): files or {"main.tf": b"content", "bin/run": b"x" * 5000}}
        )
        self.ledgers = MemoryLedgers(self.clock)
        self.preparer = Preparer(
            PreparationPorts(
                clock=self.clock,
                runs=watched(self.runs, "runs"),
                ledgers=self.ledgers,
                objects=watched(self.objects, "objects"),
                code_store=watched(MemoryCodeStore(archives), "code_store"),
                repositories=watched(repositories, "repositories"),
                secrets=watched(MemorySecrets(SECRETS), "secrets"),
                sealer=watched(self.sealer, "sealer"),
                reports=watched(self.reports, "reports"),
                parallel=Sequential(),
                logger=MemoryLogger(),
                tools=tools or JobTools(ToolReleases(self.objects, HttpDownloads()), OwnTools("/nonexistent")),
                accepted=self.accepted,
            ),
            100,
            own_buckets=frozenset({"own"}),
        )

    def prepare(self):
        self.preparer.prepare(RUN_ID)
        return self.runs.read(RUN_ID)

    def identity(self, num):
        """Return the identity of an order's secrets, as the broker decrypts it for this run."""
        context = IdentityContext("iac-ci", "api", RUN_ID)
        return self.sealer.decrypt_identity(self.package(num)[ENCRYPTED_IDENTITY_NAME], context)

    def opened(self, num):
        return self.sealer.unseal(self.package(num)[SEALED_NAME], run_id=RUN_ID, age_identity=self.identity(num))

    def package(self, num):
        with zipfile.ZipFile(io.BytesIO(self.objects.get(keys.package(RUN_ID, num)))) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist()}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == [], "something of a run was left behind"


def test_the_process_that_accepted_a_job_prepares_it_without_reading_it_and_a_second_attempt_reads_it():
    world = World([{}])
    world.accepted.keep(RUN_ID, world.objects.get(keys.job(RUN_ID)))
    assert world.prepare().run is not None
    assert "objects.get" not in world.calls
    world.prepare()
    assert "objects.get" in world.calls


def test_fifty_orders_of_one_tree_fetch_and_upload_it_once():
    world = World([{} for _ in range(50)], **GIT)
    rows = world.prepare()
    (code,) = world.objects.list("tmp/code/")
    assert {f"tmp/code/{row.code_sha256}.zip" for row in rows.orders} == {code}
    assert world.calls.count("repositories.checkout") == 1
    assert world.objects.exists(keys.trigger(RUN_ID))


TOKEN = "ssm:/iac-ci/jobs/token"
CONNECTED = Connections(
    tuple(
        Connection(repositories=(url,), webhook_secrets=("ssm:/iac-ci/webhook",), token_location=token)
        for url, token in (("https://example.com/a/b", TOKEN), ("https://example.com/a/modules", TOKEN),
                           ("https://example.com/other/private", "ssm:/iac-ci/jobs/other"))
    )
)  # fmt: skip


def test_a_commits_submodules_get_the_connections_token_only_where_it_is_connected():
    def allowed(world):
        asked = []
        repositories = MemoryRepositories({(GIT["git_repo"], COMMIT): {"main.tf": b"x"}})
        world.preparer._ports = dataclasses.replace(world.preparer._ports, repositories=repositories)
        world.preparer._connections = lambda now: CONNECTED
        checkout = repositories.checkout
        repositories.checkout = lambda *given, **named: asked.append(named["may_read"]) or checkout(*given, **named)
        world.prepare()
        return asked[0]

    by_event = World([{}], **GIT, git_token_location=TOKEN)
    stored = json.loads(by_event.objects.get(keys.job(RUN_ID)))
    by_event.objects.put(keys.job(RUN_ID), json.dumps({**stored, "ledger": "pr#example.com/a/b#1"}).encode())
    may_read = allowed(by_event)
    assert may_read("https://example.com/a/modules.git")
    assert not may_read("https://example.com/other/private")
    assert not may_read("https://example.com/a/unknown")
    # The sender of a signed job names repository and token.
    assert allowed(World([{}], **GIT, git_token_location=TOKEN)) is None


def test_private_modules_must_be_connected_with_the_token_of_the_code():
    """Also for a signed job: its sender may use the token, and no other repositories."""
    orders = [
        {"order_name": "good", "git_credentials": ["a/modules"]},
        {"order_name": "bad", "git_credentials": ["a/unknown", "a/modules", "other/private"]},
    ]
    world = World(orders, **GIT, git_token_location=TOKEN)
    world.preparer._connections = lambda now: CONNECTED
    read = world.prepare()
    assert read.run.preparation_error.count("no connection of this stack has") == 2
    for key in (
        "bad: git_credentials names example.com/a/unknown",
        "bad: git_credentials names example.com/other/priv",
    ):
        assert key in read.run.preparation_error
    world = World(orders[:1], **GIT, git_token_location=TOKEN)
    world.preparer._connections = lambda now: CONNECTED
    (row,) = world.prepare().orders
    assert row.git_credentials == ("example.com/a/modules",)
    manifest = json.loads(world.package("0001")[MANIFEST_NAME])
    assert manifest["git_credentials"] == ["example.com/a/modules"]


def test_tokens_of_registries_become_terraforms_variables():
    world = World([{"registries": {"app.terraform.io": "ssm:/iac-ci/jobs/token"}}])
    world.prepare()
    assert world.opened("0001") == {"TF_TOKEN_app_terraform_io": "planted-token"}


def test_the_package_names_how_commands_get_their_roles_credentials():
    role = "arn:aws:iam::123456789012:role/x"
    orders = [{}, {"assume_role": role}, {"assume_role": role, "credentials": "environment"}]
    world = World(orders)
    world.prepare()
    found = [json.loads(world.package(f"{num:04d}")[MANIFEST_NAME]).get("credentials") for num in (1, 2, 3)]
    assert found == [None, "endpoint", "environment"]


def test_what_the_ignore_file_leaves_out_is_not_packed():
    world = World([{}], **GIT)
    world.preparer._ports.repositories.trees[(GIT["git_repo"], COMMIT)] |= {".iac-ci-ignore": b"bin/\n"}
    (row,) = world.prepare().orders
    with zipfile.ZipFile(io.BytesIO(world.objects.get(keys.code(row.code_sha256)))) as code:
        assert code.namelist() == [".iac-ci-ignore", "main.tf"]


def test_an_archive_is_packed_again_by_our_rules():
    rows = World([{"s3_location": "s3://bucket/code.zip"}]).prepare()
    assert rows.run.preparation_error is None
    assert rows.orders[0].code_sha256


def test_the_rows_have_the_digests_of_what_is_stored():
    world = World([{"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}, {}], **GIT)
    for row in world.prepare().orders:
        package = world.objects.get(keys.package(RUN_ID, row.order_num))
        assert row.package_sha256 == hashlib.sha256(package).hexdigest()
        assert row.code_sha256 == hashlib.sha256(world.objects.get(keys.code(row.code_sha256))).hexdigest()


def test_a_second_attempt_takes_the_packages_that_the_first_has_stored():
    """Sealing again gives other bytes, and the first attempt may still insert the digests of its own."""
    world = World([{"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}])
    world.prepare()
    stored = world.objects.get(keys.package(RUN_ID, "0001"))
    world.runs.run_rows.clear()
    world.runs.order_rows.clear()
    world.sealer.__init__()
    rows = world.prepare()
    assert rows.run.preparation_error is None
    assert world.objects.get(keys.package(RUN_ID, "0001")) == stored
    assert rows.orders[0].package_sha256 == hashlib.sha256(stored).hexdigest()


@pytest.mark.parametrize("foreign", [b"no zip", archive(other="1"), archive(**{"manifest.json": "{}"})])
def test_a_foreign_package_ends_the_run(foreign):
    world = World([{}])
    world.objects.put(keys.package(RUN_ID, "0001"), foreign)
    assert "is there already and is not the package of this order" in world.prepare().run.preparation_error


@pytest.mark.parametrize(("content", "problem"), [(None, None), (archive(a="2"), "has other bytes than its name says")])
def test_an_archive_of_the_stack_has_the_digest_of_its_name(content, problem):
    code = archive(a="1")
    key = keys.code(hashlib.sha256(code).hexdigest())
    world = World([{"s3_location": f"s3://own/{key}"}], archives={("own", key): content or code})
    error = world.prepare().run.preparation_error
    assert error is None if problem is None else problem in error


def test_identical_sets_of_secrets_are_sealed_once_and_open_to_their_values():
    secrets = {"TOKEN": "ssm:/iac-ci/jobs/token"}
    world = World([{"secrets": secrets}] * 3 + [{"secret_manager_paths": ["iac-ci/jobs/database"]}, {}])
    world.prepare()
    assert world.calls.count("sealer.seal") == 2
    opened = [world.opened(f"000{number}") for number in (1, 4)]
    assert opened == [{"TOKEN": "planted-token"}, {"user": "planted-user", "port": "5432"}]
    assert not Manifest.model_validate_json(world.package("0005")[MANIFEST_NAME]).sealed
    assert world.calls.count("secrets.read") == 2


def test_a_package_contains_the_mask_and_the_variables_that_are_keys_of_json_secrets():
    order = {
        "secret_manager_paths": ["iac-ci/jobs/database"],
        "ssm_paths": ["/iac-ci/jobs/token"],
        "secrets": {"name": "ssm:/iac-ci/jobs/token"},
    }
    world = World([order, {}], mask={"also": ["db.internal"], "never": ["user"]})
    world.prepare()
    manifests = [Manifest.model_validate_json(world.package(number)[MANIFEST_NAME]) for number in ("0001", "0002")]
    assert [one.keyed for one in manifests] == [("port", "user"), None]
    assert {(one.mask_also, one.mask_never) for one in manifests} == {(("db.internal",), ("user",))}


def test_a_package_without_a_mask_can_be_read_by_the_first_version():
    world = World([{"secret_manager_paths": ["iac-ci/jobs/database"], "secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}])
    world.prepare()
    assert not {"mask_also", "mask_never", "keyed", "assumes_role"} & set(
        json.loads(world.package("0001")[MANIFEST_NAME])
    )


def test_no_secret_stands_anywhere_but_sealed():
    world = World([{"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}])
    world.prepare()
    everything = b"".join(world.objects.objects.values()) + repr(world.runs.event_rows).encode()
    assert b"planted" not in everything


def test_each_set_of_secrets_has_an_identity_of_its_own():
    orders = [{"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}] * 2 + [
        {"secret_manager_paths": ["iac-ci/jobs/database"]}
    ]
    world = World(orders)
    world.prepare()
    first, second, third = (world.identity(f"000{number}") for number in (1, 2, 3))
    assert first == second != third
    assert first.startswith("AGE-SECRET-KEY-1")


def test_an_identity_is_encrypted_for_source_and_run():
    world = World([{"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}])
    world.prepare()
    encrypted = world.package("0001")[ENCRYPTED_IDENTITY_NAME]
    for stack, source, run_id in (("other", "api", RUN_ID), ("iac-ci", "a/b", RUN_ID), ("iac-ci", "api", "x")):
        with pytest.raises(SealingFailed):
            world.sealer.decrypt_identity(encrypted, IdentityContext(stack, source, run_id))


def test_an_age_key_seals_and_travels_encrypted_itself():
    order = {"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}, "sops_key": "ssm:/iac-ci/jobs/identity"}
    world = World([order])
    world.prepare()
    package = world.package("0001")
    assert world.identity("0001") == IDENTITY
    assert Manifest.model_validate_json(package[MANIFEST_NAME]).sealed_with_age
    assert IDENTITY.encode() not in b"".join(package.values())


def test_everything_that_is_missing_ends_the_run_with_all_reasons():
    world = World(
        [
            {"secrets": {"A": "ssm:/iac-ci/jobs/none"}},
            {"secrets": {"B": "secretsmanager:iac-ci/jobs/database#nothing"}},
            {"s3_location": "s3://bucket/none.zip"},
            {"git_repo": "https://example.com/none", "commit_hash": COMMIT},
        ]
    )
    rows = world.prepare()
    for part in ("ssm:/iac-ci/jobs/none", "key nothing", "s3://bucket/none.zip", "https://example.com/none"):
        assert part in rows.run.preparation_error
    assert len(rows.orders) == 4
    assert world.objects.exists(keys.trigger(RUN_ID))
    assert world.objects.list("tmp/exec/") == []
    assert "preparation_failed" in [event.kind for event in world.runs.events(TRACE_ID)]


def test_what_may_pass_is_raised_for_another_try():
    world = World([{"secrets": {"A": "ssm:/iac-ci/jobs/token"}}])
    failing = [Throttled("slow down")]

    def throttle(call):
        if call == "secrets.read" and failing:
            raise failing.pop()

    world.before = throttle
    with pytest.raises(Throttled):
        world.prepare()
    assert world.runs.read(RUN_ID).run is None
    assert world.prepare().run.preparation_error is None


def test_a_comment_that_fails_is_told_and_fails_nothing():
    world = World([{}], **GIT, pr_number=1)

    def refuse(call):
        if call == "reports.publish":
            raise PortFailed("the host is down")

    world.before = refuse
    assert world.prepare().run.preparation_error is None
    assert "comment_failed" in [event.kind for event in world.runs.events(TRACE_ID)]


@pytest.mark.parametrize("where", ["before", "after"])
def test_dying_at_any_call_and_running_again_comes_to_the_same(where, monkeypatch):
    monkeypatch.setattr("iac_ci_init.preparation.new_identity", lambda: IDENTITY)
    orders = [{"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}, {"dependencies": ["order-0001"]}]
    whole = World(orders, **GIT, pr_number=1)
    expected = whole.prepare()
    for number in range(1, len(whole.calls) + 1):
        world = World(orders, **GIT, pr_number=1)
        left = [number]

        def die(call, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Crash(call)

        setattr(world, where, die)
        with pytest.raises(Crash):
            world.prepare()
        found = world.prepare()
        # An attempt that died after it had written the comment leaves its id to be searched.
        assert found.run.report.comment_id in {None, expected.run.report.comment_id}
        assert without_comment(found) == without_comment(expected)
        assert world.reports.created == [RUN_ID]
        assert world.reports.bodies == whole.reports.bodies
        assert world.reports.statuses[-1] == whole.reports.statuses[-1]
        assert world.objects.exists(keys.trigger(RUN_ID))
        assert set(world.objects.objects) == set(whole.objects.objects)
        assert json.dumps(sorted(event.sort for event in world.runs.events(TRACE_ID))) == json.dumps(
            sorted(event.sort for event in whole.runs.events(TRACE_ID))
        )


def without_comment(rows):
    report = rows.run.report.model_copy(update={"comment_id": None})
    return dataclasses.replace(rows, run=rows.run.model_copy(update={"report": report}))


def test_comment_and_status_are_written_before_secrets_and_code_are_fetched():
    world = World([{"secrets": {"TOKEN": "ssm:/iac-ci/jobs/token"}}], **GIT, pr_number=1)
    rows = world.prepare()
    first = {name: world.calls.index(name) for name in reversed(world.calls)}
    assert first["reports.publish"] < min(first["secrets.read"], first["repositories.checkout"], first["runs.insert"])
    assert [status.state for status in world.reports.statuses] == [CommitState.PENDING]
    assert [call for call in world.calls if call.startswith("reports.p")] == ["reports.publish"]
    assert rows.run.report.comment_id == f"comment of {RUN_ID}"


def test_code_that_cannot_be_fetched_leaves_one_comment_whose_id_is_known_to_the_runs_end():
    world = World([{}], git_repo="https://example.com/none", commit_hash=COMMIT, pr_number=1)
    rows = world.prepare()
    assert "https://example.com/none" in rows.run.preparation_error
    assert world.reports.created == [RUN_ID]
    assert rows.run.report.comment_id == f"comment of {RUN_ID}"


def test_an_attempt_that_reports_late_reports_what_has_become_of_the_run():
    world, other = World([{}], **GIT, pr_number=1), World([{}], **GIT, pr_number=1)
    ended = other.prepare()

    def overtake(call):
        if call == "reports.publish" and world.runs.read(RUN_ID).run is None:
            done = ended.run.model_copy(update={"status": RunState.FAILED, "reason": "it failed"})
            world.runs.insert(done, ended.orders, [])

    world.before = overtake
    world.prepare()
    assert world.reports.statuses[-1].state is CommitState.FAILURE
    assert "it failed" in world.reports.bodies[RUN_ID]


def test_a_first_attempt_that_comes_after_the_watchdogs_rows_writes_no_comment():
    world, other = World([{}], **GIT, pr_number=1), World([{}], **GIT, pr_number=1)
    ended = other.prepare()
    # The watchdog writes the rows in place of a preparation that takes too long, and the run ends with a comment.
    world.clock.advance(limits.PREPARATION_SECONDS * limits.PREPARATION_ATTEMPTS)
    world.runs.insert(ended.run.model_copy(update={"status": RunState.FAILED}), ended.orders, [])
    world.prepare()
    assert world.reports.created == []
    assert world.reports.statuses == []


def error(*orders, **fields):
    return World(list(orders), **fields).prepare().run.preparation_error


def test_every_missing_thing_of_one_order_is_told():
    said = error({"ssm_paths": ["/iac-ci/jobs/x", "/iac-ci/jobs/y"], "secrets": {"A": "secretsmanager:iac-ci/jobs/z"}})
    for part in ("ssm:/iac-ci/jobs/x", "ssm:/iac-ci/jobs/y", "secretsmanager:iac-ci/jobs/z"):
        assert part in said


def test_a_thing_that_many_orders_miss_is_told_once():
    said = error(*[{"secrets": {"A": "ssm:/iac-ci/jobs/none"}}] * 5)
    assert said.count("ssm:/iac-ci/jobs/none could not be read") == 1


def test_a_missing_token_ends_the_run():
    assert "ssm:/iac-ci/jobs/none" in error({}, **GIT, git_token_location="ssm:/iac-ci/jobs/none")


def test_a_token_of_a_job_without_code_from_git_is_not_read():
    world = World([{"s3_location": "s3://bucket/code.zip"}], git_token_location="ssm:/iac-ci/jobs/none")
    assert world.prepare().run.preparation_error is None
    assert "secrets.read" not in world.calls


def test_what_is_no_age_identity_ends_the_run_without_being_shown():
    order = {"secrets": {"A": "ssm:/iac-ci/jobs/token"}, "sops_key": "ssm:/iac-ci/jobs/token"}
    said = error(order)
    assert "ssm:/iac-ci/jobs/token: the secret at sops_key is not an age identity" in said
    assert "planted" not in said


def test_a_variable_that_two_secrets_set_differently_ends_the_run():
    order = {
        "secret_manager_paths": ["iac-ci/jobs/database"],
        "secrets": {"user": "ssm:/iac-ci/jobs/token", "port": "secretsmanager:iac-ci/jobs/database#port"},
    }
    said = error(order)
    assert "user has different values in secretsmanager:iac-ci/jobs/database and ssm:/iac-ci/jobs/token" in said
    assert "port" not in said
    assert "planted" not in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"LD_PRELOAD": "x"}', "LD_PRELOAD"),
        ('{"a b": "x"}', "a b"),
        ("a\0b", "NUL character"),
        ('{"A": "\\ud800"}', "valid UTF-8"),
        ('{"a-b": "one", "a.b": "two"}', "the keys a-b and a.b have different values for the variable a_b; rename one"),
    ],
)
def test_secrets_that_no_variable_can_hold_end_the_run(monkeypatch, text, reason):
    monkeypatch.setitem(SECRETS, "ssm:/iac-ci/jobs/odd", text)
    assert reason in error({"ssm_paths": ["/iac-ci/jobs/odd"]})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"A": 1.10, "B": -0, "C": 1e3}', {"A": "1.10", "B": "-0", "C": "1e3"}),
        ('{"A": true, "B": [1, "1.0"], "C": {"d": 1.5}}', {"A": "true", "B": '[1, "1.0"]', "C": '{"d": 1.5}'}),
        ('{"A": null, "B": ""}', {"B": ""}),
        ('{"a-b": "x", "a.b": "x"}', {"a_b": "x"}),
        ("[1.10]", {"odd": "[1.10]"}),
    ],
)
def test_values_of_a_json_secret_are_texts(monkeypatch, text, values):
    monkeypatch.setitem(SECRETS, "ssm:/iac-ci/jobs/odd", text)
    world = World([{"ssm_paths": ["/iac-ci/jobs/odd"]}])
    world.prepare()
    assert world.opened("0001") == values


def test_a_key_without_a_value_cannot_be_named(monkeypatch):
    monkeypatch.setitem(SECRETS, "ssm:/iac-ci/jobs/odd", '{"A": null, "B": 1.10}')
    order = {"secrets": {"A": "ssm:/iac-ci/jobs/odd#A", "B": "ssm:/iac-ci/jobs/odd#B"}}
    assert "ssm:/iac-ci/jobs/odd has no value for the key A: it is null" in error(order)


def test_a_role_is_left_to_the_broker():
    role = "arn:aws:iam::123456789012:role/deployer"
    world = World([{"assume_role": role}, {}])
    world.prepare()
    manifests = [Manifest.model_validate_json(world.package(number)[MANIFEST_NAME]) for number in ("0001", "0002")]
    assert [(manifest.assumes_role, manifest.sealed) for manifest in manifests] == [(True, True), (None, False)]
    # Workers of the version before fail at the sealed file, and do not run the commands without the role.
    assert SEALED_NAME in world.package("0001")
    assert [order.assume_role for order in world.runs.read(RUN_ID).orders] == [role, None]
    assert world.runs.read(RUN_ID).run.source == "api"


def test_a_secret_that_sets_a_credential_beside_a_role_ends_the_run(monkeypatch):
    monkeypatch.setitem(SECRETS, "ssm:/iac-ci/jobs/odd", '{"AWS_SESSION_TOKEN": "x"}')
    order = {"ssm_paths": ["/iac-ci/jobs/odd"], "assume_role": "arn:aws:iam::123456789012:role/deployer"}
    assert "AWS_SESSION_TOKEN is set in ssm:/iac-ci/jobs/odd and by assume_role" in error(order)


def test_an_archive_that_leaves_its_folder_ends_the_run(monkeypatch):
    monkeypatch.setitem(ARCHIVES, ("bucket", "bad.zip"), archive(**{"../outside": "x"}))
    assert "contains '..'" in error({"s3_location": "s3://bucket/bad.zip"})


def test_code_that_lies_there_already_is_written_again_so_that_it_lives_as_long_as_the_run():
    world = World([{}], **GIT)
    world.prepare()
    (code,) = world.objects.list("tmp/code/")
    again = World([{}], **GIT)
    again.objects.put(code, b"stale")
    again.prepare()
    assert again.objects.get(code) == world.objects.get(code)


def test_sealing_that_may_pass_is_raised_for_another_try():
    world = World([{"secrets": {"A": "ssm:/iac-ci/jobs/token"}}])
    failing = [SealingFailed("KMS is busy", retry_is_safe=True)]

    def throttle(call):
        if call == "sealer.seal" and failing:
            raise failing.pop()

    world.before = throttle
    with pytest.raises(SealingFailed):
        world.prepare()
    assert world.runs.read(RUN_ID).run is None
    assert world.prepare().run.preparation_error is None


def test_sealing_that_is_refused_ends_the_run():
    world = World([{"secrets": {"A": "ssm:/iac-ci/jobs/token"}}])

    def refuse(call):
        if call == "sealer.seal":
            raise SealingFailed("AccessDenied")

    world.before = refuse
    assert "AccessDenied" in world.prepare().run.preparation_error


def test_a_second_leg_that_comes_late_to_an_ended_run_leaves_no_package():
    world = World([{}, {}])
    ended = queued([{}, {}]).run.model_copy(update={"status": RunState.FAILED})

    def give_up(call):
        if call == "runs.insert":
            world.runs.insert(ended, [], [])

    world.before = give_up
    world.prepare()
    assert world.runs.read(RUN_ID).run == ended
    assert world.objects.list("tmp/exec/") == []


def test_a_job_that_was_never_accepted_is_an_error():
    world = World([{}])
    world.objects.delete([keys.job(RUN_ID)])
    with pytest.raises(NotFound):
        world.prepare()


class Published(ToolReleases):
    """Releases that need no publisher: any version, until ``newest`` changes."""

    def __init__(self, objects):
        super().__init__(objects, HttpDownloads())
        self.newest = "1.14.2"

    def versions(self, tool, source=None):
        return [Version.parse(self.newest)]

    def stored(self, tool, version, now, source=None):
        key = f"tools/2026-11/{tool}/{version}/linux_amd64/{'a' * 64}"
        return StoredTool(tool=tool, version=str(version), sha256="a" * 64, key=key)


def test_row_and_manifest_name_the_tools_of_an_order():
    published = Published(None)
    files = {"live/main.tf": b"", "live/.terraform-version": b"1.14.2\n", "other/main.tf": b""}
    orders = [{"git_folder": "live"}, {"git_folder": "other"}]
    world = World(orders, tools=JobTools(published, OwnTools("/nonexistent")), files=files, **GIT)
    rows = world.prepare()
    (tool,) = rows.orders[0].tools
    assert (tool.tool, tool.version, tool.key[-64:]) == ("terraform", "1.14.2", tool.sha256)
    assert Manifest.model_validate_json(world.package("0001")[MANIFEST_NAME]).tools == (tool,)
    assert rows.orders[1].tools == ()
    assert b"tools" not in world.package("0002")[MANIFEST_NAME]


def test_the_first_attempts_version_counts_when_another_was_published_since():
    published = Published(None)
    world = World([{"tools": {"terraform": "latest"}}], tools=JobTools(published, OwnTools("/nonexistent")), **GIT)

    def crash(call):
        if call == "runs.insert":
            raise Crash

    world.before = crash
    with pytest.raises(Crash):
        world.prepare()
    world.before = lambda call: None
    published.newest = "1.15.0"
    rows = world.prepare()
    assert [tool.version for tool in rows.orders[0].tools] == ["1.14.2"]
    assert rows.orders[0].package_sha256 == hashlib.sha256(world.objects.get(keys.package(RUN_ID, "0001"))).hexdigest()


def test_a_run_with_a_version_that_is_wrong_ends_with_every_reason():
    files = {"a/.terraform-version": b"newest", "b/.terraform-version": b"latest-allowed"}
    orders = [{"git_folder": "a"}, {"git_folder": "b"}]
    world = World(orders, tools=JobTools(Published(None), OwnTools("/nonexistent")), files=files, **GIT)
    error = world.prepare().run.preparation_error
    assert "terraform of a/.terraform-version: is not a version" in error
    assert "terraform of b/.terraform-version: is latest-allowed, and the folder's root module has no required" in error
