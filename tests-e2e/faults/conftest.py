from __future__ import annotations

import pytest

from faults.sweep import mocked_services


@pytest.fixture
def services(monkeypatch, tmp_path):
    with mocked_services(monkeypatch, tmp_path) as services:
        yield services
