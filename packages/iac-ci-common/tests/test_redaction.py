from __future__ import annotations

import base64
import html
import json
import quopri
import random
import shlex
import shutil
import subprocess
import threading
import unicodedata
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from iac_ci_common.redaction import Redactor, stream
from iac_ci_common.redaction.dump_rows import dumps
from iac_ci_common.redaction.filter import DUMP, Filter
from iac_ci_common.redaction.secret_values import PLAIN_KEYS, is_plain_key, is_usual, secret_values

SECRET = "p@ss/w0rd+with \"quotes\" & 'more'=="
PASSWORD = "Pa55&w<or>d-77xyz"


def whole(redactor, data, sizes=()):
    out, position = b"", 0
    for size in sizes:
        out += redactor.feed(data[position : position + size])
        position += size
    return out + redactor.feed(data[position:]) + redactor.finish()


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x" + SECRET.encode()).decode(),
        base64.b64encode(b"xy" + SECRET.encode() + b"z").decode(),
        base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
        base64.b64encode(json.dumps({"a": SECRET}).encode()).decode(),
        base64.b64encode(SECRET.encode("utf-16-le")).decode(),
        *(base64.b32encode(b"123456789"[:before] + SECRET.encode()).decode() for before in range(6)),
        base64.b32encode(b"user:" + SECRET.encode()).decode().lower(),
        quote(SECRET, safe=""),
        quote(quote(SECRET, safe=""), safe=""),
        quote_plus(SECRET),
        json.dumps({"key": SECRET}),
        json.dumps(json.dumps(json.dumps(SECRET))),
        html.escape(quote(SECRET)),
        "".join(f"&#{ord(character)};" for character in SECRET),
        "".join(f"\\x{byte:02x}" for byte in SECRET.encode()),
        ", ".join(f"0x{byte:02X}" for byte in SECRET.encode()),
        shlex.quote(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex(":").upper(),
        "\x1b[1m" + SECRET[:9] + "\x1b[31m" + SECRET[9:] + "\x1b[0m",
        "\r\n".join(base64.b64encode(b"12" + SECRET.encode()).decode()),
    ],
)
def test_every_usual_form_is_masked(form):
    masked = whole(Redactor([SECRET]), f"before {form} after".encode()).decode()
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "***" in masked
    assert "p@ss" not in masked
    # What is left of the form is not enough to get the secret back from.
    left = masked.replace("***", "").removeprefix("before ").removesuffix(" after")
    assert len(left.strip()) <= 40


@pytest.mark.parametrize(
    "printed",
    [
        r'{"password":"Pa55\u0026w\u003cor\u003ed-77xyz"}',
        r"Pa55\u0026W\u003Cor".replace("W", "w") + r"\u003Ed-77xyz",
        r'"{\"password\":\"Pa55\\u0026w\\u003cor\\u003ed-77xyz\"}"',
        "Pa55&amp;w&lt;or&gt;d-77xyz",
        "Pa55&#38;w&#x3C;or&gt;d-77xyz",
        "Pa55%26w%3Cor%3ed-77xyz",
        r"Pa55\&w\<or\>d-77xyz",
        r"$'Pa55&w<or>d\05577xyz'",
    ],
)
def test_escapes_of_any_language_and_mixture_are_turned_back(printed):
    masked = Redactor([PASSWORD]).text(f"a {printed} b")
    assert "Pa55" not in masked
    assert "77xyz" not in masked


def visible(byte):
    """Return a byte as ``cat -v`` prints it."""
    if byte < 128:
        return bytes([byte])
    return b"M-" + (bytes([byte - 128]) if byte >= 160 else b"^" + bytes([byte - 64]))


@pytest.mark.parametrize("value", [PASSWORD, "Größe-Łódź-пароль-77", "парольсекретный"])
def test_what_other_programs_print_is_turned_back(value):
    data = value.encode()
    carets = b"".join(visible(byte) for byte in data)
    for printed in (
        str(list(data)),
        json.dumps(list(data), separators=(",", ":")),
        "[" + " ".join(map(str, data)) + "]",
        str([byte - 256 if byte > 127 else byte for byte in data]),
        data.hex("_", 4),
        quopri.encodestring(data).decode().strip(),
        carets.decode(),
    ):
        masked = Redactor([value]).text(f"before {printed} after")
        assert len(masked.replace("***", "")) <= len("before [] after"), masked


SIGNS = "A}&b<K9]%qT>w#7v"
"""A random password: no three letters or digits in a row."""


def go_json(value):
    for character in "&<>":
        value = value.replace(character, f"\\u{ord(character):04x}")
    return json.dumps({"password": value}).replace("\\\\u", "\\u")


def left(secret, printed):
    """Return what is left of what was printed, without white space."""
    printed = printed if isinstance(printed, bytes) else printed.encode()
    return b"".join(whole(Redactor([secret]), printed).replace(b"***", b"").split())


@pytest.mark.parametrize("secret", [SIGNS, PASSWORD, "zażółć-gęślą-1"])
@pytest.mark.parametrize("escape", [go_json, json.dumps, html.escape, lambda value: quote(value, safe="")])
@pytest.mark.parametrize("encode", [lambda data: base64.b64encode(data).decode(), bytes.hex])
def test_what_was_escaped_before_it_was_encoded_is_masked(secret, escape, encode):
    encoded = encode(escape(secret).encode())
    assert len(left(secret, encoded)) < len(encoded) / 2


@pytest.mark.parametrize("secret", [SIGNS, PASSWORD, "a1!b2@c3#", "秘密のパスワード", "парольсекретный"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("encode", [lambda data: base64.b64encode(data).decode(), bytes.hex])
@pytest.mark.parametrize("before", ["", "x", "pw="])
def test_utf_16_is_found_in_base64_and_hexadecimal(secret, encoding, encode, before):
    encoded = encode((before + secret).encode(encoding))
    assert len(left(secret, encoded)) < len(encoded) / 2


ORIGINS = [
    *("web-1  | ", "[live/network] ", "[pod/web-1/app] ", "STDO[0001] ", "[2026-11-26 10:00:00] ", "Nov 26 10:00:00 "),
    *("2026-11-26T10:00:00.123456Z 01O ", "2026-11-26T10:00:00.123456Z 01O+", "web-1  | 2026-11-26T10:00:00.123Z "),
    *("null_resource.a (local-exec): ", 'module.net["eu-1"].null_resource.a[0] (remote-exec): ', "#12 0.234 "),
    *("==> amazon-ebs.web: ", "    amazon-ebs.web: ", "2026-11-26T10:00:00.123Z [INFO]  provider.x: "),
    *("time=2026-11-26T10:00:00Z level=stdout prefix=live/network tf-path=terraform msg=", "prod\t"),
]
"""What containers, runners, provisioners, Packer and Terragrunt's other formats print before each line."""


@pytest.mark.parametrize(
    "margin",
    [
        *("-", "+", "      + ", "// ", "# ", "; ", "   12\t", "12:", "2026-11-26T10:00:00.123Z ", "10:00:00,1 INFO "),
        *("18:32:08.123 STDOUT [network] terraform: ", "18:32:08.123 STDERR [network] terraform: | "),
        *ORIGINS,
    ],
)
@pytest.mark.parametrize("encode", [lambda data: base64.b64encode(data).decode(), bytes.hex])
def test_margins_are_no_obstacle_where_a_value_is_encoded(margin, encode):
    secret = "y3Lex7BWr2drgd1QsO7jprBGumXxY9B4bZWO"
    encoded = encode(b"user:" + secret.encode())
    lines = [encoded[start : start + 40] for start in range(0, len(encoded), 40)]
    assert len(left(secret, "".join(f"{margin}{line}\n" for line in lines))) < len(encoded) / 2 + len(lines) * len(
        margin
    )


@pytest.mark.parametrize("margin", ["18:32:08.123 STDERR [network] terraform: │ ", *ORIGINS])
def test_the_time_and_origin_of_each_line_are_no_obstacle(margin):
    printed = f"{margin}correct horse\n{margin}battery 7 tent"
    assert b"horse" not in left("correct horse battery 7 tent", printed)


@pytest.mark.parametrize("before", range(0, 60, 3))
def test_base64_that_a_json_text_wraps_is_masked_wherever_the_line_breaks(before):
    secret = "y3Lex7BWr2drgd1Q"
    encoded = json.dumps(base64.encodebytes(b"\0" * before + secret.encode()).decode())
    zeros = len(base64.b64encode(b"\0" * before))
    assert len(left(secret, encoded)) < zeros + 16


@pytest.mark.parametrize(
    "printed",
    [
        "y3Le\\u001b[1;31mx7BW\\u001b[0mr2drgd1Q",
        "y3Le\x1b[38:5:208mx7BW\x1b[0mr2drgd1Q",
        str([hex(byte) for byte in b"y3Lex7BWr2drgd1Q"]),
        ", ".join(f"0x{byte:02X}U" for byte in b"y3Lex7BWr2drgd1Q"),
        "".join(f"&#{byte:07d};" for byte in b"y3Lex7BWr2drgd1Q"),
        " ".join(f"{byte:03d}" for byte in b"y3Lex7BWr2drgd1Q"),
    ],
)
def test_further_forms_of_escapes_and_numbers_are_read(printed):
    assert len(left("y3Lex7BWr2drgd1Q", f"<<{printed}>>")) < 32


def test_the_escapes_of_perl_are_read():
    secret = "Zażółć-gęślą-9"
    printed = "".join(one if one.isascii() else f"\\x{{{ord(one):x}}}" for one in secret)
    assert left(secret, f'$VAR1 = "{printed}";') == b'$VAR1="";'


DUMPS = [
    *("xxd -g 4", "xxd -g 8", "xxd -g 0", "xxd -g 3", "xxd -e", "xxd -e -g 2", "xxd -e -g 8", "xxd -c 2", "xxd -c 1"),
    *(
        "hexdump -v -x",
        "hexdump -v -d",
        "hexdump -v -o",
        "hexdump -v -c",
        "od -v -a",
        "od -v -c",
        "od -v -A n -t x1 -w7",
    ),
    *("od -v -t d1", "od -v -t d2", "od -v -t u2", "od -v -t d4", "od -v -t d8"),
    *("od -v -t o4", "od -v -A d -t x1z", "od -v -A n", "od -v -A n -t x2", "od -v -A n -t x4", "od -v -t cz"),
]


@pytest.mark.parametrize(
    "secret", ["hunterWinterSummer2024x", " lead and trail7 words ", "deadbeefcafe0123babe", SIGNS]
)
@pytest.mark.parametrize("command", DUMPS)
def test_every_column_of_a_dump_is_masked(command, secret):
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"no {command.split()[0]} here; the corpus names what each machine has")
    printed = subprocess.run(command.split(), input=secret.encode(), capture_output=True, check=True).stdout
    rows = printed.splitlines()
    addresses = sum(len(row.split()[0]) if row[:1] != b" " else 0 for row in rows)
    text = b"".join(printed.split())
    assert len(left(secret, printed)) <= addresses + (len(text) - addresses) // 4


@pytest.mark.parametrize(
    "line",
    [
        *("1700000000 200 GET /path", "c95889c add a feature", "2026 11 30 some text", "1234 567 main.go"),
        *("  10  20  300 main.tf", "0001 of 0100 done", "face the facts"),
    ],
)
def test_a_line_that_begins_with_numbers_is_no_dump(line):
    """Each place at which the filter sees a dump is read in sixteen ways."""
    assert [hit for hit in Filter([b"hunterWinter"]).hits(f"{line}\n".encode() * 3) if DUMP in hit.decoders] == []


TABLE = "12345 23456  12.3 /usr/bin/python\n45678 89012  45.6 /usr/bin/terraform\n7654 3210 9876\n"


def test_the_rows_of_a_table_are_no_dump():
    assert list(dumps(TABLE.encode())) == []


ALL_ROWS, SECOND_ROW, DISTANT_ROWS = slice(None), slice(1, 2), slice(None, None, 3)
ROWS = [
    # Nothing tells rows of numbers alone, out of their order, from those of a table.
    *((command, ALL_ROWS) for command in ("od -v", "od -v -A d -t x1")),
    *(
        (command, rows)
        for command in ("xxd", "od -v -t x1z", "od -v -c")
        for rows in (ALL_ROWS, SECOND_ROW, DISTANT_ROWS)
    ),
]


@pytest.mark.parametrize(("command", "chosen"), ROWS)
def test_rows_of_a_dump_are_read_beside_a_table_and_in_part(command, chosen):
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"no {command.split()[0]} here")
    secret = "hunterWinter7x9q"
    printed = subprocess.run(command.split(), input=secret.encode() * 30, capture_output=True, check=True).stdout
    rows = b"".join(printed.splitlines(keepends=True)[:-1][chosen])
    masked = Redactor([secret]).text(f"{TABLE}{rows.decode()}{TABLE}")
    assert masked.startswith(TABLE)
    assert masked.endswith(TABLE)
    assert masked.count("***") >= len(rows.splitlines())
    assert "hunter" not in masked
    assert "6875 6e74" not in masked


@pytest.mark.parametrize("command", ["od", "od -A d -t x1", "od -j 4 -A d", "od -A x -t x2"])
def test_a_dump_of_one_row_is_read_beside_lines_that_begin_with_numbers(command):
    secret = "hunterWinter"
    printed = subprocess.run(command.split(), input=b"pw= " + secret.encode(), capture_output=True, check=True).stdout
    masked = Redactor([secret]).text(f"2026 Nov\n{printed.decode()}7654 3210 9876\n")
    assert "***" in masked


@pytest.mark.parametrize("command", ["od -t d1", "od -t d2", "od -A n -t d1"])
@pytest.mark.parametrize("before", range(0, 15, 3))
def test_signed_numbers_of_a_dump_are_read_wherever_their_digits_stand(command, before):
    """Numbers of two digits leave a gap as wide as the one before a column of text."""
    data = "-" * before + "Pa55&w<or>d-77Zürich{}=;,:|"
    printed = subprocess.run(command.split(), input=data.encode(), capture_output=True, check=True).stdout.decode()
    masked = Redactor([data.lstrip("-")]).text(printed)
    assert len(masked.split()) < len(printed.split()) / 2 + before


def rows_of(data, row):
    """Return a dump as OpenSSL (BIO_dump) or curl (--trace) prints it."""
    parts = [(start, data[start : start + 16]) for start in range(0, len(data), 16)]
    return "".join(row(start, part.hex(" "), part.decode()) for start, part in parts)


@pytest.mark.parametrize(
    "row",
    [
        lambda start, digits, text: f"      {start:04x} - {digits[:23]}-{digits[24:]}   {text}\n",
        lambda start, digits, text: f"{start:04x}: {digits} {text}\n",
    ],
    ids=["openssl", "curl"],
)
def test_the_dumps_of_openssl_and_curl_are_read(row):
    secret = "hunterWinter7x9q-a1-b2-c3"
    masked = Redactor([secret]).text(rows_of(b"-" * 4000 + secret.encode() + b"-" * 4007, row))
    assert "hunter" not in masked
    assert "68 75 6e" not in masked


KEY = bytes(range(200, 232))


@pytest.mark.parametrize("stored", [base64.b64encode(KEY).decode(), KEY.hex(), KEY.hex().upper()])
@pytest.mark.parametrize(
    "printed", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode()]
)
def test_a_key_is_masked_in_the_alphabet_that_another_program_wants(stored, printed):
    assert Redactor([stored]).text(f"openssl enc -K {printed}").rstrip("=") == "openssl enc -K ***"


def test_an_escape_that_a_line_break_cuts_is_turned_back():
    assert Redactor(["s@fe-Pa55/word"]).text("│ a s%40fe-Pa55%2\n│ Fword b") == "│ a *** b"


def test_shells_of_windows_are_read():
    assert Redactor(['Pa55$w`or"d-77xyz']).text('"Pa55`$w``or`"d-77xyz"') == '"***"'


@pytest.mark.parametrize("secret", ["Zürich-Größe-99", "zażółć-gęślą-1", "crème brûlée"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("printed", ["NFC", "NFD"])
@pytest.mark.parametrize("encode", [str, json.dumps, quote])
def test_a_secret_is_masked_whether_its_accents_are_composed_or_not(secret, stored, printed, encode):
    """Terraform composes them; a password that was typed on macOS may have them apart."""
    redactor = Redactor([unicodedata.normalize(stored, secret)])
    line = b'password = "' + encode(unicodedata.normalize(printed, secret)).encode() + b'"\n'
    shown = redactor.feed(line) + redactor.finish()
    assert shown.replace(b'"', b"") == b"password = ***\n"


def test_accents_of_a_long_secret_are_composed_only():
    """With them apart too, a secret of 4,000 characters would take ten seconds to prepare."""
    short, long = "Zürich-Größe-99" * 8, "Zürich-Größe-99" * 9
    assert [len(value.text) for value in secret_values([long])] == [len(long)] * 2
    assert unicodedata.normalize("NFD", short) in [value.text for value in secret_values([short])]


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_a_secret_that_perl_prints_in_latin_1_is_masked(stored):
    secret = unicodedata.normalize(stored, "Zürich-Größe-99")
    redactor = Redactor([json.dumps({"password": secret})])
    shown = redactor.feed(b"password = " + "Zürich-Größe-99".encode("latin-1")) + redactor.finish()
    assert shown == b"password = ***"


def test_json_stays_json():
    masked = Redactor([SECRET]).text(json.dumps({"password": SECRET, "user": "app"}))
    assert json.loads(masked)["user"] == "app"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40)


# A fixed database of examples, and no deadline: how fast this machine is decides nothing.
@settings(deadline=None)
@given(TEXT, st.binary(max_size=60), st.binary(max_size=60), st.lists(st.integers(0, 30)))
def test_no_chunking_shows_a_secret(secret, before, after, sizes):
    plain = secret.encode()
    assume(len(plain.strip()) >= 4)
    assume(plain not in b"***")
    assume(not is_usual(secret))
    masked = whole(Redactor([secret]), before + plain + after, sizes)
    assert plain not in masked or plain in (before + b"***" + after)


@pytest.mark.parametrize(
    "signs", ["é$%日😀", "日本語漢字仮名", "😀🎉🚀", "äöüßéèøłñ", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~ "]
)
def test_a_secret_of_signs_alone_is_masked(signs):
    """Each sign may be escaped in many ways, and a pattern for all of them may not be too large."""
    source = random.Random(0)
    secret = "".join(source.choices(signs, k=40))
    for form in (secret, quote(secret), json.dumps(secret)[1:-1], shlex.quote(secret)):
        assert secret not in whole(Redactor([secret]), f"before {form} after".encode()).decode()
        assert "***" in whole(Redactor([secret]), f"before {form} after".encode()).decode()


@pytest.mark.parametrize("signs", ["日本語漢字仮名", "äöüßéèøłñ", "!#$%&()*+,-./:;<=>?@[]^_`{|}~", "abcXYZ0189"])
@pytest.mark.parametrize("part", [slice(None), slice(2000, 3000)], ids=["whole", "a part"])
@pytest.mark.parametrize(
    "printed",
    [
        str.encode,
        lambda text: text.encode("utf-16-le"),
        lambda text: base64.encodebytes(text.encode()),
        lambda text: base64.encodebytes(text.encode("utf-16-le")),
        lambda text: base64.b32encode(text.encode()),
        lambda text: text.encode().hex().encode(),
        lambda text: json.dumps(text).encode(),
        lambda text: "\n".join(text[start : start + 50] for start in range(0, len(text), 50)).encode(),
    ],
    ids=["plain", "utf-16", "base64", "base64 of utf-16", "base32", "hex", "json", "lines"],
)
def test_a_long_secret_is_masked_from_its_beginning_to_its_end(signs, part, printed):
    """Far behind its beginning, and where its beginning is not printed at all."""
    secret = "".join(random.Random(0).choices(signs, k=4000))
    output = printed(secret[part])
    masked = whole(Redactor([secret]), b"Q\n" + output + b"\nQ")
    assert masked.startswith(b"Q\n")
    assert masked.endswith(b"\nQ")
    left = masked.removeprefix(b"Q\n").removesuffix(b"\nQ")
    # The ends of a part may lie in a line, and what is shorter than 32 characters is not found alone.
    assert len(left.replace(b"***", b"").replace(b"\n", b"").strip(b'"')) < 600, left


def streams(seed):
    """Make a stream of some blocks in which secrets stand in all forms, at all borders."""
    source = random.Random(seed)
    key = "-----BEGIN KEY-----\n" + "\n".join(base64.b64encode(source.randbytes(48)).decode() for _ in range(12))
    secrets = [PASSWORD, SECRET, key, "abcdXYZW", "XYZW12345678", "".join(source.choices("0123456789abcdef", k=300))]
    forms = [
        lambda text: text,
        json.dumps,
        lambda text: json.dumps(json.dumps(text)),
        quote,
        html.escape,
        shlex.quote,
        lambda text: base64.encodebytes(text.encode()).decode(),
        lambda text: base64.b32encode(text.encode()).decode(),
        lambda text: text.encode().hex(),
    ]
    parts = []
    while sum(map(len, parts)) < 400_000:
        parts.append("x = y\n" * source.randrange(3000))
        parts.append(source.choice(forms)(source.choice(secrets)))
    return secrets, "".join(parts).encode()


@pytest.mark.parametrize("seed", range(4))
def test_any_chunks_give_the_same_output(seed):
    secrets, stream = streams(seed)
    source = random.Random(seed)
    redactor = Redactor(secrets)
    expected = whole(redactor, stream)
    for most in (7, 5_000, 200_000):
        sizes = []
        while sum(sizes) < len(stream):
            sizes.append(source.randrange(1, most) if most > 7 or len(sizes) < 20_000 else 50_000)
        assert whole(redactor, stream, sizes) == expected
    assert b"Pa55" not in expected
    assert b"p@ss" not in expected


def test_little_is_held_back_whatever_the_secrets_are():
    redactor = Redactor([PASSWORD, "x" * 50_000])
    out = b""
    for _ in range(100):
        out += redactor.feed(b"nothing secret in this line\n" * 1000)
        assert len(redactor._data) < 200_000
    assert len(out + redactor.finish()) == 100 * 28_000


def test_what_is_held_back_can_be_forgotten():
    redactor = Redactor([PASSWORD])
    assert redactor.feed(b"one\ntwo Pa55&w<o") == b""
    assert redactor.discard() == 16
    assert redactor.feed(b"r>d-77xyz three") + redactor.finish() == b"r>d-77xyz three"


def test_lines_of_a_key_are_masked_each():
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA1234567890\nabcdefghijklmnop\n-----END KEY-----"
    masked = whole(Redactor([key]), b"  MIIEowIBAAKCAQEA1234567890\r\n| abcdefghijklmnop |")
    assert b"MIIE" not in masked
    assert b"abcdefghijklmnop" not in masked


def test_overlapping_secrets_are_masked_as_one():
    assert whole(Redactor(["abcdXYZW", "XYZW12345678"]), b"a abcdXYZW12345678 b") == b"a *** b"


def test_the_longer_of_two_secrets_is_masked_whole():
    masked = whole(Redactor(["token", "token-and-more"]), b"a token-and-more b token c", [3, 4, 5])
    assert masked == b"a *** b *** c"


def test_short_values_and_none_leave_the_stream_alone():
    assert whole(Redactor(["", "abc"]), b"abc abc") == b"abc abc"
    assert whole(Redactor([]), b"anything") == b"anything"


DATABASE = {
    "engine": "postgres", "host": "db.internal", "port": 5432, "ssl": True, "username": "admin", "none": None,
    "password": "s3cr3t-Pa55", "replicas": [{"token": "t0ken-t0ken"}], "account": 123456,
}  # fmt: skip


def test_a_structured_secret_hides_its_leaves_and_nothing_usual():
    output = "postgres 5432 true admin null db.internal | s3cr3t-Pa55 t0ken-t0ken 123456"
    assert Redactor([json.dumps(DATABASE)]).text(output).partition(" | ")[2] == "*** *** ***"
    assert Redactor([json.dumps(DATABASE)]).text(output).partition(" | ")[0] == output.partition(" | ")[0]


def test_a_structured_secret_is_masked_whole_too():
    text = json.dumps(DATABASE)
    assert Redactor([text]).text(f"a {text} b") == "a *** b"
    encoded = base64.b64encode(text.encode()).decode()
    assert len(Redactor([text]).text(encoded)) <= 12


@pytest.mark.parametrize(
    ("value", "leaf"),
    [
        ("users:\n- name: admin\n  user:\n    token: abcdefgh12345\n    port: 5432\n", "abcdefgh12345"),
        ("data:\n  key: |\n    -----BEGIN K-----\n    MIIEowIBAAKC\n    -----END K-----\n", "MIIEowIBAAKC"),
        ("data:\n  password: " + base64.b64encode(b"a-password-inside").decode() + "\n", "a-password-inside"),
        ("[default]\nregion = eu-central-1\nsecret_key = abc/def+ghi\n", "abc/def+ghi"),
        ("export A='one two three'\nPORT=8080\n", "one two three"),
        ("postgres://app:p%40ss-w0rd@db/app", "p@ss-w0rd"),
        ("Server=db;Uid=app;Pwd=Str0ng!pass;Encrypt=true", "Str0ng!pass"),
        ('{"a": {"b": ["{\\"c\\": \\"deep-inside\\"}"]}}', "deep-inside"),
    ],
)
def test_leaves_are_found_in_every_usual_structure(value, leaf):
    texts = {found.text for found in secret_values([value])}
    assert leaf in texts
    assert not texts & {"5432", "8080", "eu-central-1", "admin", "app", "db", "true"}


@pytest.mark.parametrize("value", ["true", "False", "null", "12345", "-1.5", "8080", "abc", "  \n"])
def test_usual_values_are_not_secret(value):
    assert secret_values([value]) == []


def test_what_a_job_adds_is_masked_and_what_it_excepts_is_not():
    redactor = Redactor([json.dumps(DATABASE), "plain-one"], also=["12345", "abc"], never=["s3cr3t-Pa55", "plain-one"])
    assert redactor.text("12345 abc s3cr3t-Pa55 plain-one t0ken-t0ken") == "*** abc s3cr3t-Pa55 plain-one ***"


def test_plain_keys_are_written_as_they_are_compared():
    assert all(is_plain_key(key) for key in PLAIN_KEYS)
    assert is_plain_key("DB-Cluster_Identifier")
    assert not is_plain_key("password")


def test_a_value_of_escapes_alone_is_masked_too():
    assert Redactor(["\\u0026\\u0026"]).text("a \\u0026\\u0026 b") == "a *** b"


@pytest.mark.timeout(20)
def test_a_long_secret_without_a_blank_is_read_in_linear_time():
    assert [value.text for value in secret_values(["a" * 500_000])] == ["a" * 500_000]


@pytest.mark.parametrize(
    "value",
    [
        "machine h.example.com login bob password Xk29fj3kdlA",
        "machine h.example.com\n  login bob\n  password Xk29fj3kdlA\n",
        "jdbc:postgresql://h:5432/app?user=bob&password=Xk29fj3kdlA&ssl=true",
        "host=h port=5432 user=bob password=Xk29fj3kdlA dbname=app",
        "https://h/path?sig=Xk29fj3kdlA&x=1",
        "Authorization: Bearer Xk29fj3kdlA",
        "password: Xk29fj3kdlA",
        "PASSWORD=Xk29fj3kdlA",
        "password: Xk29fj3kdlA # of the database\nuser: bob\n",
        "a: {password: Xk29fj3kdlA, b: 1}\nc: d\n",
        'credentials "app.terraform.io" {\n  token = "Xk29fj3kdlA"\n}\n',
        json.dumps({"auths": {"r.example": {"auth": base64.b64encode(b"bob:Xk29fj3kdlA").decode()}}}),
        json.dumps({"host": "https://bob:Xk29fj3kdlA@h.example/db"}),
    ],
)
def test_a_value_behind_a_secret_name_is_a_leaf_wherever_it_stands(value):
    assert Redactor([value]).text("it is Xk29fj3kdlA here") == "it is *** here"


TOKEN = "ghp_abcdefABCDEF0123456789abcdefABCD"


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        # Lines of assignments: comments, quotes, one line alone, other lines between them.
        ("GITHUB_PAT=Xk29fj3kdlA # of ci\nLANG=C\n", "Xk29fj3kdlA"),
        ('GITHUB_PAT="Xk29fj3kdlA" # of ci\nLANG=C\n', "Xk29fj3kdlA"),
        ("GITHUB_PAT=Xk29fj #dlA\nLANG=C\n", "Xk29fj #dlA"),
        ("GITHUB_PAT=Xk29fj3kdlA", "Xk29fj3kdlA"),
        ("export GITHUB_PAT='Xk29fj3kdlA'\n", "Xk29fj3kdlA"),
        ('declare -x GITHUB_PAT="Xk29fj3kdlA"\ndeclare -x LANG="C"\n', "Xk29fj3kdlA"),
        ("some words before it\nGITHUB_PAT=Xk29fj3kdlA\n", "Xk29fj3kdlA"),
        ("GITHUB_PAT=Xk29fj: dlA\n", "Xk29fj: dlA"),
        ("GITHUB_PAT=Xk29fj;dlA", "Xk29fj;dlA"),
        ('pats = ["Xk29fj3kdlA", "other"]\nx = "y"\n', "Xk29fj3kdlA"),
        ("GITHUB_PAT=Xk29fj3kdlA\r\nLANG=C\r\n", "Xk29fj3kdlA"),
        ("https://u:Xk29fj3kdlA@h\nhttps://v:another-one@i\n", "Xk29fj3kdlA"),
        # YAML.
        ("pat: Xk29fj3kdlA # of ci\nother: 1\n", "Xk29fj3kdlA"),
        ("pat: 'Xk29fj3kdlA' # of ci\nother: 1\n", "Xk29fj3kdlA"),
        ("pat: Xk29fj3kdlA", "Xk29fj3kdlA"),
        ("pats: [Xk29fj3kdlA, other]\n", "Xk29fj3kdlA"),
        ("pats: {one: Xk29fj3kdlA, two: other}\n", "Xk29fj3kdlA"),
        ("- Xk29fj3kdlA\n- other\n", "Xk29fj3kdlA"),
        ("[Xk29fj3kdlA, other]", "Xk29fj3kdlA"),
        ("pat: &it Xk29fj3kdlA\nagain: *it\n", "Xk29fj3kdlA"),
        ("name: &it Xk29fj3kdlA\npat: *it\n", "Xk29fj3kdlA"),
        ("pat: !!str Xk29fj3kdlA\nother: 1\n", "Xk29fj3kdlA"),
        ("pat: !Sub Xk29fj3kdlA\nother: 1\n", "Xk29fj3kdlA"),
        ("a pat of ci: Xk29fj3kdlA\nother one: 1\n", "Xk29fj3kdlA"),
        ("other: 1\n---\npat: Xk29fj3kdlA\n", "Xk29fj3kdlA"),
        ("pat: >-\n  Xk29fj3kdlA\nother: 1\n", "Xk29fj3kdlA"),
        # Text that is like YAML and is none.
        ("pat: @Xk29fj3kdlA\nother: `1\n", "@Xk29fj3kdlA"),
        ("one:\n\tpat: Xk29fj3kdlA\n", "Xk29fj3kdlA"),
        # JSON.
        ("[" * 40 + '"Xk29fj3kdlA"' + "]" * 40, "Xk29fj3kdlA"),
        ('{"pat": "Xk29fj3kdlA", "pat": "another-one"}', "Xk29fj3kdlA"),
        ('\ufeff{"pat": "Xk29fj3kdlA"}', "Xk29fj3kdlA"),
        ('{"pat": "Xk29fj3kdlA",}', "Xk29fj3kdlA"),
        ('{"pat": "Xk29fj3kdlA"}\n{"pat": "another-one"}\n', "Xk29fj3kdlA"),
        ('"Xk29fj3kdlA"', "Xk29fj3kdlA"),
        ('{"pin": 1234567.10}', "1234567.10"),
        # Base64 of few characters, in the alphabet for URLs, without the signs at its end.
        ("pat: " + base64.b64encode(b"Xk29f").decode() + "\nother: 1\n", "Xk29f"),
        ("pat: " + base64.urlsafe_b64encode(b"Xk29f>>>???").decode().rstrip("=") + "\nother: 1\n", "Xk29f>>>???"),
        # URLs.
        (f"https://{TOKEN}@github.com/a/b", TOKEN),
        ("https://Xk29fj3kdlA:x-oauth-basic@github.com/a/b", "Xk29fj3kdlA"),
        ("https://Xk29fj3kdlA:@api.example.com", "Xk29fj3kdlA"),
        ("postgres://u:Xk29/fj3?kd#lA@h/db", "Xk29/fj3?kd#lA"),
    ],
)
def test_a_part_of_a_secret_is_masked_however_the_secret_is_written(value, secret):
    assert Redactor([value]).text(f"it is {secret} here") == "it is *** here"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("AWS_REGION=eu-central-1 # where\nGITHUB_PAT=Xk29fj3kdlA\n", "eu-central-1"),
        ("NODE_ENV=production\nGITHUB_PAT=Xk29fj3kdlA\n", "production"),
        ('{"authSource": "admin", "pat": "Xk29fj3kdlA"}', "admin"),
        ("name: my-service # ours\npat: Xk29fj3kdlA\n", "my-service"),
        ("https://deploy-user@h.example.com/a/long/path", "deploy-user"),
        ("https://Xk29fj3kdlA:x-oauth-basic@github.com/a/b", "x-oauth-basic"),
        ("AccountName=app;AccountKey=Xk29fj3kdlA;EndpointSuffix=core.windows.net", "core.windows.net"),
    ],
)
def test_what_is_usual_in_a_secret_is_shown_however_the_secret_is_written(value, shown):
    assert Redactor([value]).text(f"it is {shown} here") == f"it is {shown} here"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "[ ",
        "{a: ",
        "- ",
        "a: ",
        "? ",
        "&a ",
        '"',
        "'",
        "a://b:",
        "a://b@",
        "A=",
        "A= ",
        "a b\n",
        "A=b # c\n",
        "{}",
        "\n ",
    ],
)
def test_a_long_secret_of_signs_is_read_in_little_time(text):
    assert len(secret_values([text * (60_000 // len(text))])) < 1000


def test_a_value_behind_a_plain_name_is_no_leaf():
    redactor = Redactor(["token_uri: https://oauth2.example.com/token\nprivate_key: Xk29fj3kdlA\n"])
    assert redactor.text("https://oauth2.example.com/token") == "https://oauth2.example.com/token"


# -- output that is shown before it ends -------------------------------------------------------------------------------

LIVE_SECRET = "s3cr3t-Value-of-the-live-log"


def test_what_cannot_be_a_secret_is_shown_at_a_pause():
    redactor = Redactor([LIVE_SECRET])
    assert redactor.feed(b"a line\n") == b""
    assert redactor.pending
    assert redactor.flush() == b"a line\n"
    assert not redactor.pending
    assert redactor.flush() == b""
    assert redactor.finish() == b""


@pytest.mark.parametrize("cut", range(1, len(LIVE_SECRET)))
def test_a_pause_inside_a_secret_shows_few_characters_of_it(cut):
    redactor = Redactor([LIVE_SECRET])
    shown = redactor.feed(b"before " + LIVE_SECRET[:cut].encode()) + redactor.flush()
    shown += redactor.feed(LIVE_SECRET[cut:].encode() + b" after\n") + redactor.flush() + redactor.finish()
    text = shown.decode()
    assert text.startswith("before ")
    assert text.endswith("*** after\n")
    assert len(text.removeprefix("before ").removesuffix("*** after\n")) < 6


@pytest.mark.parametrize("cut", range(8, 90, 3))
def test_a_pause_inside_an_encoded_secret_shows_little_of_it(cut):
    value = "0123456789-a-long-secret-value-that-base64-wraps-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    encoded = base64.encodebytes(value.encode())
    redactor = Redactor([value])
    shown = redactor.feed(encoded[:cut]) + redactor.flush() + redactor.feed(encoded[cut:]) + redactor.finish()
    left = shown.replace(b"***", b"").replace(b"\n", b"")
    assert len(left) < 16, shown


BEGINNINGS = [
    form[start : start + length]
    for form in (
        LIVE_SECRET.encode()[:8],
        base64.b64encode(LIVE_SECRET.encode())[:10],
        LIVE_SECRET.encode().hex().encode()[:14],
    )
    for start in range(len(form))
    for length in range(1, len(form) + 1)
]
"""Parts of beginnings of the secret: a pause may come within what could become a secret, and does not."""


@given(st.lists(st.binary(min_size=1, max_size=300) | st.sampled_from(BEGINNINGS), max_size=20))
@example([b"sup", b"ers", b"onic\n"])
def test_pauses_change_nothing_in_output_without_secrets(chunks):
    redactor = Redactor([LIVE_SECRET, "supersecretvalue"])
    shown = b"".join(redactor.feed(chunk) + redactor.flush() for chunk in chunks) + redactor.finish()
    assert shown == b"".join(chunks)


@pytest.mark.parametrize(
    "secret",
    [
        "DATABASE=postgres://u:Vb7kQ2mXw9Lp@h/db\nX=1\n",
        "HOST=https://u:Vb7kQ2mXw9Lp@h\nAPI_TOKEN=another-token\n",
        "host: https://u:Vb7kQ2mXw9Lp@h\ntoken: another-token\n",
        '{"host": "https://u:Vb7kQ2mXw9Lp@h", "token": "another-token"}',
        '{"host": "jdbc:sqlserver://h;password=Vb7kQ2mXw9Lp;", "token": "another-token"}',
    ],
)
def test_what_is_secret_within_the_value_of_a_plain_key_is_masked(secret):
    assert whole(Redactor([secret]), b"it is Vb7kQ2mXw9Lp, on h\n") == b"it is ***, on h\n"


def test_two_threads_that_add_values_lose_none(monkeypatch):
    redactor = Redactor([])
    other = threading.Thread(target=redactor.add, args=(["second-value"],))
    prepare = stream.secret_values

    def prepare_slowly(values, **named):
        found = prepare(values, **named)
        if threading.current_thread() is not other and other.ident is None:
            other.start()
            # Long enough for the other thread to be done where nothing keeps it waiting.
            other.join(0.5)
        return found

    monkeypatch.setattr(stream, "secret_values", prepare_slowly)
    redactor.add(["first-value"])
    other.join()
    assert whole(redactor, b"first-value second-value\n") == b"*** ***\n"


@pytest.mark.parametrize("secret", ['{"p":"abc\\ud83dxyz"}', 'a: "x\\ud800yz12"\nb: cccc\n'])
def test_a_leaf_that_has_no_bytes_hides_no_other_and_fails_nothing(secret):
    assert whole(Redactor([secret, "another-secret"]), f"{secret} another-secret\n".encode()).endswith(b" ***\n")
    masked = whole(Redactor([secret]), secret.encode())
    assert not any(part in masked for part in (b"abc", b"xyz", b"yz12", b"cccc"))
