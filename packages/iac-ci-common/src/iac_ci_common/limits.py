"""The engine's limits, each with its unit and, where another system sets it, its source."""

from __future__ import annotations

from typing import Final

MAX_BODY_BYTES: Final = 3_000_000
"""Largest accepted request body. Lambda accepts 6,291,456 bytes in a synchronous call (AWS Lambda Developer Guide,
"Lambda quotas"). API Gateway sends the body as a JSON string in its event, where each quote, backslash and line break
takes two bytes, so a body of this size always fits together with the request's headers."""

MAX_EXPANDED_BYTES: Final = 5 * 1024 * 1024
"""Largest job that a repository's configuration may become: it is never sent, so Lambda does not limit it."""

MAX_ORDERS: Final = 1000
"""Most orders in a job."""

MAX_ORDER_STATUSES: Final = 50
"""Runs with more orders get no status per order: each costs a request at the run's start and at its end."""

MAX_COMMANDS: Final = 100
"""Most commands in an order."""

MAX_COMMAND_CHARS: Final = 16_384
"""Longest single command, in characters. The kernel refuses one argument over 128 KiB (execve(2), MAX_ARG_STRLEN)."""

MAX_EXIT_CODES: Final = 16
"""Most exit codes of one list."""

MAX_ATTEMPTS: Final = 10
"""Most attempts of one order."""

MAX_VARIABLE_BYTES: Final = 1024 * 1024
"""Most bytes of an order's ``env_vars``, names and values. The kernel gives the arguments and the environment of a
program a quarter of the stack's limit, 2 MiB where that is 8 MiB (execve(2), "Limits on size of arguments and
environment"); the other half is for the order's secrets."""

MAX_KEY_BYTES: Final = 1024
"""Longest key of an object in S3, in bytes of UTF-8 (Amazon S3 User Guide, "Creating object key names")."""

MAX_PARTITION_KEY_BYTES: Final = 2048
"""Longest partition key in DynamoDB, in bytes of UTF-8 (Amazon DynamoDB Developer Guide, "Quotas")."""

MAX_GIT_CREDENTIALS: Final = 50
"""Most repositories of an order's ``git_credentials``."""

MAX_REGISTRIES: Final = 20
"""Most entries of an order's ``registries``."""

MAX_MASK_ENTRIES: Final = 256
"""Most entries of ``mask.also`` and of ``mask.never``."""

MAX_MASK_CHARS: Final = 1024
"""Longest entry of ``mask``."""

MIN_MASKED_CHARS: Final = 4
"""Shortest text that is masked: shorter ones occur everywhere by chance."""

MAX_APPROVERS: Final = 20
"""Most people and teams of one approval; the host is asked for each team."""

MAX_APPROVER_CHARS: Final = 200
"""Longest name of a person or team: an order's row holds all of an approval."""

MAX_WAITING_CHARS: Final = 512
"""Longest text of what a queued order waits for."""

MAX_DEPENDENCIES: Final = 1000
"""Most dependencies of one order."""

MAX_OUTPUTS: Final = 50
"""Most outputs of one order."""

MAX_OUTPUT_BYTES: Final = 4096
"""Longest value of an output, in bytes of UTF-8."""

MAX_OUTPUTS_BYTES: Final = 1024 * 1024
"""Most bytes of an order's sealed outputs: all of the longest ones, escaped as JSON, and what sealing adds."""

MAX_LIVE_PART_BYTES: Final = 8 * 1024 * 1024
"""Longest part of a running order's log."""

PARTS_PER_TRADE: Final = 15
"""URLs for parts of the log that a trade gives: those of a minute, and some for long parts."""

MAX_LIVE_PARTS: Final = 100_000
"""Most parts of a log: 28,800 seconds have 5,760 periods of five seconds, and the longest log 64 longest parts."""

LIVE_SECONDS: Final = 5
"""How long output of a running order stays in the worker at most, during its first minute and while it is followed."""

SLOW_LIVE_SECONDS: Final = 30
"""The same at other times: what a crash of the worker may lose."""

FOLLOW_SECONDS: Final = 150
"""How long a wish to follow a run, or to wait for it, counts; it is repeated once a minute."""

MAX_NAMES_IN_PATH: Final = 250
"""Most names in a path of code or of a saved file: folders inside one another, and the file. Python walks a tree with a
call for each folder on the way, and allows a thousand."""

MAX_SAVED_BYTES: Final = 256 * 1024 * 1024
"""Most bytes of files that an order saves; as many again of those that a failed order leaves."""

MAX_SAVED_FILES: Final = 1000
"""Most files that an order saves."""

MAX_SEALED_FILES_BYTES: Final = MAX_SAVED_BYTES + 4 * 1024 * 1024
"""Most bytes of sealed files: what cannot be compressed, the archive's entries, and what sealing adds."""

MAX_HOST_NUMBER: Final = 2**31 - 1
"""Largest number of a pull request or issue; code hosts count with 32 bits."""

MAX_FILE_PATTERNS: Final = 32
"""Most patterns of one list of files."""

MAX_RESTORES: Final = 16
"""Most entries of an order's ``restore``."""

MAX_TAKEN_ORDERS: Final = 50
"""Most other orders of whose outputs or files one order takes some. The broker reads the row of each."""

WORKER_LAMBDA_SECONDS: Final = 600
"""Time-out of the worker function."""

WORKER_MARGIN_SECONDS: Final = 60
"""Time that a worker needs around the commands: claim, fetch, unseal, upload, report."""

BUILD_MARGIN_SECONDS: Final = 600
"""Time that a build has around the commands. CodeBuild's clock includes provisioning and pulling the image, which takes
four minutes where the image is not cached (AWS CodeBuild User Guide, "Build phase transitions"); the rest is the
worker's margin, also if it has to trade for each of its URLs several times."""

MAX_LAMBDA_ORDER_SECONDS: Final = WORKER_LAMBDA_SECONDS - WORKER_MARGIN_SECONDS
"""Longest order that fits a Lambda worker."""

MAX_ENVIRONMENT_CREDENTIALS_SECONDS: Final = 3000
"""Longest order whose commands may have credentials in variables, which nobody can renew: the session of a role that a
role assumes ends after 3,600 seconds (AWS IAM User Guide, "Role chaining"). The rest is for the grace of a stop, and
for fetching the code."""

MAX_ENVIRONMENT_CREDENTIALS_GRACE_SECONDS: Final = 3300
"""Longest sum of `timeout` and a named `stop_grace` of such an order."""

MAX_CODEBUILD_ORDER_SECONDS: Final = 8 * 3600
"""Longest order that fits a CodeBuild worker; the project's own time-out is this plus the margin."""

MAX_JOB_SECONDS: Final = 24 * 3600
"""Longest ``job_timeout``: working data lives for a day."""

DEFAULT_JOB_SECONDS: Final = 3600
"""``job_timeout`` if the job sets none."""

MAX_PRESIGN_SECONDS: Final = 7 * 24 * 3600
"""Longest life of a SigV4 presigned URL (Amazon S3 User Guide, "Sharing objects with presigned URLs")."""

MIN_PRESIGN_SECONDS: Final = 60
"""Shortest ``presign_expiry``: a worker must be able to use a URL before it ends."""

URL_SECONDS: Final = 900
"""Longest life of a worker's URL, from the moment at which it is signed; ``presign_expiry`` may shorten it. A worker
that needs a URL for longer trades its ticket again."""

HEARTBEAT_SECONDS: Final = 50
"""Time between the starts of two trades of a worker while its commands run. A wish to stop reaches the worker within a
minute: ten seconds are left for the answer of a broker that has just been started."""

WAITED_HEARTBEAT_SECONDS: Final = 25
"""The same while a person waits for the run or follows its logs: a wish to stop arrives within 30 seconds."""

HEARTBEAT_AGAIN_SECONDS: Final = 5
"""Time after which a trade without an answer is repeated while the commands run."""

SILENT_SECONDS: Final = 180
"""Age of the last trade after which a running order is shown as silent. Silence ends nothing."""

MAX_DISPATCHES: Final = 3
"""How often an order is dispatched whose worker ends before it begins the order, for example in a sandbox that keeps
what an earlier order left."""

MAX_TICKETS: Final = 16
"""Dispatches of one order whose tickets its row keeps. A dispatch is repeated after ``LEASE_SECONDS`` at the earliest,
so the oldest of them is eight minutes old: its worker has traded since, or it has not claimed the order."""

WORKER_WAIT_SECONDS: Final = 6 * 3600
"""How long a dispatched order may wait for its worker: as long as Lambda keeps an asynchronous event while
no concurrency is free (AWS Lambda Developer Guide, "Configuring error handling settings for asynchronous
invocations"). The run's deadline may end the wait earlier."""

CLOCK_DIFFERENCE_SECONDS: Final = 30
"""Largest difference between the clocks of two functions that the engine allows for; on AWS it is milliseconds."""

DEFAULT_STOP_GRACE_SECONDS: Final = 300
"""Most time between the wish to stop and SIGKILL where an order names no ``stop_grace``; on Lambda the function's end
may shorten it."""

MAX_STOP_GRACE_SECONDS: Final = 1800
"""Longest ``stop_grace``."""

LAMBDA_STOP_SECONDS: Final = 90
"""How long before its function's end a worker begins to stop an order that names no ``stop_grace``."""

LAMBDA_REPORT_SECONDS: Final = 45
"""How long before its function's end a worker kills what still runs: it has to store the log and write the result."""

SHORT_GRACE_SECONDS: Final = 10
"""What is left of the grace after a second wish to stop, and the time that background processes other than Terraform
have once the last command has ended."""

DEFAULT_ORDER_SECONDS: Final = 450
"""``timeout`` of an order of a repository's configuration that sets none: ``LAMBDA_STOP_SECONDS`` less than the longest
that fits Lambda, so that the stop of such an order begins at its time-out."""

MAX_LOG_TIMES: Final = 1024
"""Most places of a log whose time a result holds: 24 KiB of JSON, and one a second for the first 17 minutes."""

MAX_LOG_UPLOAD_BYTES: Final = 513 * 1024 * 1024
"""Most bytes of a log that the broker signs a URL for: the worker stores 512 MiB and a line that says so."""

LOG_TAIL_BYTES: Final = 256 * 1024
"""Most bytes of log kept inside a result."""

LOG_IN_RESULT_BYTES: Final = 32 * 1024
"""Most bytes of a log that is stored in the result alone, which has the end of the log anyway. Half of GitHub's longest
comment: a comment shows such a log whole, so that it needs no link to an object of the log."""

PLAN_TEXT_BYTES: Final = 64 * 1024
"""Most bytes of a plan's text kept inside a result: as much as the longest comment of GitHub. JSON writes them with at
most twice as many, because the text holds no control characters."""

MAX_RESULT_BYTES: Final = 1024 * 1024
"""Most bytes of a result that are read. JSON escaping may lengthen the log tail; a worker's result is never larger."""

LEASE_SECONDS: Final = 30
"""Lifetime of a run's lock without renewal, and age after which an order in ``dispatching`` is dispatched again."""

ORCHESTRATOR_SECONDS: Final = 600
"""Time-out of the orchestrator function: an owner of a run's lock that renewed its lease longer ago does not exist."""

ANNOUNCE_AGAIN_SECONDS: Final = 60
"""Time between two attempts to put announcements that the event bus has not accepted."""

ANNOUNCE_SECONDS: Final = 3600
"""How long after a run's end they are tried."""

MERGE_SECONDS: Final = 900
"""How long after a run's end the merge of its pull request is tried, if the code host fails."""

STOP_GRACE_SECONDS: Final = 60
"""How long after its deadline a running order may still report before the engine forces its end."""

RETENTION_SECONDS: Final = 24 * 3600
"""How long working rows are kept after their run's deadline."""

EVENT_RETENTION_SECONDS: Final = 90 * 24 * 3600
"""How long events are kept."""

SIGNATURE_TOLERANCE_SECONDS: Final = 300
"""Largest difference between a signature's time and the current time."""

DEFAULT_MAX_PARALLEL: Final = 100
"""Most orders of one run that are dispatched or running at once."""

PREPARATION_SECONDS: Final = 330
"""A run that has no rows after this time is prepared again: the init function's time-out and 30 seconds."""

PREPARATION_ATTEMPTS: Final = 3
"""How often the watchdog starts a preparation again before it ends the run."""

DEFAULT_PLAN_DAYS: Final = 14
"""Days for which saved plans are kept and may be applied, unless the operator sets `plan_days`."""
