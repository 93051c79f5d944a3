"""The sentences of Terraform and OpenTofu for people, as patterns: pure.

The sources are `internal/command/jsonformat/plan.go` and `internal/command/views/{apply,hook_ui}.go` of
hashicorp/terraform and opentofu/opentofu.
"""

from __future__ import annotations

import re
from typing import Final

PLAN: Final = re.compile(
    rb"Plan: (?:(?P<bring_in>\d{1,7}) to import, )?(?P<add>\d{1,7}) to add, (?P<change>\d{1,7}) to change, "
    rb"(?P<destroy>\d{1,7}) to destroy(?:, (?P<forget>\d{1,7}) to forget)?\."
    rb"(?: Actions: (?P<actions>\d{1,7}) to invoke\.)?"
)
APPLIED: Final = re.compile(
    rb"Apply complete! Resources: (?:(?P<bring_in>\d{1,7}) imported, )?(?P<add>\d{1,7}) added, "
    rb"(?P<change>\d{1,7}) changed, (?P<destroy>\d{1,7}) destroyed(?:, (?P<forget>\d{1,7}) forgotten)?\."
    rb"(?: Actions: (?P<actions>\d{1,7}) invoked\.)?"
)
DESTROYED: Final = re.compile(rb"Destroy complete! Resources: (?P<destroy>\d{1,7}) destroyed\.")
NOTHING: Final = re.compile(rb"No changes\. |No changes, |Your infrastructure matches the configuration")
DEFERRED_ONLY: Final = re.compile(rb"No current changes\. ")
REFRESH_ONLY: Final = re.compile(rb"This is a refresh-only plan")
RAN: Final = re.compile(
    rb"(?:Terraform|OpenTofu) (?:will perform|planned) the following actions|Planning failed\. |"
    rb"An execution plan has been generated"
)
ENDED: Final = re.compile(
    rb"Saved the plan to: |This plan was saved to: |Note: You didn't use the -out option|"
    rb"Note: You didn't specify an \"-out\" parameter"
)
"""Lines that `plan` prints at its end, and `show` and `apply` do not."""

OUTPUT_CHANGES: Final = re.compile(rb"Changes to Outputs:")
OUTPUTS_ONLY: Final = re.compile(rb"You can apply this plan to save these new output values")
"""What stands below the outputs of a plan that changes nothing else, and so has no summary."""

OUTPUT_CHANGE: Final = re.compile(rb"  [-+~] (?P<name>\"[^\"]{1,300}\"|\S{1,300})")
HEREDOC: Final = re.compile(rb"[A-Za-z_][\w-]{0,300} = <<(?P<end>EOT_*)$")
"""An output's value of several lines, which stands at column 0. Terraform chooses an end that the value does not hold
(`internal/repl/format.go`)."""

WARNING: Final = re.compile(rb"(?:\xe2\x94\x82 |\| )?Warning: (?P<text>\S.{0,300})")

_ADDRESS: Final = rb"(?:[^\s\"(:]++|\"(?:[^\"\\]|\\.)*+\")++"
_DEPOSED: Final = rb" \(deposed object [0-9a-f]+\)"

ADDRESS: Final = rb"(?P<address>" + _ADDRESS + rb")(?P<deposed>" + _DEPOSED + rb")?"
"""An address of a resource. Keys of ``for_each`` are quoted, and may hold any words, also of what happens."""

DONE: Final = re.compile(
    ADDRESS + rb": (?:(?P<kind>Creation|Modifications|Destruction) complete after |(?P<import>Import) complete \[)"
)
DONE_AS: Final = {b"Creation": "add", b"Modifications": "change", b"Destruction": "destroy"}

HEADING: Final = re.compile(
    rb" {1,2}# (?P<address>" + _ADDRESS + rb"(?:" + _DEPOSED + rb")?)(?: "
    rb"(?:(?P<create>will be created)|(?P<read>will be read during apply)|(?P<update>will be updated in-place)|"
    rb"(?P<replace>(?:is tainted, so (?:it )?must be replaced|must be replaced|will be replaced))"
    rb"(?P<forgetting>, but the existing object will not be destroyed|.{0,80} - older instance will not be "
    rb"destroyed)?|"
    rb"(?P<delete>will be destroyed)|"
    rb"(?P<forget>will no longer be managed by |will be removed from (?:the )?\w+ state)|"
    rb"(?P<move>has moved to (?P<moved_to>\S.*))|(?P<bring_in>will be imported)|"
    rb"(?P<drift>has changed|has been deleted)|(?P<defer>was deferred)|(?P<invoke>will be invoked)))"
)
"""The line above a resource of a plan. It is indented by one or two spaces; a value is indented by more."""

ACTIONS: Final = (
    "create", "read", "update", "replace", "delete", "forget", "move", "bring_in", "drift", "defer", "invoke",
)  # fmt: skip
MOVED_FROM: Final = re.compile(rb" {1,2}# \(moved from ")
IMPORTED_FROM: Final = re.compile(rb" {1,2}# (?:\(imported from |\(will be imported first\)|imported using )")
