"""What Terraform starts."""

from offline.provider.schema import load
from offline.provider.serve import serve
from offline.provider.servicer import Servicer

serve(Servicer(load))
