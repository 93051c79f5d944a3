"""The architecture diagram shows what the stack's files say, loads nothing, and is the one that is committed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from diagram.checkout import PAGE, ROOT, Element, boxes, copy, drawn, parse, replace, rows

STACK = ROOT / "terraform" / "deploy" / "stack"
MARKDOWN = ROOT / "docs" / "architecture-diagram.md"
SVG = "http://www.w3.org/2000/svg"


def stack(name: str) -> dict:
    return json.loads((STACK / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def page() -> Element:
    return parse(PAGE.read_text("utf-8"))


@pytest.fixture(scope="module")
def opened(page):
    return boxes(page)


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "docs.architecture_diagram", *arguments, str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


# ── committed and drawn ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_committed_diagram_is_the_drawn_one():
    now = drawn(ROOT)
    assert PAGE.read_text("utf-8") == now["html"], "run python -m docs.architecture_diagram"
    assert MARKDOWN.read_text("utf-8") == now["markdown"], "run python -m docs.architecture_diagram"


def test_a_changed_time_out_fails_the_check_until_the_diagram_is_drawn_again(tmp_path):
    root = copy(tmp_path)
    assert command(root).returncode == 0
    assert command(root, "--check").returncode == 0
    replace(root, "terraform/deploy/stack/functions.json", '"timeout_seconds": 300', '"timeout_seconds": 240')
    stale = command(root, "--check")
    assert stale.returncode == 1
    assert stale.stderr.splitlines() == [
        f"docs/architecture-diagram.{kind} is out of date: run python -m docs.architecture_diagram"
        for kind in ("html", "md")
    ]
    assert command(root).returncode == 0
    box = boxes(parse((root / "docs" / "architecture-diagram.html").read_text("utf-8")))["resources-init-job"]
    assert rows(box)["Time-out"] == "240 s (4 min)"
    assert box.classed("brief")[0].text == "240 s · 512 MB"
    assert "<i>240 s · 512 MB</i>" in (root / "docs" / "architecture-diagram.md").read_text("utf-8")


F, T, B = (f"terraform/deploy/stack/{name}.json" for name in ("functions", "tables", "buckets"))
CHANGES = [
    # file, before, after, box, row, value
    (F, '"memory_mb": 1024', '"memory_mb": 2048', "resources-worker", "Memory", "2,048 MB, and 4,096 MB in /tmp"),
    (F, '"memory_mb": 1024', '"memory_mb": 2048', "orchestration-workers", "Lambda: memory", "2,048 MB, and"),
    (F, '"memory_mb": 1024', '"memory_mb": 2048', "resources-worker", "Cost", "$0.002 a minute at 2,048 MB"),
    (F, '"ephemeral_storage_mb": 4096', '"ephemeral_storage_mb": 8192',
     "resources-worker", "Memory", "8,192 MB in /tmp"),
    (F, '"maximum_event_age_seconds": 21600', '"maximum_event_age_seconds": 7200', "resources-worker", "Asynchronous",
     "no retries; an event waits 2 h at most"),
    (F, '"maximum_retry_attempts": 0', '"maximum_retry_attempts": 1', "resources-worker", "Asynchronous", "1 retry;"),
    (F, '"timeout_seconds": 60,', '"timeout_seconds": 90,', "resources-watchdog-check", "Time-out", "90 s"),
    (T, '"ttl_attribute": "expires_at"', '"ttl_attribute": "gone_at"',
     "resources-orders", "Time to live", "in gone_at"),
    (T, '"name": "order_num"', '"name": "number"', "resources-orders", "Keys", "partition run_id, sort number"),
    (T, '"order_name-epoch"', '"by_name"', "resources-order-events", "Indexes", "by_name: partition order_name"),
    (B, '"tmp/logs/", "days": 14', '"tmp/logs/", "days": 30', "resources-internal", "Lifecycle",
     "objects expire after 1 day; callbacks and history and files after 14 days; logs after 30 days"),
    (B, '"prefix": "", "days": 1', '"prefix": "", "days": 3', "resources-done", "Lifecycle",
     "objects expire after 3 days"),
    (B, '"prefix": "tmp/callbacks/runs/"', '"prefix": "tmp/back/"', "resources-internal", "Notification", "tmp/back/…"),
    ("terraform/deploy/stack/watchdog.asl.json", '"Seconds": 60', '"Seconds": 45', "resources-watchdog", "Schedule",
     "every 45 s until"),
    ("terraform/deploy/stack/watchdog.asl.json", '"TimeoutSeconds": 100800', '"TimeoutSeconds": 108000',
     "resources-watchdog", "Time-out", "30 h; one check 70 s"),
    ("terraform/deploy/stack/builds.json", '"timeout_minutes": 520', '"timeout_minutes": 600', "resources-build-worker",
     "Time-out", "600 min; 360 min in CodeBuild's queue"),
    ("terraform/deploy/stack/builds.json", "BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_LARGE", "resources-build-worker",
     "Cost", "the price list has no price of it"),
    ("terraform/deploy/stack/api.json", '"integration_timeout_ms": 29000', '"integration_timeout_ms": 20000',
     "resources-api", "Time-out", "20 s"),
    ("terraform/deploy/stack/api.json", '"throttling_burst": 50', '"throttling_burst": 70',
     "resources-api", "Throttling",
     "bursts of 70"),
    ("terraform/deploy/stack/roles.json", "codebuild.amazonaws.com", "ecs.amazonaws.com",
     "resources-iam", "worker-build",
     "trusts ecs.amazonaws.com"),
    ("terraform/deploy/functions.tf", "14 * 24 * 3600", "7 * 24 * 3600",
     "resources-dead-letters", "Retention", "7 days"),
    ("terraform/deploy/variables.tf", "default     = 30", "default     = 60", "resources-logs", "Retention", "60 days"),
    ("terraform/deploy/key.tf", "deletion_window_in_days = 7", "deletion_window_in_days = 30",
     "resources-kms", "Rotation",
     "waits 30 days"),
    ("terraform/deploy/alarms.tf", "    throttles = {", "    slow = {\n    }\n    throttles = {", "resources-alarms",
     "Number", "29"),
    ("terraform/ecr/variables.tf", "default     = 50", "default     = 20",
     "resources-ecr", "Retention", "newest 20 tagged"),
    ("terraform/ecr/repository.tf", "countNumber = 7", "countNumber = 9",
     "resources-ecr", "Retention", "tag for 9 days"),
    ("terraform/bootstrap/variables.tf", "default     = 365", "default     = 100", "resources-state", "Versions",
     "expire after 100 days"),
    ("bench/prices.json", '"kms_key_month": {"price": 1.0', '"kms_key_month": {"price": 2.5', "resources-kms", "Cost",
     "$2.50 a month"),
    ("bench/prices.json", '"step_functions_transition": {"price": 0.025', '"step_functions_transition": {"price": 0.05',
     "resources-watchdog", "Cost", "$0.0002 for a run of less than a minute, $0.00015 for each further minute"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "box", "row", "value"), CHANGES)
def test_a_change_of_what_it_is_drawn_from_changes_the_diagram(tmp_path, name, before, after, box, row, value):
    root = copy(tmp_path)
    was = rows(boxes(drawn(root)["page"])[box])
    replace(root, name, before, after)
    now = rows(boxes(drawn(root)["page"])[box])
    assert value not in was.get(row, "")
    assert value in now[row]


def test_a_changed_policy_changes_the_rights(tmp_path):
    root = copy(tmp_path)
    right = '"lambda:InvokeFunction"'
    replace(root, "terraform/deploy/stack/policies/worker.json", right, f'{right}, "kms:Sign"')
    before, shown = drawn(ROOT)["page"], drawn(root)["page"]
    for box in ("resources-worker", "orchestration-workers"):
        first = [boxes(page)[box].classed("rights")[0].all("li")[0].text for page in (before, shown)]
        assert "Sign" in first[1]
        assert "Sign" not in first[0]


def test_the_measured_cost_is_that_of_the_performance_page(tmp_path):
    root = copy(tmp_path)
    replace(root, "docs/performance.md", "| 0.0451 |", "| 0.2251 |")
    now = drawn(root)
    assert "$0.23" in now["page"].classed("facts")[0].text
    assert "**$0.23** for 1,000 orders" in now["markdown"]


@pytest.mark.parametrize(
    ("name", "key", "like", "group"),
    [
        ("functions.json", "functions", "worker", "orchestration"),
        ("tables.json", "tables", "locks", "storage"),
        ("buckets.json", "buckets", "done", "storage"),
        ("builds.json", "projects", "worker", "execution"),
    ],
)
def test_a_new_part_of_the_stack_gets_a_box(tmp_path, name, key, like, group):
    root = copy(tmp_path)
    path = root / "terraform" / "deploy" / "stack" / name
    document = json.loads(path.read_text("utf-8"))
    document[key]["newcomer"] = document[key][like] | {"description": "Does something new."}
    path.write_text(json.dumps(document), "utf-8")
    now = drawn(root)
    box = boxes(now["page"])["resources-build-newcomer" if key == "projects" else "resources-newcomer"]
    assert f"kind-{group}" in box.attributes["class"].split()
    assert "<stack>-newcomer" in rows(box)["Name"]
    assert "newcomer<br>" in now["markdown"]


def test_a_new_queue_gets_a_box(tmp_path):
    root = copy(tmp_path)
    replace(root, F, '{"queue": "dead-letters"}', '{"queue": "late-letters"}')
    replace(root, "terraform/deploy/functions.tf", 'resource "aws_sqs_queue" "dead_letters" {',
            'resource "aws_sqs_queue" "late_letters" {\n  message_retention_seconds = 2 * 24 * 3600\n}\n\n'
            'resource "aws_sqs_queue" "dead_letters" {')  # fmt: skip
    assert rows(boxes(drawn(root)["page"])["resources-late-letters"])["Retention"] == "2 days"


def test_what_is_not_found_is_an_error_that_names_it(tmp_path):
    root = copy(tmp_path)
    replace(root, "terraform/deploy/key.tf", "deletion_window_in_days = 7", "")
    ended = command(root)
    assert ended.returncode != 0
    assert (
        'terraform/deploy/key.tf: resource "aws_kms_key" "runs" has no number deletion_window_in_days' in ended.stderr
    )


# ── everything is there ──────────────────────────────────────────────────────────────────────────────────────────────


def test_every_function_has_a_box_with_its_numbers_and_rights(opened):
    roles = stack("roles.json")["roles"]
    for name, function in stack("functions.json")["functions"].items():
        box = opened[f"resources-{name}"]
        listed = rows(box)
        assert listed["Time-out"].split()[0] == str(function["timeout_seconds"])
        assert listed["Memory"].startswith(f"{function['memory_mb']:,} MB, and {function['ephemeral_storage_mb']:,} MB")
        assert_rights(box, roles[function["role"]]["policy"])


def test_every_project_table_bucket_and_queue_has_a_box(opened):
    roles = stack("roles.json")["roles"]
    for name, project in stack("builds.json")["projects"].items():
        assert rows(opened[f"resources-build-{name}"])["Time-out"].startswith(f"{project['timeout_minutes']} min")
        assert_rights(opened[f"resources-build-{name}"], roles[project["role"]]["policy"])
    for name, table in stack("tables.json")["tables"].items():
        listed = rows(opened[f"resources-{name}"])
        assert table["hash_key"]["name"] in listed["Keys"]
        assert table["ttl_attribute"] in listed["Time to live"]
    for name, bucket in stack("buckets.json")["buckets"].items():
        shortest = min((rule["days"] for rule in bucket["lifecycle"]), default=None)
        wanted = "permanent" if shortest is None else f"objects expire after {shortest} day"
        assert rows(opened[f"resources-{name}"])["Lifecycle"].startswith(wanted)
    queues = {one["asynchronous"]["on_failure"].get("queue") for one in stack("functions.json")["functions"].values()}
    for name in queues - {None}:
        assert f"resources-{name}" in opened


def test_the_api_and_the_watchdog_have_boxes_with_rights(opened):
    roles = stack("roles.json")["roles"]
    assert_rights(opened["resources-api"], roles[stack("api.json")["role"]]["policy"])
    assert_rights(opened["resources-watchdog"], roles["watchdog-state-machine"]["policy"])


def assert_rights(box: Element, policy: str) -> None:
    (listing,) = box.classed("rights")
    statements = stack(policy)["Statement"]
    assert len(listing.all("li")) == len(statements)
    for shown, statement in zip(listing.all("li"), statements, strict=True):
        for action in statement["Action"]:
            assert re.search(rf"\b{action.split(':')[1]}\b", shown.text), action
        assert ("Condition" in statement) == ("only if" in shown.text)


def test_every_role_and_optional_policy_is_listed(opened):
    listed = rows(opened["resources-iam"])
    assert set(stack("roles.json")["roles"]) <= set(listed)
    used = {role["policy"] for role in stack("roles.json")["roles"].values()}
    for path in (STACK / "policies").glob("*.json"):
        name = f"policies/{path.name}"
        assert name in used or name in listed["Added on request"]


def test_every_script_of_the_pipeline_has_a_box(opened):
    scripts = {path.name for path in (ROOT / "pipelines").iterdir() if path.is_file() and not path.suffix}
    assert {name.removeprefix("pipeline-") for name in opened if name.startswith("pipeline-")} == scripts - {
        "all",
        "mirror",
    }
    (order,) = re.findall(r"for name in ([a-z ]+);", (ROOT / "pipelines" / "all").read_text("utf-8"))
    shown = [name.removeprefix("pipeline-") for name in opened if name.startswith("pipeline-")]
    assert shown == ["pin", *order.split(), "teardown"]


def test_every_box_holds_role_cost_and_source(opened):
    for name, box in opened.items():
        (panel,) = box.classed("panel")
        assert len([one for one in panel.children if isinstance(one, Element) and one.tag == "p"]) == 2, name
        assert any(row.lower().endswith("cost") for row in rows(box)), name
        assert panel.classed("sources")[0].all("a"), name


def test_every_departure_is_marked_where_it_is_and_explained(page, opened):
    numbered = {one.attributes["id"]: one for one in page.classed("departures")[0].all("li")}
    assert list(numbered) == [f"departure-{number}" for number in range(1, len(numbered) + 1)]
    for item in numbered.values():
        assert all(item.classed(name)[0].text for name in ("before", "now", "reason"))
    marked = {
        link.attributes["href"].removeprefix("#")
        for part in page.classed("part")
        if part.attributes["id"] != "departures"
        for link in part.all("a")
        if link.attributes["href"].startswith("#departure-")
    }
    assert marked == set(numbered)
    for box in opened.values():
        assert bool(box.classed("departure")) == bool(box.all("summary")[0].classed("mark"))


# ── one file that loads nothing ──────────────────────────────────────────────────────────────────────────────────────


def test_the_page_loads_nothing(page):
    html = PAGE.read_text("utf-8")
    assert set(re.findall(r"\w+://[^\s\"'<)]+", html)) == {SVG}
    assert not page.all("link") + page.all("img") + page.all("iframe") + page.all("object")
    assert not [one for one in page.all() if {"src", "srcset", "style"} & set(one.attributes)]
    assert not [one for one in page.all() if any(name.startswith("on") for name in one.attributes)]
    (style,), (script,) = page.all("style"), page.all("script")
    assert not re.search(r"url\(|@import|@font-face", style.text)
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|innerHTML|eval\(|sendBeacon", script.text)


def test_the_policy_allows_the_style_and_the_script_and_nothing_else(page):
    (policy,) = (
        one.attributes["content"]
        for one in page.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    digests = {}
    for tag in ("style", "script"):
        (element,) = page.all(tag)
        digests[tag] = base64.b64encode(hashlib.sha256(element.children[0].encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digests['style']}'", f"script-src 'sha256-{digests['script']}'",
        "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip


def test_every_link_leads_to_a_file_of_the_checkout_or_a_place_in_the_page(page):
    ids = {one.attributes["id"] for one in page.all() if "id" in one.attributes}
    for link in [*page.all("a"), *page.all("use")]:
        target = link.attributes["href"]
        if target.startswith("#"):
            assert target[1:] in ids, target
        else:
            assert (PAGE.parent / target).exists(), target


# ── semantics ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ids_are_unique_and_labels_exist(page):
    ids = [one.attributes["id"] for one in page.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for one in page.all():
        if "aria-labelledby" in one.attributes:
            assert one.attributes["aria-labelledby"] in ids


def test_the_page_has_the_five_parts_and_a_language(page):
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert len(page.all("h1")) == 1
    parts = [one.attributes["id"] for one in page.all("section")]
    assert parts == ["overview", "init", "orchestration", "resources", "pipeline", "departures"]
    assert [one.attributes["href"] for one in page.all("nav")[0].all("a")] == [f"#{part}" for part in parts]


def test_boxes_open_without_a_script_one_at_a_time(opened):
    for name, box in opened.items():
        assert box.attributes["name"] == "box", name
        assert "open" not in box.attributes
        assert [one.tag for one in box.children if isinstance(one, Element)] == ["summary", "div"]
        assert box.classed("panel")[0].attributes["role"] == "region"


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────────

KINDS = ("external", "ingress", "storage", "orchestration", "execution", "foundation", "pipeline")
PAIRS = [
    *((text, ground, 4.5) for text in ("ink", "muted", "link") for ground in ("ground", "surface")),
    ("ink", "raised", 4.5), ("muted", "raised", 4.5), ("mark", "mark-tint", 4.5), ("ink", "mark-tint", 4.5),
    ("focus", "ground", 3), ("focus", "surface", 3),
    *((kind, f"{kind}-tint", 4.5) for kind in KINDS), *(("ink", f"{kind}-tint", 4.5) for kind in KINDS),
    *(("muted", f"{kind}-tint", 4.5) for kind in KINDS), *((kind, "surface", 4.5) for kind in KINDS),
    *((kind, "ground", 4.5) for kind in KINDS),
]  # fmt: skip


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(page, scheme):
    style = page.all("style")[0].text
    colours = {
        name: values[scheme == "dark"]
        for name, *values in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", style)
    }
    for text, ground, least in PAIRS:
        lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= least, f"{text} on {ground}"


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_markdown_has_the_parts_of_the_page(page):
    text = MARKDOWN.read_text("utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[1:5] == [one.all("h2")[0].text for one in page.all("section")[1:5]]
    blocks = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert [block.split()[0] for block in blocks] == [
        "flowchart", "sequenceDiagram", "sequenceDiagram", "flowchart", "flowchart",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(5))
def test_mermaid_names_only_what_it_defines(number):
    block = re.findall(r"```mermaid\n(.*?)```", MARKDOWN.read_text("utf-8"), re.DOTALL)[number]
    defined = set(re.findall(r"(box_\w+)\[\"|participant (box_\w+) as", block))
    names = {one for pair in defined for one in pair if one}
    assert set(re.findall(r"\bbox_\w+", block)) == names
    assert block.count("subgraph ") == len(re.findall(r"^    end$", block, re.MULTILINE))
    assert set(re.findall(r":::(\w+)", block)) == set(re.findall(r"classDef (\w+)", block))
    assert not re.findall(r"[;#`]", re.sub(r"^    classDef .*$", "", block, flags=re.MULTILINE))
    assert set(re.findall(r"<[^>]*>", block)) <= {"<br>", "<i>", "</i>"}


@pytest.mark.parametrize("name", ["README.md", "docs/README.md"])
def test_the_readmes_link_it(name):
    text = (ROOT / name).read_text("utf-8")
    for kind in ("md", "html"):
        assert re.search(rf"\]\((docs/)?architecture-diagram\.{kind}\)", text)
