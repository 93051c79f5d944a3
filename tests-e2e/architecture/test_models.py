"""Each model of the packages can be built: a function does so when it first uses it, and would meet an error then."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from pydantic import BaseModel

from iac_ci_common.models.result import Claim
from iac_ci_common.testing.samples import RUN_ID, START

PACKAGES = Path(__file__).resolve().parents[2] / "packages"


def modules() -> Iterator[str]:
    for source in sorted(PACKAGES.glob("*/src/iac_ci_*")):
        found = pkgutil.walk_packages([str(source)], f"{source.name}.")
        yield from (one.name for one in found if "__main__" not in one.name)


def below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("iac_ci_"):
            yield one
        yield from below(one)


def test_every_model_is_complete_when_it_is_built():
    for name in modules():
        importlib.import_module(name)
    models = set(below(BaseModel))
    assert len(models) > 100
    for one in models:
        # Annotations resolve in the model's module, without the variables of its first caller.
        one.model_rebuild(force=True, _parent_namespace_depth=0)
        assert one.__pydantic_complete__, one


def test_threads_may_use_a_model_for_the_first_time_together():
    text, threads = Claim(run_id=RUN_ID, order_num="0001", claimed_by="worker", claimed_at=START).model_dump_json(), 8

    def use(model: type[Claim], barrier: Barrier) -> str:
        barrier.wait()
        return model.from_stored(text).model_dump_json()

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(50):
            model, barrier = type("FirstUsed", (Claim,), {}), Barrier(threads)
            assert set(pool.map(use, [model] * threads, [barrier] * threads)) == {text}
