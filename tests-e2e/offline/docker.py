"""Prints what finds a Docker engine and base images: the real ones where they answer, else stand-ins."""

from __future__ import annotations

import os
import shlex
import sys

from offline import engine, images


def main() -> None:
    """Print exports for a shell, and what they mean to standard error; end with 3 where there is no engine."""
    environment = dict(os.environ)
    which = "the one that runs"
    try:
        if not engine.answers(environment):
            environment |= engine.start()
            which = f"Debian's, started in {engine.PLACE}"
        stand_ins = images.stand_ins(environment)
    except engine.Unavailable as reason:
        print(reason, file=sys.stderr)
        sys.exit(3)
    said = ", ".join(sorted(stand_ins)) or "none"
    print(f"Docker engine: {which}; stand-ins for base images: {said}", file=sys.stderr)
    exports = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    if stand_ins:
        arguments = [f"{name}={image}" for name, image in stand_ins.items()] + images.proxies()
        exports["DOCKER_BUILDKIT"] = "0"
        exports["DOCKER_BUILD_FLAGS"] = " ".join(
            ["--network host", *(f"--build-arg {shlex.quote(argument)}" for argument in arguments)]
        )
    if exports:
        print("export", *(f"{name}={shlex.quote(value)}" for name, value in exports.items()))


if __name__ == "__main__":
    main()
