"""Finds the Terraform, OpenTofu and Terragrunt projects of a commit and what each of them reads: pure.

``files_to_read`` chooses the files whose content is needed, ``find_projects`` returns the projects.
"""

from iac_ci_projects.circles import without_circles
from iac_ci_projects.discovery import MAX_PROJECTS, TooManyProjects, files_to_read, find_projects
from iac_ci_projects.found import Found, FoundProject
from iac_ci_projects.proposal import Proposal, propose
from iac_ci_projects.rules import Rule, Tool
from iac_ci_projects.terraform_files import MAX_FILE_BYTES

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PROJECTS",
    "Found",
    "FoundProject",
    "Proposal",
    "Rule",
    "TooManyProjects",
    "Tool",
    "files_to_read",
    "find_projects",
    "propose",
    "without_circles",
]
