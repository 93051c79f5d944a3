from __future__ import annotations

import pytest

from iac_ci_common.repository_url import repository_problem


@pytest.mark.parametrize(
    "address",
    [
        "ext::sh -c touch", "--upload-pack=touch x", "-oProxyCommand=x", "http://example.com/a", "file:///etc", "git://x/y",
        "https://user:token@example.com/a", "https://token@example.com/a", "https://-x/a", "https://example.com", "",
        "a b", "ssh://-oProxyCommand=touch/x", "-x@example.com:a", "ssh://-oProxyCommand=touch@example.com/a",
        "https://exam ple.com/a/b", "https://example.com/a/\u202eb", "https://example.com:99999/a", "https://example.com:x/a",
        "git@example.com:a/\u202eb",
    ],
)  # fmt: skip
def test_addresses_that_git_must_not_see_are_refused(address):
    assert repository_problem(address) is not None


@pytest.mark.parametrize(
    "address", ["https://example.com/a/b.git", "ssh://git@example.com/a/b", "git@example.com:a/b.git"]
)
def test_usual_addresses_are_known(address):
    assert repository_problem(address) is None


def test_a_file_is_an_address_on_the_local_cloud_only():
    assert repository_problem("file:///code", allow_file=True) is None
    assert repository_problem("file://code", allow_file=True) is not None
