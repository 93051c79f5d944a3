"""Makes the files of saved plans, as Terraform writes them."""

from __future__ import annotations

import io
import zipfile


def number(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(position, content, kind=2):
    key = number(position << 3 | kind)
    return key + number(len(content)) + content if kind == 2 else key + content


def backend(*workspaces):
    named = b"".join(field(3, name.encode()) for name in workspaces)
    return field(13, field(1, b"s3") + field(2, field(1, b"\x80")) + named)


def mode(value):
    return field(17, number(value), kind=0)


def message(*backends):
    head = field(1, number(3), kind=0) + field(3, b"x" * 300) + field(99, b"12345678", kind=1)
    return head + b"".join(backends) + field(14, b"1.11.4") + field(98, b"1234", kind=5)


def archive(plan, *, name="tfplan", comment=b"", names=()):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        for other in names:
            zipped.writestr(other, b"")
        zipped.writestr(name, plan)
        zipped.comment = comment
    return packed.getvalue()
