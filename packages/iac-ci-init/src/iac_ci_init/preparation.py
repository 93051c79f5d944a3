"""Prepares accepted runs: fetches, reads secrets, seals, packages, queues. Repeating it changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from iac_ci_common import keys
from iac_ci_common.accepted_jobs import AcceptedJobs
from iac_ci_common.errors import AlreadyExists, ConditionFailed, IacCiError, PreparationFailed, SealingFailed
from iac_ci_common.identity_context import IdentityContext
from iac_ci_common.ids import order_num
from iac_ci_common.initial_rows import build_rows, code_repository, order_name
from iac_ci_common.locations import parse_location
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.models.job import CredentialsDelivery, Mask
from iac_ci_common.models.manifest import ENCRYPTED_IDENTITY_NAME, MANIFEST_NAME, Manifest, ManifestSavedPlan
from iac_ci_common.module_repositories import module_keys
from iac_ci_common.nudge import nudge
from iac_ci_common.packing import write
from iac_ci_common.sops import age_recipient, new_identity
from iac_ci_common.states import RUN_TERMINAL
from iac_ci_init.code_source import CodeSource, code_source, permanent
from iac_ci_init.first_report import FirstReport
from iac_ci_init.job_code import JobCode
from iac_ci_init.job_secrets import JobSecrets
from iac_ci_init.manifests import manifest_codes, manifest_files, manifest_outputs, manifest_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iac_ci_common.initial_rows import InitialRows
    from iac_ci_common.models.job import Job
    from iac_ci_common.models.rows import RunRow
    from iac_ci_common.models.tools import StoredTool
    from iac_ci_common.ports import Clock, CodeStore, Logger, Objects, Parallel, Runs, Sealer, Secrets
    from iac_ci_init.job_code import StoredCode
    from iac_ci_init.job_tools import JobTools
    from iac_ci_triggers.connections import Connections
    from iac_ci_triggers.ports import Ledgers
    from iac_ci_vcs.ports import Reports, Repositories


_SIDE_BY_SIDE: Final = 2
"""Sources of code that are fetched at the same time; each may have two gibibytes on disk (``packing``)."""


@dataclass(frozen=True, slots=True)
class PreparationPorts:
    """The ports for preparing a run."""

    clock: Clock
    runs: Runs
    ledgers: Ledgers
    objects: Objects
    code_store: CodeStore
    repositories: Repositories
    secrets: Secrets
    sealer: Sealer
    reports: Reports
    parallel: Parallel
    logger: Logger
    tools: JobTools
    accepted: AcceptedJobs = field(default_factory=AcceptedJobs)


@dataclass(frozen=True, slots=True)
class _Identity:
    """An age identity and its recipient."""

    text: str = field(repr=False)
    recipient: str


@dataclass(frozen=True, slots=True)
class _Sealed:
    """One distinct set of secrets, sealed for an age recipient, and its encrypted identity."""

    secrets: bytes
    identity: bytes
    named: bool
    """Whether the orders name the identity (``sops_key``)."""


class _Digests(NamedTuple):
    """The SHA-256 of each order's code and package and its tools, by the orders' numbers; one without code has none."""

    code: dict[str, str]
    packages: dict[str, str]
    tools: dict[str, tuple[StoredTool, ...]]


class _Packed(NamedTuple):
    """A stored package: its SHA-256, and the tools that its manifest names."""

    sha256: str
    tools: tuple[StoredTool, ...]


class Preparer:
    """Prepares accepted runs."""

    def __init__(
        self,
        ports: PreparationPorts,
        max_parallel: int,
        *,
        stack: str = "iac-ci",
        own_buckets: frozenset[str] = frozenset(),
        connections: Callable[[datetime], Connections] | None = None,
        page_link: Callable[[RunRow, datetime], str | None] | None = None,
    ) -> None:
        """Use ``ports``; ``max_parallel`` is the stack's limit of running orders per run, ``own_buckets`` its own.

        ``connections`` returns the operator's connections, None on a stack without any; ``page_link`` the link to a
        run's page, None if its reports have none.
        """
        self._ports = ports
        self._stack = stack
        self._own_buckets = own_buckets
        self._connections = connections
        self._first_report = FirstReport(ports.clock, ports.runs, ports.objects, ports.reports, ports.logger, page_link)
        self._max_parallel = max_parallel

    def prepare(self, run_id: str) -> None:
        """Prepare a run and notify the orchestrator.

        A permanent failure (missing code, secret, key or bucket) ends the run with that reason. A failure that a retry
        may repair is raised, so that Lambda retries. Raises ``NotFound`` for a job that was not accepted.
        """
        ports = self._ports
        stored = StoredJob.from_stored(ports.accepted.take(run_id) or ports.objects.get(keys.job(run_id)))
        # Before the code is fetched, and before the rows: what has ended can be run again.
        begun = self._first_report.begin(stored, build_rows(stored, max_parallel=self._max_parallel))
        run = None if begun.by_this_attempt else ports.runs.read(run_id).run
        if run is None:
            queued = self._build_rows(stored, begun.comment_id)
            if ports.runs.insert(queued.run, queued.orders, queued.events):
                self._first_report.complete(begun, queued, stored.not_run)
            else:
                # Another attempt, or the watchdog after too long a preparation, has inserted the rows first.
                rows = ports.runs.read(run_id)
                self._first_report.repeat(begun, rows, stored.not_run)
                run = rows.run
        if run is None or run.status not in RUN_TERMINAL:
            self._apply_cancellation(stored)
        else:
            # The run's end has deleted its packages; this deletes the ones that this or an earlier attempt wrote later.
            nums = [order_num(index) for index in range(len(stored.job.orders))]
            ports.objects.delete([keys.package(run_id, num) for num in nums])
        nudge(ports.objects, run_id)

    def _apply_cancellation(self, stored: StoredJob) -> None:
        """Cancel a run that was superseded or cancelled before it had rows.

        The canceller writes the ledger and then reads the rows; the preparation writes the rows and then reads the
        ledger. So at least one of them sees the other's write.
        """
        ledger = self._ports.ledgers.read(stored.ledger) if stored.ledger is not None else None
        entry = ledger.run(stored.run_id) if ledger is not None else None
        if entry is not None and entry.cancel_reason is not None:
            with contextlib.suppress(ConditionFailed):
                self._ports.runs.request_cancel(stored.run_id, entry.cancel_reason)

    def _build_rows(self, stored: StoredJob, comment_id: str | None) -> InitialRows:
        logger = self._ports.logger.bind(run_id=stored.run_id, trace_id=stored.trace_id)
        # The folder is private and removed afterwards, so that keys and code of one run do not stay for the next.
        with tempfile.TemporaryDirectory(prefix="iac-ci-prepare-") as folder:
            try:
                digests = self._package(stored, Path(folder))
            except PreparationFailed as error:
                logger.error("preparation failed", error=error.message)
                return build_rows(
                    stored, max_parallel=self._max_parallel, comment_id=comment_id, preparation_error=error.message
                )
        return build_rows(
            stored,
            max_parallel=self._max_parallel,
            comment_id=comment_id,
            code=digests.code,
            packages=digests.packages,
            tools=digests.tools,
        )

    def _package(self, stored: StoredJob, folder: Path) -> _Digests:
        """Fetch, seal and upload code and secrets; return their digests.

        Raises ``PreparationFailed`` with every permanent problem.
        """
        ports = self._ports
        job = stored.job
        secrets = JobSecrets(job, ports.secrets, ports.parallel)
        secrets.read()
        code = JobCode(
            job,
            ports.objects,
            ports.code_store,
            ports.repositories,
            secrets.text,
            folder,
            self._own_buckets,
            # The sender of a signed job names repository and token; of an event, only the commit's author names them.
            None if stored.ledger is None else partial(self._shares_token, job.git_token_location),
        )
        problems: list[str] = []
        values = {index: secrets.values(order, problems) for index, order in enumerate(job.orders)}
        identities = self._identities(job, secrets, problems)
        self._check_modules(job, problems)
        trees = self._trees(job, code, problems)
        for source, tree in trees.items():
            if tree.merged is not None:
                ports.logger.bind(run_id=stored.run_id, trace_id=stored.trace_id).info(
                    "merge checked out",
                    commit=source.commit,
                    into=source.merge_into,
                    merge=tree.merged.commit,
                    made_here=tree.merged.why_here or None,
                )
        folders = {
            (source, name): versions for source, tree in trees.items() for name, versions in tree.folders.items()
        }
        tools = ports.tools.resolve(job, folders, ports.clock.now(), problems)
        sealed = {} if problems else self._seal(stored, values, identities, problems)
        if problems:
            raise PreparationFailed("; ".join(dict.fromkeys(problems)), run_id=stored.run_id)
        # An order that waits for an approval has no package: a version before, which would run it, fails there.
        packed = [index for index, order in enumerate(job.orders) if order.approval is None]
        uploads = [
            partial(self._upload, stored, index, secrets.keyed(job.orders[index]), sealed.get(index), tools[index])
            for index in packed
        ]
        packages: dict[str, _Packed] = {}
        with permanent("the packages could not be stored"):
            for index, answer in zip(packed, ports.parallel.run(uploads), strict=True):
                if isinstance(answer, IacCiError):
                    raise answer
                packages[order_num(index)] = answer
        sources = {order_num(index): code_source(job, order) for index, order in enumerate(job.orders)}
        return _Digests(
            {num: trees[source].sha256 for num, source in sources.items() if source is not None},
            {num: packed.sha256 for num, packed in packages.items()},
            {num: packed.tools for num, packed in packages.items()},
        )

    def _shares_token(self, token_location: str | None, repository: str) -> bool:
        """Return whether the operator connected a repository with the same token."""
        if self._connections is None:
            return False
        connection = self._connections(self._ports.clock.now()).find(repository)
        return connection is not None and connection.token_location == token_location

    def _check_modules(self, job: Job, problems: list[str]) -> None:
        """Add each repository of ``git_credentials`` that is in no connection with the token of the job's code."""
        for index, order in enumerate(job.orders):
            problems += [
                f"{order_name(order, index)}: git_credentials names {key}, which no connection of this stack has with "
                "the token of the job's code; ask the operator to connect it"
                for key in module_keys(order.git_credentials, code_repository(job, order))
                if not self._shares_token(job.git_token_location, f"https://{key}")
            ]

    def _identities(self, job: Job, secrets: JobSecrets, problems: list[str]) -> dict[str, _Identity]:
        """Return the age identities by the locations that orders name."""
        found: dict[str, _Identity] = {}
        for location in sorted({order.sops_key for order in job.orders if order.sops_key is not None}):
            try:
                text = secrets.text(parse_location(location))
                found[location] = _Identity(text, age_recipient(text))
            except (PreparationFailed, SealingFailed) as error:
                problems.append(error.message if location in error.message else f"{location}: {error.message}")
        return found

    def _trees(self, job: Job, code: JobCode, problems: list[str]) -> dict[CodeSource, StoredCode]:
        sources = sorted({source for order in job.orders if (source := code_source(job, order)) is not None})
        trees: dict[CodeSource, StoredCode] = {}
        # Side by side, but few: their trees share the function's disk.
        for start in range(0, len(sources), _SIDE_BY_SIDE):
            part = sources[start : start + _SIDE_BY_SIDE]
            answers = self._ports.parallel.run([partial(code.store, source) for source in part])
            for source, answer in zip(part, answers, strict=True):
                if isinstance(answer, PreparationFailed):
                    problems.append(answer.message)
                elif isinstance(answer, IacCiError):
                    raise answer
                else:
                    trees[source] = answer
        return trees

    def _seal(
        self,
        stored: StoredJob,
        values: Mapping[int, Mapping[str, str]],
        identities: Mapping[str, _Identity],
        problems: list[str],
    ) -> dict[int, _Sealed]:
        """Seal each distinct set of secrets once; return the sealed sets by the orders' indexes.

        An order with a role, or one that takes something of other orders, gets an empty set if it has no secrets. So
        a worker of a version before, which does not ask the broker for the rest, fails before its first command.
        """
        by_set: dict[tuple[str, str | None], list[int]] = {}
        for index, order in enumerate(stored.job.orders):
            takes = order.takes_something or _saved_plan(stored, index) is not None
            if values[index] or order.assume_role is not None or takes:
                by_set.setdefault((json.dumps(values[index], sort_keys=True), order.sops_key), []).append(index)
        context = IdentityContext(self._stack, stored.source, stored.run_id)
        calls = [
            partial(self._seal_one, context, text, identities[key] if key is not None else None) for text, key in by_set
        ]
        result: dict[int, _Sealed] = {}
        for indexes, answer in zip(by_set.values(), self._ports.parallel.run(calls), strict=True):
            if isinstance(answer, SealingFailed) and not answer.retry_is_safe:
                problems.append(answer.message)
            elif isinstance(answer, IacCiError):
                raise answer
            else:
                result |= dict.fromkeys(indexes, answer)
        return result

    def _seal_one(self, context: IdentityContext, text: str, named: _Identity | None) -> _Sealed:
        """Seal a set for the identity that its orders name, or else for one of its own."""
        sealer = self._ports.sealer
        values: dict[str, str] = json.loads(text)
        identity = named or _own_identity()
        return _Sealed(
            sealer.seal(values, run_id=context.run_id, age_recipient=identity.recipient),
            # The broker decrypts it for the orders of this run only.
            sealer.encrypt_identity(identity.text, context),
            named is not None,
        )

    def _upload(
        self,
        stored: StoredJob,
        index: int,
        keyed: tuple[str, ...] | None,
        sealed: _Sealed | None,
        tools: tuple[StoredTool, ...],
    ) -> _Packed:
        """Write an order's package; another attempt's package, with the tools that it chose, stays and counts."""
        num = order_num(index)
        order = stored.job.orders[index]
        mask = stored.job.mask or Mask()
        taken = manifest_outputs(stored.job, order)
        manifest = Manifest(
            run_id=stored.run_id,
            order_num=num,
            order_name=order_name(order, index),
            flow_id=stored.flow_id,
            cmds=order.commands,
            ok=manifest_codes(order),
            folder=order.git_folder,
            env_vars={name: text for name, text in order.env_vars.items() if name not in taken},
            mask_also=tuple(mask.also) or None,
            mask_never=tuple(mask.never) or None,
            keyed=keyed,
            sealed=sealed is not None,
            sealed_with_age=sealed is not None and sealed.named,
            assumes_role=True if order.assume_role is not None else None,
            credentials=(order.credentials or CredentialsDelivery.ENDPOINT) if order.assume_role is not None else None,
            git_credentials=module_keys(order.git_credentials, code_repository(stored.job, order)) or None,
            takes=taken or None,
            save=tuple(order.save) or None,
            restore=manifest_files(stored.job, order) or None,
            keep_on_failure=tuple(order.keep_on_failure) if order.keep_on_failure is not None else None,
            tools=tools or None,
            plan=manifest_plan(order),
            saved_plan=_saved_plan(stored, index),
        )
        files = {MANIFEST_NAME: manifest.to_stored()}
        if sealed is not None:
            files[manifest.sealed_name] = sealed.secrets
            files[ENCRYPTED_IDENTITY_NAME] = sealed.identity
        buffer = io.BytesIO()
        write(buffer, files)
        archive, key = buffer.getvalue(), keys.package(stored.run_id, num)
        try:
            self._ports.objects.create(key, archive, content_type="application/zip")
        except AlreadyExists:
            # Sealing the same secrets again gives other bytes, and the rows may have the other attempt's digest.
            archive = self._ports.objects.get(key)
            packed = _package_of(manifest, archive)
            if packed is None:
                raise PreparationFailed(
                    f"{key} is there already and is not the package of this order; find out who wrote it",
                    run_id=stored.run_id,
                ) from None
            tools = packed.tools or ()
        return _Packed(hashlib.sha256(archive).hexdigest(), tools)


def _saved_plan(stored: StoredJob, index: int) -> ManifestSavedPlan | None:
    """Return the saved plan that an order applies, None if it applies none."""
    project = stored.projects.get(order_name(stored.job.orders[index], index))
    if project is None or (saved := project.saved) is None:
        return None
    return ManifestSavedPlan(
        order_name=saved.order_name, file=saved.file, planned=saved.planned, planner=project.planner
    )


def _own_identity() -> _Identity:
    text = new_identity()
    return _Identity(text, age_recipient(text))


def _package_of(manifest: Manifest, archive: bytes) -> Manifest | None:
    """Return the manifest of an archive that an attempt packed for this manifest, None of another one.

    A secret may have got other keys since, and a newer version of a tool may have been published.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as package:
            found = Manifest.model_validate_json(package.read(MANIFEST_NAME))
    except (zipfile.BadZipFile, KeyError, ValidationError):
        return None
    alike = found.model_copy(update={"keyed": manifest.keyed, "tools": manifest.tools}) == manifest
    return found if alike else None
