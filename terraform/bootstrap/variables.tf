variable "stack" {
  description = "Name of the stack. Every resource's name begins with it, so two stacks can live in one account."
  type        = string
  default     = "iac-ci"

  validation {
    # The longest name made from it is a bucket's, <stack>-internal-<12 digits>-<region>, of at most 63 characters.
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.stack)) && !strcontains(var.stack, "--")
    error_message = "The stack's name has 3 to 22 characters: lower-case letters, digits and single hyphens, a letter first and no hyphen last."
  }

  validation {
    # Its webhook secret would lie among the parameters that the jobs of any other stack may read.
    condition     = var.stack != "jobs"
    error_message = "A stack cannot be called jobs: /iac-ci/jobs/ is where the secrets of jobs lie."
  }
}

variable "region" {
  description = "AWS region of the stack."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region looks like eu-central-1."
  }
}

variable "tags" {
  description = "Tags on every resource, beside iac-ci:stack."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.tags) : !startswith(lower(name), "aws:")])
    error_message = "Tag names that begin with aws: belong to AWS."
  }
}

variable "old_state_days" {
  description = "Days after which replaced versions of a state are removed. The newest version is never removed."
  type        = number
  default     = 365

  validation {
    condition     = var.old_state_days >= 30 && floor(var.old_state_days) == var.old_state_days
    error_message = "Replaced versions of a state are kept for at least 30 whole days."
  }
}
