"""The states of jobs on commits, in DynamoDB and in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.commit_job import CommitJob, JobOnPull
from iac_ci_common.testing.samples import RUN_ID

KEY = keys.commit_job("github.com/acme/infra", "a" * 40, "iac-ci/plan")


def job(now, **fields):
    pulls = {"7": JobOnPull(base="main", since=RUN_ID, orders={"dns": f"{RUN_ID} failed", "app": "not_run"})}
    return CommitJob(**({"key": KEY, "pulls": pulls, "expires_at": now + timedelta(days=90)} | fields))


def test_contexts_that_differ_in_case_are_one(now):
    assert keys.commit_job("github.com/acme/infra", "a" * 40, "iac-ci/PLAN") == KEY


def test_what_was_written_is_read(adapters, now):
    assert adapters.commit_jobs.read(KEY) is None
    written = adapters.commit_jobs.write(job(now))
    assert written.version == 1
    assert adapters.commit_jobs.read(KEY) == written
    assert adapters.commit_jobs.read(KEY.replace("plan", "apply")) is None


def test_of_two_that_read_the_same_one_writes(adapters, now):
    first = adapters.commit_jobs.write(job(now))
    with pytest.raises(ConditionFailed) as refused:
        adapters.commit_jobs.write(job(now, pulls={}))
    assert refused.value.retry_is_safe
    second = adapters.commit_jobs.write(first.model_copy(update={"pulls": {}}))
    with pytest.raises(ConditionFailed):
        adapters.commit_jobs.write(first)
    assert adapters.commit_jobs.read(KEY) == second


def test_an_expired_job_counts_as_missing(adapters, now):
    adapters.commit_jobs.write(job(now, expires_at=now - timedelta(seconds=1)))
    assert adapters.commit_jobs.read(KEY) is None
    assert adapters.commit_jobs.write(job(now)).version == 1
