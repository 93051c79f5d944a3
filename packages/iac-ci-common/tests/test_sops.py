from __future__ import annotations

import pyrage
import pytest

from iac_ci_common.errors import SealingFailed
from iac_ci_common.sops import SopsSealer, age_recipient

VALUES = {"TOKEN": "planted-value-1", "sops": "a", "NAME_unencrypted": "planted-value-2", "LINES": "a\nb", "ü": "é"}


def test_values_come_back_and_are_nowhere_in_the_sealed_file():
    identity = str(pyrage.x25519.Identity.generate())
    sealer = SopsSealer()
    sealed = sealer.seal(VALUES, run_id="run", age_recipient=age_recipient(identity))
    assert b"planted" not in sealed
    assert b"TOKEN" not in sealed
    assert sealer.unseal(sealed, run_id="run", age_identity=identity) == VALUES


def test_another_identity_opens_nothing_and_is_not_shown():
    mine, other = (str(pyrage.x25519.Identity.generate()) for _ in range(2))
    sealed = SopsSealer().seal(VALUES, run_id="run", age_recipient=age_recipient(mine))
    with pytest.raises(SealingFailed) as failed:
        SopsSealer().unseal(sealed, run_id="run", age_identity=other)
    assert other not in str(failed.value)


def test_a_file_of_another_run_is_refused_before_kms_is_asked():
    sealed = b'{"data": "x", "sops": {"kms": [{"arn": "a", "context": {"iac-ci-run": "one"}}]}}'
    with pytest.raises(SealingFailed, match="another run"):
        SopsSealer().unseal(sealed, run_id="two")


@pytest.mark.parametrize("sealed", [b"", b"{}", b'{"sops": {"kms": []}}', b'{"sops": 1}'])
def test_what_is_not_sealed_is_refused(sealed):
    with pytest.raises(SealingFailed):
        SopsSealer().unseal(sealed, run_id="run")


def test_what_is_no_identity_is_refused_without_repeating_it():
    with pytest.raises(SealingFailed) as failed:
        age_recipient("planted-not-a-key")
    assert "planted" not in str(failed.value)


def test_there_is_no_sealing_without_a_key():
    with pytest.raises(SealingFailed, match="no key"):
        SopsSealer().seal(VALUES, run_id="run")
