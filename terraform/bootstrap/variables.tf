variable "stack" {
  description = "Name of the stack. Every resource's name begins with it, so that one account can have several stacks."
  type        = string
  default     = "iac-ci"
  nullable    = false

  validation {
    # The longest name with it is a bucket's, <stack>-internal-<12 digits>-<region>, of at most 63 characters.
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.stack)) && !strcontains(var.stack, "--")
    error_message = "stack must have 3 to 22 lower-case letters, digits and single hyphens, a letter first and no hyphen last (example: iac-ci)."
  }

  validation {
    # Its webhook secret would be below /iac-ci/jobs/, which the jobs of every stack may read.
    condition     = var.stack != "jobs"
    error_message = "stack must not be \"jobs\": /iac-ci/jobs/ contains the secrets of jobs."
  }
}

variable "region" {
  description = "AWS region of the stack."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2,8}(-[a-z]+)+-[0-9]{1,2}$", var.region))
    error_message = "region must be an AWS region (example: eu-central-1)."
  }

  validation {
    # A bucket's name, <stack>-internal-<12 digits>-<region>, has at most 63 characters.
    condition     = length(var.region) <= 18
    error_message = "region must have at most 18 characters: the names of buckets end with it."
  }

  validation {
    # The project's time-out is 520 minutes (AWS CodeBuild User Guide, "Quotas for AWS CodeBuild").
    condition     = !startswith(var.region, "cn-")
    error_message = "region must not be one in China: CodeBuild ends builds there after 480 minutes, and the longest order needs 520."
  }
}

variable "tags" {
  description = "Tags on every resource, in addition to iac-ci:stack."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.tags) : !startswith(lower(name), "aws:")])
    error_message = "tags must not have names that begin with aws:, which AWS reserves."
  }

  validation {
    # IAM refuses two tags whose names differ only in case.
    condition     = !contains([for name in keys(var.tags) : lower(name)], "iac-ci:stack")
    error_message = "tags must not have iac-ci:stack, which is the stack's own."
  }

  validation {
    # A resource has at most 50 tags, and one is the stack's own. IAM compares their names ignoring case. CodeBuild takes
    # a character less than other services (AWS CodeBuild API Reference, "Tag").
    condition = length(distinct([for name in keys(var.tags) : lower(name)])) == length(var.tags) && length(var.tags) <= 49 && alltrue([
      for name, value in var.tags :
      can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,127}$", name)) && can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{0,255}$", value))
    ])
    error_message = "tags must be at most 49, with names of 1 to 127 and values of at most 255 letters, digits, spaces and _ . : / = + - @, and no two names may differ only in case."
  }
}

variable "old_state_days" {
  description = "Days after which replaced versions of a state are removed. The newest version is never removed."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.old_state_days >= 30 && floor(var.old_state_days) == var.old_state_days
    error_message = "old_state_days must be a whole number of at least 30."
  }
}
