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

variable "kept_images" {
  description = "How many tagged images are kept; older ones are removed. A deployed image must be among them."
  type        = number
  default     = 50

  validation {
    condition     = var.kept_images >= 5 && floor(var.kept_images) == var.kept_images
    error_message = "At least 5 images are kept: a deployed image that is removed stops its functions."
  }
}

variable "destroy_contents" {
  description = "Let `terraform destroy` remove the repository with the images in it. pipelines/teardown sets it."
  type        = bool
  default     = false
}
