from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.environment import check_environment_name
from iac_ci_common.limits import MAX_OUTPUT_BYTES, MAX_OUTPUTS
from iac_ci_common.order_outputs import MAX_FILE_BYTES, can_be_taken, looks_like_reference, parse_outputs, reference


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ orders.network.vpc_id }}", ("network", "vpc_id")),
        ("{{orders.plan-a_1.X}}", ("plan-a_1", "X")),
        ("{{\torders.0001.x }}", ("0001", "x")),
        ("{{ orders.network.vpc_id }} ", None),
        ("vpc-{{ orders.network.vpc_id }}", None),
        ("{{ orders.network }}", None),
        ("{{ orders.network.vpc-id }}", None),
        ("{{ orders.network.vpc_id.x }}", None),
        ("{{ orders.network.vpc_id }\n}", None),
        ("{{ branch }}", None),
        ("{{.Names}}", None),
    ],
)
def test_a_template_is_one_whole_text(text, found):
    assert reference(text) == found
    assert looks_like_reference(text) is ("orders." in text)


@pytest.mark.parametrize(
    ("data", "values", "problems"),
    [
        (b"", {}, ()),
        (b"a=1\nb=2", {"a": "1", "b": "2"}, ()),
        (b"a=1\r\n\n  \na=2\n", {"a": "2"}, ()),
        (b"a=x=y \tz\n", {"a": "x=y \tz"}, ()),
        (b"a=\n", {"a": ""}, ()),
        (b"a=$(touch pwned)\n", {"a": "$(touch pwned)"}, ()),
        (
            b"export a=1\n",
            {},
            ("line 1 has a name that is not 1 to 64 letters, digits or _, beginning with a letter or _",),
        ),
        (b"hello\na=1\n", {"a": "1"}, ("line 1 is not NAME=value",)),
        (b"a=\xff\nb=2\n", {"b": "2"}, ("line 1 is not UTF-8",)),
        (b"a=\x1b[31m\n", {}, ("line 1 (a) has a value with a control character",)),
        (b"a=x\x00\n", {}, ("line 1 (a) has a value with a control character",)),
        ("a=x\u2028y\n".encode(), {}, ("line 1 (a) has a value with a control character",)),
    ],
)
def test_lines_are_data(data, values, problems):
    assert parse_outputs(data) == (values, problems)


def test_the_limits_are_held_in_their_unit():
    fits, too_long = "é" * (MAX_OUTPUT_BYTES // 2), "é" * (MAX_OUTPUT_BYTES // 2) + "x"
    assert parse_outputs(f"a={fits}\n".encode()).values == {"a": fits}
    assert parse_outputs(f"a={too_long}\n".encode()) == (
        {},
        (f"line 1 (a) has a value of more than {MAX_OUTPUT_BYTES} bytes",),
    )
    written = parse_outputs("".join(f"a{number}=x\n" for number in range(MAX_OUTPUTS + 1)).encode() + b"a0=again\n")
    assert len(written.values) == MAX_OUTPUTS
    assert written.values["a0"] == "again"
    assert written.problems == (
        f"line {MAX_OUTPUTS + 1} is one output more than the {MAX_OUTPUTS} that an order may have",
    )


def test_a_file_without_end_is_cut_at_a_line():
    written = parse_outputs(b"a=1\n" * (MAX_FILE_BYTES // 4 + 1))
    assert written.values == {"a": "1"}
    assert written.problems == (f"the file has more than {MAX_FILE_BYTES} bytes; the rest is left out",)


def test_many_problems_are_counted():
    assert parse_outputs(b"x\n" * 100).problems[-1] == "95 more problems"


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,63}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200),
        max_size=MAX_OUTPUTS,
    )
)
def test_what_is_written_is_what_is_read(values):
    data = "".join(f"{name}={value}\n" for name, value in values.items()).encode()
    assert parse_outputs(data) == (values, ())


@given(st.binary(max_size=2000))
def test_no_bytes_break_the_reader(data):
    values, _ = parse_outputs(data)
    assert all("\n" not in value for value in values.values())


REFUSED = [
    *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "TF_CLI_ARGS", "TF_CLI_ARGS_plan"),
    "TF_CLI_CONFIG_FILE",
    *("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_PROFILE", "IAC_CI_OUTPUT", "GIT_SSH_COMMAND", "PYTHONPATH"),
    "IACCI_SHA",
    *("NODE_OPTIONS", "https_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "TF_PLUGIN_CACHE_DIR", "HOME"),
    "TERRAGRUNT_TFPATH",
    *("PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS", "GCONV_PATH", "EDITOR", "KUBECONFIG", "ANSIBLE_CONFIG", "VAULT_ADDR"),
    *("BASH_FUNC_x", "IFS", "PS4", "DYLD_INSERT_LIBRARIES", "SHELLOPTS", "CODEBUILD_X", "SOPS_AGE_KEY", "TF_LOG_PATH"),
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_settings_of_programs_come_from_no_output(name):
    def settable():
        try:
            return check_environment_name(name) == name
        except ValueError:
            return False

    assert not (settable() and can_be_taken(name))


@pytest.mark.parametrize("name", ["VPC_ID", "TF_VAR_vpc_id", "SUBNETS", "vpc_id", "PATHS", "REGION", "DATABASE_URL"])
def test_data_may_come_from_an_output(name):
    assert can_be_taken(name)
