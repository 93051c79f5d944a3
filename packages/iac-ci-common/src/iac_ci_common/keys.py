"""Builds and parses every object key and table key."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_plus

from iac_ci_common.ids import JOB_EVENT_NAME, RUN_ORDER_NUM, check_order_num, check_run_id
from iac_ci_common.limits import MAX_PARTITION_KEY_BYTES

if TYPE_CHECKING:
    from datetime import date

MAX_PERSON_CHARS: Final = 100
"""Longest id of a person that a key repeats: hosts have numbers and UUIDs."""

CALLBACK_PREFIX: Final = "tmp/callbacks/runs/"
"""Prefix that the bucket notification filters on."""

RESULT_SUFFIX: Final = "result.json"
"""Suffix that the bucket notification filters on."""

ANSWER_NAME: Final = "approval-result.json"
"""Name of the answer to an order that waits for an approval. It has the suffix of a result, so that the bucket
announces it, and no URL of a worker is for it."""

LIVE_PREFIX: Final = "tmp/live/"
"""Prefix of the parts of logs of running orders."""

FILES_PREFIX: Final = "tmp/files/"
"""Prefix of sealed files, which have a lifecycle of their own."""

TOOLS_PREFIX: Final = "tools/"
"""Prefix of the releases of tools, which have a lifecycle of their own."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FURTHER_ATTEMPT = re.compile(r"[2-9]|[1-9][0-9]")
_LOG = re.compile(r"([0-9]{4})(?:/([2-9]|[1-9][0-9]))?\.log")
_TOOL = re.compile(r"tools/[0-9]{4}-[0-9]{2}/[a-z]+/[0-9A-Za-z.-]+/[a-z]+_[a-z0-9]+/[0-9a-f]{64}")
_DISPATCH = re.compile(r"[0-9]{1,16}")
_DELIVERY = re.compile(r"[A-Za-z0-9_.:=+/-]{1,256}")


class ResultKey(NamedTuple):
    """The run, order and attempt of a ``result.json``; order ``0000`` is a nudge of the run."""

    run_id: str
    order_num: str
    attempt: int = 1


def job(run_id: str) -> str:
    """Return the key of the accepted job."""
    return f"tmp/jobs/{check_run_id(run_id)}/job.json"


def past_job(run_id: str) -> str:
    """Return the key of the accepted job for those who run it again, which has a lifecycle of its own."""
    return f"tmp/history/{check_run_id(run_id)}.json"


def job_prefix(beginning: str) -> str:
    """Return the prefix of accepted jobs whose run's id begins like this."""
    return f"tmp/jobs/{beginning}"


def trigger_event(trigger_id: str) -> str:
    """Return the key of a code host's verified event."""
    return f"tmp/triggers/{check_run_id(trigger_id)}.json"


def tick_position() -> str:
    """Return the key of the place at which the regular tasks stopped."""
    return "tmp/tick/position.json"


def tick_list(repository: str) -> str:
    """Return the key of what the tick read last of a repository's pull requests; ``repository`` is ``host/path``."""
    return f"tmp/tick/pulls/{hashlib.sha256(repository.encode()).hexdigest()}.json"


def code(sha256: str) -> str:
    """Return the key of a code archive, named by its digest; raise ``ValueError`` for another text."""
    if _SHA256.fullmatch(sha256) is None:
        raise ValueError(f"{sha256!r:.80} is not a sha256 digest")
    return f"tmp/code/{sha256}.zip"


def code_digest(key: str) -> str | None:
    """Return the digest that the key of a code archive names; None if the key is another one."""
    digest = key.removeprefix("tmp/code/").removesuffix(".zip")
    return digest if _SHA256.fullmatch(digest) is not None and key == code(digest) else None


def tool_releases(month: str, tool: str, version: str, platform: str) -> str:
    """Return the prefix of a tool's release: of a month (``2026-11``), for a platform (``linux_amd64``).

    Each month's runs use objects of their own, which live longer than the month and a run together: none of them
    expires while an order may still read it.
    """
    return f"{TOOLS_PREFIX}{month}/{tool}/{version}/{platform}/"


def check_tool(key: str) -> str:
    """Return the key of a release, a prefix of ``tool_releases`` and a SHA-256; raise ``ValueError`` for another."""
    if _TOOL.fullmatch(key) is None:
        raise ValueError(f"{key!r:.200} is not the key of a tool's release")
    return key


def package(run_id: str, order_num: str) -> str:
    """Return the key of an order's ``exec.zip``: manifest and sealed secrets."""
    return f"tmp/exec/{check_run_id(run_id)}/{check_order_num(order_num)}/exec.zip"


def callbacks(run_id: str) -> str:
    """Return the prefix of all claims and results of a run."""
    return f"{CALLBACK_PREFIX}{check_run_id(run_id)}/"


def _attempt(order_num: str, attempt: int) -> str:
    """Return the place of an order's attempt: ``0001`` is the first, ``0001/2`` the second, as the first ever was.

    Raises ``ValueError`` for a number below 1.
    """
    if attempt < 1:
        raise ValueError(f"{attempt} is not the number of an attempt: the first is 1")
    first = check_order_num(order_num)
    return first if attempt == 1 else f"{first}/{attempt}"


def claim(run_id: str, order_num: str, attempt: int = 1) -> str:
    """Return the key of the create-once claim, which ensures that an attempt's commands run at most once."""
    return f"{callbacks(run_id)}{_attempt(order_num, attempt)}/claim.json"


def result(run_id: str, order_num: str, attempt: int = 1) -> str:
    """Return the key of the create-once result."""
    return f"{callbacks(run_id)}{_attempt(order_num, attempt)}/{RESULT_SUFFIX}"


def answer(run_id: str, order_num: str) -> str:
    """Return the key of the create-once answer to an order that waits for an approval."""
    return f"{callbacks(run_id)}{check_order_num(order_num)}/{ANSWER_NAME}"


def trigger(run_id: str) -> str:
    """Return the key whose (re)writing starts the orchestrator for the whole run."""
    return result(run_id, RUN_ORDER_NUM)


def logs_of_run(run_id: str) -> str:
    """Return the prefix of all whole logs of a run."""
    return f"tmp/logs/{check_run_id(run_id)}/"


def log(run_id: str, order_num: str, attempt: int = 1) -> str:
    """Return the key of an order's whole, redacted log."""
    return f"{logs_of_run(run_id)}{_attempt(order_num, attempt)}.log"


def parse_log(run_id: str, key: str) -> tuple[str, int] | None:
    """Return the order and attempt of the key of a run's log; None for any other key."""
    found = _LOG.fullmatch(key.removeprefix(logs_of_run(run_id)))
    return (found[1], int(found[2] or 1)) if found is not None else None


def outputs(run_id: str, order_num: str, attempt: int = 1) -> str:
    """Return the key of an order's sealed outputs."""
    return f"tmp/outputs/{check_run_id(run_id)}/{_attempt(order_num, attempt)}.age"


def live_parts(run_id: str, order_num: str, attempt: int = 1) -> str:
    """Return the prefix of the parts of a running order's log; those of further attempts lie below the first one's."""
    return f"{LIVE_PREFIX}{check_run_id(run_id)}/{_attempt(order_num, attempt)}/"


def live_part(run_id: str, order_num: str, number: int, attempt: int = 1) -> str:
    """Return the key of one part, the first is 0; their keys sort by their numbers, before those of other attempts."""
    return f"{live_parts(run_id, order_num, attempt)}{number:06d}"


def files_of_run(run_id: str) -> str:
    """Return the prefix of all files that a run's orders saved or left."""
    return f"{FILES_PREFIX}{check_run_id(run_id)}/"


def files(run_id: str, order_num: str, attempt: int = 1) -> str:
    """Return the key of the files that an order saved, sealed."""
    return f"{files_of_run(run_id)}{_attempt(order_num, attempt)}/saved.age"


def kept(run_id: str, order_num: str, attempt: int = 1) -> str:
    """Return the key of the files that a failed order left, sealed."""
    return f"{files_of_run(run_id)}{_attempt(order_num, attempt)}/kept.age"


def done(run_id: str) -> str:
    """Return the key of the done marker, in the done bucket."""
    return f"{check_run_id(run_id)}/done"


def parse_result(key: str, *, url_encoded: bool = False) -> ResultKey | None:
    """Return the run, order and attempt of the key of a result or an answer; None for any other key.

    Keys in S3 event records are URL-encoded with ``+`` for a space (Amazon S3 User Guide, "Event message structure"):
    use ``url_encoded=True`` for those.
    """
    plain = unquote_plus(key) if url_encoded else key
    parts = plain.removeprefix(CALLBACK_PREFIX).split("/")
    is_answer = len(parts) == 3 and parts[-1] == ANSWER_NAME
    is_result = len(parts) in {3, 4} and parts[-1] == RESULT_SUFFIX
    if not plain.startswith(CALLBACK_PREFIX) or not (is_answer or is_result):
        return None
    further = parts[2] if len(parts) == 4 else None
    if further is not None and _FURTHER_ATTEMPT.fullmatch(further) is None:
        return None
    try:
        return ResultKey(check_run_id(parts[0]), check_order_num(parts[1]), int(further or 1))
    except ValueError:
        return None


def run_lock(run_id: str) -> str:
    """Return the key of a run's lock in the locks table."""
    return f"lock:{check_run_id(run_id)}"


def ticket_chain(run_id: str, order_num: str, dispatch: str) -> str:
    """Return the key of a dispatch's chain of tickets in the locks table; raise ``ValueError`` for another text."""
    if _DISPATCH.fullmatch(dispatch) is None:
        raise ValueError(f"{dispatch!r:.80} is not a dispatch")
    return f"ticket:{check_run_id(run_id)}:{check_order_num(order_num)}:{dispatch}"


def delivery(provider: str, delivery_id: str) -> str:
    """Return the key of a webhook delivery in the locks table; raise ``ValueError`` for an id with other characters."""
    if _DELIVERY.fullmatch(delivery_id) is None:
        raise ValueError(f"{delivery_id!r:.80} is not a valid delivery id")
    return f"delivery:{provider}:{delivery_id}"


def pull_request_ledger(repository: str, number: int) -> str:
    """Return the key of a pull request's ledger; ``repository`` is ``host/path``, lower-case."""
    return f"pull:{repository}#{number}"


def person_ledger(repository: str, person: str) -> str:
    """Return the key of the answers to a person of a repository; ``person`` is the account's permanent id.

    It has a digest of an id that is longer than any host's.
    """
    if len(person) > MAX_PERSON_CHARS:
        person = f"sha256:{hashlib.sha256(person.encode()).hexdigest()}"
    # The name of a repository has no @, so no pull request has this key.
    return f"pull:{repository}@{person}"


def branch_ledger(repository: str, branch: str) -> str:
    """Return the key of a branch's ledger; it has a digest of a branch whose name does not fit into a key."""
    key = f"branch:{repository}#{branch}"
    if len(key.encode()) <= MAX_PARTITION_KEY_BYTES:
        return key
    # git allows no colon in the name of a branch, so no other branch has this key.
    return f"branch:{repository}#sha256:{hashlib.sha256(branch.encode()).hexdigest()}"


def schedule_ledger(repository: str) -> str:
    """Return the key of the ledger of a repository's schedules; ``repository`` is ``host/path``, lower-case."""
    return f"schedule:{repository}"


def plan_record(repository: str, number: int, project: str) -> str:
    """Return the key of a pull request's newest plan of a project; raise ``ValueError`` for another project's text.

    ``repository`` is ``host/path``, lower-case; ``project`` is the project's SHA-256.
    """
    return f"plan:{repository}#{number}#{_project(project)}"


def plan_record_of(record: str, number: int) -> str:
    """Return the key of another pull request's plan of the project that a plan's key is about.

    Raises ``ValueError`` for another key.
    """
    before, _, project = record.rpartition("#")
    repository, separator, _ = before.rpartition("#")
    if not (record.startswith("plan:") and separator):
        raise ValueError(f"{record!r:.200} is not the key of a plan")
    return plan_record(repository.removeprefix("plan:"), number, project)


def project_state(project: str) -> str:
    """Return the key of what was done to a project, over all pull requests; raise like ``plan_record``."""
    return f"project:{_project(project)}"


def project_group(project: str) -> str:
    """Return the key of a project's concurrency group; raise like ``plan_record``."""
    return f"group:project:{_project(project)}"


def named_group(source: str, name: str) -> str:
    """Return the key of a concurrency group that jobs of ``source`` name; no other source has it.

    Neither a source nor the key of a project's group has a ``#``.
    """
    return f"group:{source}#{name}"


def _project(digest: str) -> str:
    if _SHA256.fullmatch(digest) is None:
        raise ValueError(f"{digest!r:.80} is not the digest of a project")
    return digest


def commit_job(repository: str, sha: str, context: str) -> str:
    """Return the key of the states of a job on a commit; ``repository`` is ``host/path``, lower-case.

    The context is lower-case too, because code hosts compare contexts ignoring case.
    """
    return f"status:{repository}#{sha}#{context.lower()}"


def event_sort(order_name: str, epoch_ms: int, kind: str, attempt: int = 1) -> str:
    """Return an event's sort key: no two events of a run have the same name, millisecond, kind and attempt.

    Attempts are seconds apart, but the clocks of the processes that write their events may differ as much. The first
    one is not in the key, as in versions before.
    """
    return f"{order_name}:{epoch_ms:013d}:{kind}" + (f":{attempt}" if attempt > 1 else "")


def job_day(day: date) -> str:
    """Return the key of a UTC day in the index of runs: no day's events are in the partition of another's."""
    return f"{JOB_EVENT_NAME}#{day.isoformat()}"


def execution_name(run_id: str, order_num: str) -> str:
    """Return the name of an order's executions: equal for every attempt, so that a repeated start can be recognised."""
    return f"{check_run_id(run_id)}-{check_order_num(order_num)}"


def watchdog_name(run_id: str, number: int) -> str:
    """Return the name of a run's watchdog execution: ``<run>-0000`` is the first, ``<run>-0000-2`` the second.

    Names are limited to 80 characters and stay taken for 90 days after an execution has ended (AWS Step Functions API
    Reference, "StartExecution"), so each further watchdog of a run needs the next number. No number repeats a name that
    a version before gave to the watchdog of an order (``<run>-0001``). Raises ``ValueError`` for a number below 1.
    """
    if number < 1:
        raise ValueError(f"{number} is not the number of a watchdog: the first is 1")
    first = execution_name(run_id, RUN_ORDER_NUM)
    return first if number == 1 else f"{first}-{number}"
