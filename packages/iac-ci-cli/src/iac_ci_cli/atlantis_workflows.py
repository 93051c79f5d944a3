"""Converts Atlantis' workflows into commands: pure. What cannot be converted is a remark with its line."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_cli.atlantis_file import Item

    Tell = Callable[[int, str], None]

_PLAN_FILE: Final = 'export PLANFILE="$PWD/$PLANFILE"'
_OWN_PLAN_FILE: Final = re.compile(r"(?=.*PLANFILE)(?=.*(?:\bterragrunt\b|\bcd\b|\bpushd\b|-chdir\b))", re.DOTALL)
"""Commands whose Terraform runs in another folder."""

_FLAG: Final = re.compile(r"--?[\w-]+")
_FLAG_AND_MORE: Final = re.compile(r"(--?[\w-]+)\s+(.+)", re.DOTALL)
_QUOTED_VALUE: Final = re.compile(r"(?:(--?[\w-]+)=)?(?:\"([^\"]*)\"|'([^']*)')")
_STAGES: Final = {"plan", "apply"}
_VARIABLE: Final = re.compile(r"\$\{?([A-Z][A-Z0-9_]*)")
_KNOWN: Final = {"PLANFILE", "WORKSPACE", "PROJECT_NAME", "HOME", "PWD", "PATH", "TMPDIR"}
_OTHER_NAMES: Final = {
    "PULL_NUM": "IACCI_PR_NUMBER",
    "HEAD_COMMIT": "IACCI_SHA",
    "USER_NAME": "IACCI_ACTOR",
    "BASE_BRANCH_NAME": "IACCI_BASE_BRANCH",
    "HEAD_BRANCH_NAME": "IACCI_BRANCH",
}
_ATLANTIS: Final = re.compile(
    r"(ATLANTIS_|BASE_|HEAD_|PULL_|REPO_|SHOWFILE$|POLICYCHECKFILE$|USER_NAME$|COMMENT_ARGS$|COMMAND_NAME$|DIR$)"
)
_VALUES_OF_PLANS: Final = re.compile(r"-?-(var|var-file)(=|$)")
_VALUE_FLAG: Final = re.compile(r"-?-(var|var-file)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Converted:
    """The commands of a workflow. ``is_terragrunt`` says that they call Terragrunt."""

    plan: tuple[str, ...]
    apply: tuple[str, ...]
    saves_plan: bool
    is_terragrunt: bool


def convert_workflow(
    workflow: Item, name: str, tell: Tell, *, with_workspace: bool, program: str = "terraform"
) -> Converted:
    """Return the commands of a workflow.

    ``with_workspace`` says that a project uses it with a workspace; ``program`` is what its built-in steps run.
    """
    stages: dict[str, list[str]] = {}
    for stage, item in workflow.entries():
        if stage in _STAGES:
            made = _Stage(stage, tell, with_workspace, program)
            if item.value is not None and item.get("steps") is None:
                tell(item.line, f"the stage {stage} of the workflow {name} has no steps: Atlantis refuses it")
            stages[stage] = made.commands(item.get("steps"))
            if not stages[stage]:
                tell(item.line, f"no step of the stage {stage} of the workflow {name} is converted; the usual ones run")
        else:
            tell(item.line, f"the stage {stage} of the workflow {name} is not converted; write a job for it")
    if not workflow.is_mapping:
        tell(workflow.line, f"the workflow {name} is no mapping: Atlantis refuses it, and the usual commands run")
    plan = stages.get("plan") or _Stage("plan", tell, with_workspace, program).usual()
    apply = stages.get("apply") or _Stage("apply", tell, with_workspace, program).usual()
    saves = any("PLANFILE" in command for command in plan)
    if not saves:
        tell(workflow.line, f"the workflow {name} writes no plan file, so what is applied is not what was planned")
    text = "\n".join((*plan, *apply))
    return Converted(tuple(plan), tuple(apply), saves, re.search(r"\bterragrunt\b", text) is not None)


class _Stage:
    def __init__(self, stage: str, tell: Tell, with_workspace: bool, program: str) -> None:
        self._program = program
        self._after_flag = self._after_plan_value = False
        self._stage = stage
        self._tell = tell
        self._with_workspace = with_workspace
        self._is_script = False

    def usual(self) -> list[str]:
        """Return the commands of a stage that names none."""
        return [*self._init([]), self._run([])]

    def commands(self, steps: Item | None) -> list[str]:
        """Return the commands of the steps; one script where a step sets a variable for those after it."""
        if steps is None or not isinstance(steps.value, list):
            return self.usual()
        commands = [command for step in steps.value for command in self._step(step)]
        if self._is_script:
            # Atlantis' PLANFILE is a whole path, which Terragrunt needs: it runs Terraform in another folder.
            absolute = [_PLAN_FILE] if any("PLANFILE" in command for command in commands) else []
            return ["\n".join(["set -e", *absolute, *commands])]
        return [f"{_PLAN_FILE}\n{one}" if _OWN_PLAN_FILE.search(one) else one for one in commands]

    def _step(self, step: Item) -> list[str]:
        if step.text:
            return self._built_in(step.text, step, [])
        found: list[str] = []
        for kind, value in step.entries():
            if kind == "run":
                found += self._own(value)
            elif kind == "env":
                found += self._variable(value)
            elif kind == "multienv":
                self._tell(value.line, "multienv is not converted: source a script that exports the variables instead")
            else:
                extra = value.get("extra_args")
                found += self._built_in(kind, value, [] if extra is None else extra.items())
        return found

    def _built_in(self, kind: str, step: Item, extra: list[Item]) -> list[str]:
        self._after_flag = self._after_plan_value = False
        arguments = [text for item in extra for text in self._argument(item)]
        if kind == "init":
            return self._init(arguments)
        if kind == self._stage:
            return [self._run(arguments)]
        self._tell(step.line, f"the step {kind} is not converted: write its command as a step of the workflow")
        return []

    def _init(self, arguments: list[str]) -> list[str]:
        commands = [" ".join([f"{self._program} init -input=false -no-color", *arguments])]
        if self._with_workspace:
            commands.append(f'{self._program} workspace select -or-create=true "$WORKSPACE"')
        return commands

    def _run(self, arguments: list[str]) -> str:
        if self._stage == "plan":
            return " ".join([f'{self._program} plan -input=false -no-color -out="$PLANFILE"', *arguments])
        return " ".join([f"{self._program} apply -input=false -no-color", *arguments, '"$PLANFILE"'])

    def _argument(self, item: Item) -> list[str]:
        """Return one entry of ``extra_args`` as arguments of a shell, which still replaces variables."""
        text = item.text
        if "{{" in text:
            self._tell(item.line, f"{text!a}: nobody replaces {{{{…}}}} in arguments, in Atlantis neither")
        if re.search(r"role_arn|assume_role", text):
            self._tell(item.line, f"{text!a} chooses credentials: consider role: {{plan: …, apply: …}} of the project")
        parts = self._divided(item)
        if self._stage == "apply" and self._is_of_plans(parts, item):
            return []
        return [_quoted(part) for part in parts]

    def _divided(self, item: Item) -> list[str]:
        """Return one entry as Atlantis up to 0.47.0 meant it, whose shell divided a flag from its value.

        An entry that is the value of the flag before it, and one whose quotes are inside of the value, are one argument
        in every version.
        """
        text = item.text
        follows_flag, self._after_flag = self._after_flag, _FLAG.fullmatch(text) is not None
        if follows_flag and not text.startswith("-"):
            return [text]
        quoted = _QUOTED_VALUE.fullmatch(text)
        if quoted is not None:
            self._tell(item.line, f"{text!a}: its quotes are part of the value in Atlantis since 0.47.1; left out here")
            value = quoted[2] if quoted[2] is not None else quoted[3]
            return [value if quoted[1] is None else f"{quoted[1]}={value}"]
        if _FLAG_AND_MORE.fullmatch(text) is None:
            return [text]
        self._tell(item.line, f"{text!a} is one argument in Atlantis since 0.47.1; it is divided as a shell would")
        try:
            return shlex.split(text)
        except ValueError:
            return [text]

    def _is_of_plans(self, parts: list[str], item: Item) -> bool:
        follows, self._after_plan_value = self._after_plan_value, _VALUE_FLAG.fullmatch(parts[-1]) is not None
        named = follows or any(_VALUES_OF_PLANS.match(part) for part in parts)
        if named or (len(parts) == 1 and item.text.endswith((".tfvars", ".tfvars.json"))):
            self._tell(item.line, f"{item.text!a} is left out of the apply: the plan holds the values")
            return True
        return False

    def _own(self, value: Item) -> list[str]:
        command = value.text or ("" if value.get("command") is None else value.get("command").text)  # type: ignore[union-attr]
        for option, item in value.entries():
            if option in {"output", "shell", "shellArgs"}:
                self._tell(
                    item.line, f"{option} of a run step is not converted: commands run in bash and show all output"
                )
        if not command.strip():
            self._tell(value.line, "the run step has no command")
            return []
        self._tell_variables(command, value.line)
        command = command.rstrip("\n")
        return [command]

    def _variable(self, value: Item) -> list[str]:
        name, text, command = (value.get(field) for field in ("name", "value", "command"))
        if name is None or _NAME.fullmatch(name.text) is None:
            self._tell(value.line, "the env step has no name that a shell knows")
            return []
        self._is_script = True
        if command is not None:
            self._tell_variables(command.text, command.line)
            return [f'{name.text}="$({command.text})"', f"export {name.text}"]
        # Atlantis takes a value as it is; no shell reads it.
        return [f"export {name.text}={shlex.quote('' if text is None else text.text)}"]

    def _tell_variables(self, command: str, line: int) -> None:
        for name in dict.fromkeys(_VARIABLE.findall(command)):
            if name in _OTHER_NAMES:
                self._tell(line, f"${name} is called ${_OTHER_NAMES[name]} here")
            elif name not in _KNOWN and _ATLANTIS.match(name):
                self._tell(line, f"${name} is a variable of Atlantis that commands do not have here")


def _quoted(text: str) -> str:
    """Return an argument for a shell, in which variables are replaced and nothing else."""
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", text) and "$" not in text:
        return text
    escaped = re.sub(r'([\\"`]|\$(?![A-Za-z_{]))', r"\\\1", text)
    return f'"{escaped}"'


__all__ = ["Converted", "convert_workflow"]
