"""Converts ``atlantis.yaml`` into a configuration: pure. What it cannot convert is a remark with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from posixpath import normpath
from typing import TYPE_CHECKING, Any, Final

import yaml

from iac_ci_cli.atlantis_workflows import convert_workflow
from iac_ci_common.globs import check_path_pattern
from iac_ci_common.tool_versions import Version
from iac_ci_common.tree import joined

if TYPE_CHECKING:
    from collections.abc import Collection

    from iac_ci_cli.atlantis_file import Item
    from iac_ci_cli.atlantis_workflows import Converted

_FILES: Final = ("*.tf", "*.tf.json", "*.tofu", "*.tofu.json", "terragrunt.hcl")
"""Files that make a folder a project in Atlantis."""

_GLOB: Final = re.compile(r"[*?\[]")
_REQUIREMENTS: Final = ("approved", "mergeable", "undiverged")
_VERSIONS: Final = {"2", "3"}
_KINDS: Final = {"projects": "list", "workflows": "mapping", "autodiscover": "mapping"}

_TOP: Final = {
    "delete_source_branch_on_merge": "branches are not deleted by the engine",
    "parallel_plan": "plans always run at once; max_parallel of the stack limits them",
    "parallel_apply": "applies run at once unless one depends on another",
    "abort_on_execution_order_fail": "an order that depends on a failed one is always skipped",
    "allowed_regexp_prefixes": "a comment names one project by its name or folder, no expression",
    "emoji_reaction": "the reaction is always two eyes",
    "repo_locks": "no lock is held between plan and apply; Terraform locks the state",
    "silence_pr_comments": "each run has one comment",
}
_PROJECT: Final = {
    "plan_requirements": "nothing asks for it before a plan here",
    "import_requirements": "imports are no part of projects",
    "execution_order_group": "groups are barriers there; write depends_on where one project needs another",
    "delete_source_branch_on_merge": "branches are not deleted by the engine",
    "repo_locking": "no lock is held between plan and apply; Terraform locks the state",
    "repo_locks": "no lock is held between plan and apply; Terraform locks the state",
    "custom_policy_check": "policies are no part of projects; write the check into a workflow",
    "policy_check": "policies are no part of projects; write the check into a workflow",
    "silence_pr_comments": "each run has one comment",
    "autodiscover": "it is set for the whole file",
}
_TOOLS: Final = ("opentofu", "terragrunt")
_READ: Final = {
    "apply_requirements",
    "name",
    "dir",
    "workspace",
    "workflow",
    "autoplan",
    "branch",
    "depends_on",
    "terraform_distribution",
    "terraform_version",
}
_DIGGER: Final = frozenset(
    {
        "allow_draft_prs",
        "auto_merge",
        "delete_prior_comments",
        "dependency_configuration",
        "disable_digger_apply_comment",
        "disable_digger_apply_status_check",
        "generate_projects",
        "respect_layers",
    }
)
_DIGGER_PROJECT: Final = {
    "layer": "layers are barriers; write depends_on where one project needs another",
    "include_patterns": "write watch, with paths from the root",
    "exclude_patterns": "each file below the folder counts here",
    "drift_detection": "projects have no check for drift",
    "workflow_file": "it is a file of another CI",
}
_SERVER: Final = ("repos", "policies", "metrics", "team_authz")


@dataclass(slots=True)
class Conversion:
    """The text of a configuration, and each thing that was not converted as it was, with its line."""

    text: str = ""
    remarks: list[tuple[int, str]] = field(default_factory=list)

    def tell(self, line: int, remark: str) -> None:
        """Enter a remark."""
        if (line, remark) not in self.remarks:
            self.remarks.append((line, remark))

    def tell_once(self, line: int, remark: str) -> None:
        """Enter a remark that holds for further lines too."""
        if all(remark != known for _, known in self.remarks):
            self.remarks.append((line, remark))


def convert(root: Item, folders: Collection[str], files: Collection[str] = ()) -> Conversion:
    """Return the configuration for a file; ``folders`` and ``files`` are those of the checkout, if there is code."""
    made = Conversion()
    _tell_top(root, made)
    projects = root.get("projects")
    listed = [] if projects is None else projects.items()
    workflows = dict(_entries(root.get("workflows")))
    converted = _workflows(listed, workflows, made)
    code = _Code(folders, files)
    folders_by_name = {
        item.text: _folder(directory.text)
        for entry in listed
        if (item := entry.get("name")) is not None and (directory := entry.get("dir")) is not None
    }
    _tell_folders(listed, folders, made)
    rules: list[dict[str, Any]] = []
    for entry in listed:
        rule = _Project(entry, converted, code, folders_by_name, made).rule()
        if rule is not None:
            _tell_double(entry.line, rule, rules, made)
            rules.append(rule)
    # A folder that is named comes before patterns, as in Atlantis.
    rules.sort(key=_is_pattern)
    rules += _discovered(root, has_projects=bool(listed), made=made)
    made.remarks.sort()
    made.text = _text(rules, converted, merges=_merges(root, made))
    return made


def _merges(root: Item, made: Conversion) -> bool:
    """Return whether pull requests are merged when everything is applied."""
    item = root.get("automerge")
    if item is None or not item.is_true:
        return False
    made.tell(
        item.line,
        "automerge became merge_when_applied: the applied commit alone is merged, the token needs the right to merge,"
        " and on Bitbucket it is refused",
    )
    return True


@dataclass(frozen=True, slots=True)
class _Code:
    """The checkout."""

    folders: Collection[str]
    files: Collection[str]


def _is_pattern(rule: dict[str, Any]) -> bool:
    return "find" in rule


def _entries(item: Item | None) -> list[tuple[str, Item]]:
    return [] if item is None else list(item.entries())


def _tell_top(root: Item, made: Conversion) -> None:
    is_digger = any(root.get(name) is not None for name in _DIGGER)
    is_server = any(root.get(name) is not None for name in _SERVER)
    if is_digger:
        made.tell(
            1, "this is a file of Digger, whose projects need a mergeable pull request by default; nothing asks here"
        )
    known = {"version", "projects", "workflows", "autodiscover", "automerge", *_TOP}
    if root.get("version") is None and not (is_digger or is_server):
        made.tell(1, "version is missing: Atlantis refuses the file")
    elif (version := root.get("version")) is not None and not is_digger and version.text not in _VERSIONS:
        made.tell(version.line, f"version {version.text[:20]!a} is refused by Atlantis, which knows 2 and 3")
    _tell_kinds(root, made)
    for name, item in root.entries():
        if name in _TOP:
            made.tell(item.line, f"{name} is not converted: {_TOP[name]}")
        elif name in _SERVER:
            made.tell(item.line, f"{name} is a setting of Atlantis' server; nothing of it is converted")
            _tell_server(name, item, made)
        elif name in _DIGGER:
            made.tell(item.line, f"{name} is a setting of Digger and not converted")
        elif name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            made.tell(item.line, f"{name!a} is unknown to Atlantis, which refuses the file{hint}")


def _tell_kinds(root: Item, made: Conversion) -> None:
    for name, kind in _KINDS.items():
        item = root.get(name)
        if item is not None and not (item.is_list if kind == "list" else item.is_mapping):
            made.tell(item.line, f"{name} is no {kind}: Atlantis refuses the file, and it is left out")


def _tell_server(name: str, item: Item, made: Conversion) -> None:
    """Enter a remark for each setting of the server's file."""
    settings = [entry for one in item.items() for entry in one.entries()] or list(item.entries())
    for key, value in settings:
        hint = "; its output decides what is found, so write projects for it" if key == "pre_workflow_hooks" else ""
        made.tell(value.line, f"{name}: {key} is not converted{hint}")


def _workflows(listed: list[Item], workflows: dict[str, Item], made: Conversion) -> dict[str, Converted]:
    users: dict[str, list[Item]] = {}
    for entry in listed:
        if (named := entry.get("workflow")) is not None:
            users.setdefault(named.text, []).append(entry)
    found: dict[str, Converted] = {}
    for name, workflow in workflows.items():
        if name not in users:
            made.tell(workflow.line, f"the workflow {name} is used by no project of this file and not converted")
            continue
        workspaces = any(
            (item := entry.get("workspace")) is not None and item.text != "default" for entry in users[name]
        )
        tofu = [_distribution(entry) == "opentofu" for entry in users[name]]
        if any(tofu) and not all(tofu):
            made.tell(workflow.line, f"the workflow {name} is used with Terraform and OpenTofu; here it runs Terraform")
        found[name] = convert_workflow(
            workflow,
            name,
            made.tell,
            with_workspace=workspaces,
            program="tofu" if all(tofu) else "terraform",
        )
    return found


def _distribution(entry: Item) -> str:
    item, digger = entry.get("terraform_distribution"), entry.get("opentofu")
    if digger is not None and digger.is_true:
        return "opentofu"
    return "" if item is None else item.text


def _tell_folders(listed: list[Item], folders: Collection[str], made: Conversion) -> None:
    named = [item for entry in listed if (item := entry.get("dir")) is not None and not _GLOB.search(item.text)]
    named = [item for item in named if not _folder(item.text).startswith("..")]
    missing = [item for item in named if _folder(item.text) not in folders]
    if len(missing) == len(named) and missing:
        made.tell(1, "none of the folders is in this checkout, so whether they exist was not checked")
        return
    for item in missing:
        made.tell(item.line, f"the folder {item.text!a} does not exist: remove its project, if it only holds an anchor")


def _folder(text: str) -> str:
    """Return a folder as a path from the repository's root, ``""`` for the root."""
    found = normpath(text.strip("/") or ".")
    return "" if found == "." else found


class _Project:
    """Converts one entry of ``projects``."""

    def __init__(
        self,
        entry: Item,
        converted: dict[str, Converted],
        code: _Code,
        folders_by_name: dict[str, str],
        made: Conversion,
    ) -> None:
        self._entry = entry
        self._converted = converted
        self._code = code
        self._folders_by_name = folders_by_name
        self._made = made
        self._tell = made.tell

    def rule(self) -> dict[str, Any] | None:
        """Return the entry of ``projects``, None for one that Atlantis refuses."""
        directory = self._entry.get("dir")
        if directory is None or not directory.text:
            self._tell(self._entry.line, "an entry of projects has no dir: Atlantis refuses it, and it is left out")
            return None
        folder = _folder(directory.text)
        if folder == ".." or folder.startswith("../"):
            self._tell(directory.line, f"dir {directory.text!a} leads out of the repository, and the entry is left out")
            return None
        if directory.text.startswith("/"):
            self._tell(
                directory.line, f"dir {directory.text!a} is not below the repository's root; taken as {folder!a}"
            )
        is_glob = _GLOB.search(folder) is not None
        rule: dict[str, Any] = (
            {"find": [f"{folder}/{name}" for name in _FILES]} if is_glob else {"folder": folder or "."}
        )
        self._tell_settings(folder)
        rule |= self._tool_and_workflow()
        rule |= self._version(rule)
        rule |= self._workspace(rule)
        rule |= self._autoplan()
        rule |= self._watch(folder)
        rule |= self._depends_on()
        rule |= self._requirements()
        return rule

    def _tell_settings(self, folder: str) -> None:
        for name, item in self._entry.entries():
            if name == "name" and item.text != folder.replace("/", "-"):
                self._tell(
                    item.line, f"the name {item.text!a} is not kept: comments name the folder, {folder or '.'!a}"
                )
            elif name in _PROJECT:
                shown = " (none is asked)" if item.value == [] else ""
                self._tell(item.line, f"{name}{shown} is not converted: {_PROJECT[name]}")
            elif name == "branch":
                whole = item.text.startswith("/^") and item.text.endswith("$/")
                self._tell(
                    item.line,
                    f"branch {item.text!a} is not converted: projects are for all `branches` of the connection, whose"
                    f" patterns match whole names{'' if whole else '; the expression also matches parts of names'}",
                )
            elif name in _DIGGER_PROJECT:
                self._tell(item.line, f"{name} is not converted: {_DIGGER_PROJECT[name]}")
            elif name not in _READ and name not in _TOOLS:
                self._tell(item.line, f"{name!a} of a project is unknown to Atlantis, which refuses the file")

    def _requirements(self) -> dict[str, Any]:
        """Return what must hold before the apply; without a list Atlantis asks for what its server says."""
        item = self._entry.get("apply_requirements")
        if item is None or not isinstance(item.value, list):
            return {}
        names = [one.text for one in item.value]
        for name in names:
            if name not in _REQUIREMENTS:
                self._tell(item.line, f"{name!a} of apply_requirements is not converted: nothing asks for it here")
        # These two hold here unless they are set to false.
        require: dict[str, Any] = {name: False for name in _REQUIREMENTS[1:] if name not in names}
        if "approved" in names:
            require |= {"approved": 1}
            self._tell(item.line, "approved: approvals count here for the newest commit alone, and never the author's")
        return {"apply": {"require": require}} if require else {}

    def _tool_and_workflow(self) -> dict[str, Any]:
        named, distribution = self._entry.get("workflow"), self._entry.get("terraform_distribution")
        found: dict[str, Any] = {}
        if distribution is not None and distribution.text == "opentofu":
            found["tool"] = "opentofu"
        for tool in _TOOLS:
            if (item := self._entry.get(tool)) is not None and item.is_true:
                found["tool"] = tool
        if named is None:
            return found
        if named.text == "default" and "default" not in self._converted:
            # Atlantis' own workflow: init, plan and apply.
            return found
        converted = self._converted.get(named.text)
        if converted is None:
            self._tell(named.line, f"the workflow {named.text!a} is not in this file; the usual commands run instead")
            return found
        return found | {"workflow": named.text} | ({"tool": "terragrunt"} if converted.is_terragrunt else {})

    def _version(self, rule: dict[str, Any]) -> dict[str, Any]:
        item = self._entry.get("terraform_version")
        if item is None:
            return {}
        try:
            version = str(Version.parse(item.text))
        except ValueError as error:
            self._tell(item.line, f"terraform_version {error}; it is not converted")
            return {}
        return {"tools": {"opentofu" if rule.get("tool") == "opentofu" else "terraform": version}}

    def _workspace(self, rule: dict[str, Any]) -> dict[str, Any]:
        item = self._entry.get("workspace")
        if item is None or item.text in {"", "default"}:
            return self._variables("default", self._entry.line, rule)
        if rule.get("tool") == "terragrunt":
            self._tell(
                item.line,
                f"workspace {item.text!a} is not converted: with Terragrunt it only divides Atlantis' clones, and"
                " selecting it would begin an empty state",
            )
            return {}
        return {"workspace": item.text, **self._variables(item.text, item.line, rule)}

    def _variables(self, workspace: str, line: int, rule: dict[str, Any]) -> dict[str, Any]:
        """Return the file of variables that Atlantis reads by itself, if the checkout has it, or else say so."""
        if rule.get("tool") == "terragrunt":
            return {}
        name = f"env/{workspace}.tfvars"
        folder = rule.get("folder")
        if folder is not None and _inside(folder, "") in self._code.folders and self._code.files:
            if _inside(folder, name) not in self._code.files:
                return {}
            if "workflow" not in rule:
                self._tell(line, f"Atlantis reads {name} unasked: it is in var_files")
                return {"var_files": [name]}
            self._tell(line, f"Atlantis reads {name} unasked: add -var-file={name} to the plan of the workflow")
            return {}
        self._made.tell_once(line, f"Atlantis reads {name} of a folder unasked, if there is one; name it in var_files")
        return {}

    def _autoplan(self) -> dict[str, Any]:
        autoplan = self._entry.get("autoplan")
        enabled = None if autoplan is None else autoplan.get("enabled")
        if enabled is None or enabled.is_true:
            return {}
        self._tell(enabled.line, "autoplan is off: only a comment that names the project plans it")
        return {"autoplan": False}

    def _watch(self, folder: str) -> dict[str, Any]:
        autoplan = self._entry.get("autoplan")
        if autoplan is None:
            return {}
        patterns = autoplan.get("when_modified")
        watched: list[str] = []
        for item in [] if patterns is None else patterns.items():
            path = joined(folder, item.text)
            if item.text.startswith("!"):
                self._tell(item.line, f"{item.text!a} is not converted: each file below the folder counts here")
            elif path is None or not _is_pattern_here(path):
                self._tell(
                    item.line, f"{item.text!a} is not converted: it leads out of the repository, or is no pattern here"
                )
            elif folder and (path.startswith(f"{folder}/") or path == folder):
                if folder in normpath(item.text) and not item.text.startswith(".."):
                    self._tell(item.line, f"{item.text!a} means {path!a} there; write watch if the root's was meant")
            elif folder:
                watched += _watched(path)
        if patterns is not None:
            self._tell(patterns.line, "when_modified: each file below the folder counts here, and each module it calls")
        return {"watch": watched} if watched else {}

    def _depends_on(self) -> dict[str, Any]:
        item = self._entry.get("depends_on")
        found: list[str] = []
        for name in [] if item is None else item.items():
            if name.text in self._folders_by_name:
                found.append(self._folders_by_name[name.text] or ".")
            else:
                self._tell(name.line, f"depends_on {name.text!a} names no project of this file")
        return {"depends_on": found} if found else {}


def _inside(folder: str, name: str) -> str:
    """Return a path in a project's folder from the root."""
    return (name if folder == "." else f"{folder}/{name}").rstrip("/")


def _watched(path: str) -> list[str]:
    """Return patterns for one of Atlantis', which also matches everything below a folder that it matches."""
    last = path.rpartition("/")[2]
    if last == "*":
        return [f"{path}*"]
    return [path] if last == "**" or "." in last else [path, f"{path}/**"]


def _is_pattern_here(path: str) -> bool:
    try:
        check_path_pattern(path)
    except ValueError:
        return False
    return True


def _discovered(root: Item, *, has_projects: bool, made: Conversion) -> list[dict[str, Any]]:
    item = root.get("autodiscover")
    mode = "auto" if item is None or item.get("mode") is None else item.get("mode").text  # type: ignore[union-attr]
    if mode == "disabled" or (mode == "auto" and has_projects):
        return []
    line = 1 if item is None else item.line
    if any(root.get(name) is not None for name in _SERVER) and not has_projects:
        return []
    ignored = None if item is None else item.get("ignore_paths")
    patterns = ["!modules/**", "!**/modules/**"]
    patterns += [
        f"!{path.text}" for path in ([] if ignored is None else ignored.items()) if _is_pattern_here(path.text)
    ]
    made.tell(
        line,
        "autodiscover finds folders of changed files there; here each folder with configuration is a project, but not"
        " below modules: narrow find to those that have a backend",
    )
    return [{"find": [*(f"**/{name}" for name in _FILES), *dict.fromkeys(patterns)]}]


def _text(rules: list[dict[str, Any]], converted: dict[str, Converted], *, merges: bool) -> str:
    if not rules:
        return ""
    used = {rule["workflow"] for rule in rules if "workflow" in rule}
    content: dict[str, Any] = {"version": 1, **({"merge_when_applied": True} if merges else {}), "projects": rules}
    workflows = {
        name: {
            "plan": list(workflow.plan),
            "apply": list(workflow.apply),
            **({} if workflow.saves_plan else {"saves_plan": False}),
        }
        for name, workflow in converted.items()
        if name in used
    }
    if workflows:
        content["workflows"] = workflows
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as people do."""


def _represented(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represented)


def _tell_double(line: int, rule: dict[str, Any], before: list[dict[str, Any]], made: Conversion) -> None:
    """Enter a remark for a project of a folder and workspace that one before it has too: here the first one counts."""
    folder, workspace = rule.get("folder"), rule.get("workspace")
    if folder is not None and any(
        (other.get("folder"), other.get("workspace")) == (folder, workspace) for other in before
    ):
        made.tell(
            line,
            f"the folder {folder!a} with the workspace {workspace or 'default'} is named before; that entry counts",
        )


__all__ = ["Conversion", "convert"]
