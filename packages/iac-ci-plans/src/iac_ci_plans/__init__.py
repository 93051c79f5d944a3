"""Reads what Terraform, OpenTofu and Terragrunt print about their plans and applies."""

from iac_ci_plans.commands import runs_a_plan
from iac_ci_plans.reader import MAX_LINE_BYTES, PlanReader, Reading
from iac_ci_plans.shown_plan import ShownPlan, ShownPlanReader

__all__ = ["MAX_LINE_BYTES", "PlanReader", "Reading", "ShownPlan", "ShownPlanReader", "runs_a_plan"]
