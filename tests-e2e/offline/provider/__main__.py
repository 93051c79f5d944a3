"""What Terraform starts. The argument is the folder of what is prepared."""

import sys
from pathlib import Path

from offline.provider.prepared import read
from offline.provider.schema import load
from offline.provider.serve import serve
from offline.provider.servicer import Servicer

prepared = read(Path(sys.argv[1]))
serve(Servicer(load, prepared.schema), prepared.key, prepared.certificate)
