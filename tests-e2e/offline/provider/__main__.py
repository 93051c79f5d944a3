"""The provider in a process of its own. The argument is the folder of what is prepared."""

import os
import sys
from pathlib import Path

from offline.provider.prepared import read
from offline.provider.schema import load
from offline.provider.serve import serve
from offline.provider.servicer import Servicer

prepared = read(Path(sys.argv[1]))
parent = os.getppid()
# A provider does not outlive a Terraform that was killed.
serve(Servicer(load, prepared.schema), prepared.key, prepared.certificate, lambda: os.getppid() == parent)
