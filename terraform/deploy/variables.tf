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

variable "image_uri" {
  description = "The image of every function and of the CodeBuild project, by digest: <repository>@sha256:<64 hex digits>."
  type        = string

  validation {
    condition     = can(regex("^[^@:/]+(:[0-9]+)?/[^@:]+@sha256:[0-9a-f]{64}$", var.image_uri))
    error_message = "The image is named by digest, not by tag, so that what was tested is what runs: <repository>@sha256:<64 hex digits>."
  }
}

variable "architecture" {
  description = "Instruction set that the image was built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Lambda and CodeBuild run x86_64 and arm64."
  }
}

variable "log_level" {
  description = "What the functions write to their logs: DEBUG, INFO, WARNING or ERROR and above."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "The log level is DEBUG, INFO, WARNING or ERROR."
  }
}

variable "log_retention_days" {
  description = "Days that log groups keep their lines."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch Logs keeps lines for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, … days, and never-ending logs are not offered."
  }
}

variable "max_parallel" {
  description = "Most orders of one run that are open at once."
  type        = number
  default     = 100

  validation {
    condition     = var.max_parallel >= 1 && var.max_parallel <= 1000 && floor(var.max_parallel) == var.max_parallel
    error_message = "Between 1 and 1,000 orders of a run are open at once."
  }
}

variable "worker_concurrency" {
  description = "Most orders of all runs together that run in Lambda at once; what is over waits. It is reserved for them, so the account has so much less for others. Null reserves nothing and sets no limit but the account's."
  type        = number
  default     = null

  validation {
    # 0 would let no order ever run.
    condition     = var.worker_concurrency == null || try(var.worker_concurrency >= 1 && floor(var.worker_concurrency) == var.worker_concurrency, false)
    error_message = "At least one order runs at once."
  }
}

variable "build_concurrency" {
  description = "Most orders of all runs together that run in CodeBuild at once; what is over is tried again every minute or so. Null sets no limit but the account's."
  type        = number
  default     = null

  validation {
    condition     = var.build_concurrency == null || try(var.build_concurrency >= 1 && floor(var.build_concurrency) == var.build_concurrency, false)
    error_message = "At least one build runs at once."
  }
}

variable "webhook_secret" {
  description = "Secret that signs jobs, at least 32 characters. Written when the stack is made and when webhook_secret_version rises, otherwise ignored; the state never holds it. Only a destroy goes without it."
  type        = string
  sensitive   = true
  default     = null

  validation {
    condition     = var.webhook_secret == null || try(length(var.webhook_secret) >= 32, false)
    error_message = "The webhook secret has at least 32 characters."
  }
}

variable "webhook_secret_version" {
  description = "Raise it to replace the webhook secret by the one given."
  type        = number
  default     = 1

  validation {
    condition     = var.webhook_secret_version >= 1 && floor(var.webhook_secret_version) == var.webhook_secret_version
    error_message = "Versions of the webhook secret count 1, 2, 3, …"
  }
}

variable "more_webhook_secrets" {
  description = "Further secrets that jobs may be signed with, for more senders and for rotation: names after /iac-ci/<stack>/webhook-secret, such as -next. Their parameters are made by the operator."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for suffix in var.more_webhook_secrets : can(regex("^-[a-z0-9-]{1,40}$", suffix))])
    error_message = "A further webhook secret is named by what follows /iac-ci/<stack>/webhook-secret: a hyphen, then lower-case letters, digits and hyphens."
  }
}

variable "secrets_prefix" {
  description = "Parameters and secrets that jobs may name lie under it (in Secrets Manager without the first slash)."
  type        = string
  default     = "/iac-ci/jobs/"

  validation {
    condition     = can(regex("^/([A-Za-z0-9_.-]+/)+$", var.secrets_prefix))
    error_message = "The prefix begins and ends with a slash and is not the slash alone: jobs must not reach every secret of the account."
  }

  validation {
    condition     = !startswith("/iac-ci/${var.stack}/", var.secrets_prefix) && !startswith(var.secrets_prefix, "/iac-ci/${var.stack}/")
    error_message = "The prefix must not lead to the stack's own parameters: a job could name the webhook secret and sign what it likes."
  }
}

variable "secret_allow_list" {
  description = "Which secrets each job source may name: from source (a repository, or * for any) to patterns under the prefix."
  type        = map(list(string))
  default     = { "*" = ["*"] }

  validation {
    condition     = length(var.secret_allow_list) > 0 && alltrue([for patterns in values(var.secret_allow_list) : length(patterns) > 0])
    error_message = "Each source in the allow-list has at least one pattern; leave a source out to refuse it."
  }
}

variable "connections" {
  description = "Repositories whose code host may start jobs, by address; the secrets that its events are signed with; the token to read and report with; the source that stands for them in secret_allow_list, host/path where none is given; and the branches whose configuration counts, as patterns, all where none are given."
  type = list(object({
    repositories    = list(string)
    webhook_secrets = list(string)
    token_location  = string
    source          = optional(string)
    branches        = optional(list(string))
  }))
  default = []

  validation {
    condition = alltrue([
      for connection in var.connections : length(connection.repositories) > 0 && alltrue([
        for repository in connection.repositories :
        can(regex("^https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9_.~-]+){2,}/?$", repository))
      ])
    ])
    error_message = "Each connection names at least one repository, by its https address: https://host/owner/name."
  }

  validation {
    # Code hosts hold names apart without regard to case, and git takes a name with and without .git.
    condition = length(flatten(var.connections[*].repositories)) == length(distinct([
      for repository in flatten(var.connections[*].repositories) : trimsuffix(trimsuffix(lower(repository), "/"), ".git")
    ]))
    error_message = "A repository stands in one connection only: otherwise nobody could say whose secrets count."
  }

  validation {
    # No secret that signs jobs is among them: a code host that knew it could send any job.
    condition = alltrue([
      for connection in var.connections : length(connection.webhook_secrets) >= 1 && length(connection.webhook_secrets) <= 8 && alltrue([
        for location in connection.webhook_secrets :
        can(regex("^ssm:/iac-ci/${var.stack}/webhook-secret-[A-Za-z0-9_.-]+$", location)) &&
        !contains([for suffix in var.more_webhook_secrets : "ssm:/iac-ci/${var.stack}/webhook-secret${suffix}"], location)
      ])
    ])
    error_message = "Each connection names one to eight webhook secrets, ssm:/iac-ci/<stack>/webhook-secret-<name>, and none of more_webhook_secrets, which sign jobs."
  }

  validation {
    # The orchestrator, which reports, reads nothing else.
    condition = alltrue([
      for connection in var.connections : anytrue([
        for prefix in ["ssm:${var.secrets_prefix}tokens/", "secretsmanager:${trimprefix(var.secrets_prefix, "/")}tokens/"] :
        startswith(connection.token_location, prefix) && length(connection.token_location) > length(prefix)
      ]) && !strcontains(connection.token_location, "..")
    ])
    error_message = "A connection's token lies below tokens/ under secrets_prefix: ssm:/iac-ci/jobs/tokens/<name>, or in Secrets Manager secretsmanager:iac-ci/jobs/tokens/<name>."
  }

  validation {
    condition = alltrue([
      for connection in var.connections :
      connection.source == null || can(regex("^[A-Za-z0-9][A-Za-z0-9_./:-]{0,255}$", connection.source))
    ])
    error_message = "A source's name has at most 256 letters, digits and _ . / : -, the first one a letter or digit."
  }

  validation {
    condition     = length(jsonencode(var.connections)) <= 8192
    error_message = "The connections fit into one parameter, 8,192 characters as JSON: let repositories share a connection."
  }
}

variable "code_hosts" {
  description = "Code hosts whose name does not tell what they are: from host name to the provider (github, gitlab, bitbucket or an installed plug-in's) and, where it does not follow from the name, the root of the API."
  type = map(object({
    kind    = string
    api_url = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for host in keys(var.code_hosts) : can(regex("^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?$", host))])
    error_message = "A code host is named in lower case, without https:// and without a path."
  }

  validation {
    condition     = alltrue([for host in values(var.code_hosts) : can(regex("^[a-z][a-z0-9_-]*$", host.kind))])
    error_message = "A code host's kind is the name of its provider, such as gitlab."
  }

  validation {
    # Tokens travel there.
    condition     = alltrue([for host in values(var.code_hosts) : host.api_url == null || can(regex("^https://[^@?#\\s]+$", host.api_url))])
    error_message = "A code host's API is reached by https, without a user, a query or a fragment."
  }
}

variable "code_buckets" {
  description = "Buckets, by name, that orders may take code from by s3_location."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for bucket in var.code_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "Code buckets are named without s3:// and without a path, and no pattern stands for many."
  }
}

variable "target_role_arns" {
  description = "Roles, also of other accounts, that orders may ask for by assume_role."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.target_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", arn))])
    error_message = "Target roles are named by whole ARNs; no pattern stands for many."
  }
}

variable "secrets_key_arns" {
  description = "Customer keys that the jobs' parameters and secrets are encrypted under, where they are not AWS's own. The tokens of code hosts stay under AWS's own: the orchestrator reads them, and may use no key."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.secrets_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", arn))])
    error_message = "Keys are named by the ARN of the key, not of an alias."
  }
}

variable "kms_key_arn" {
  description = "Key to seal run secrets and encrypt alarms under; null makes one. A key given must let this account's roles use it by IAM and cloudwatch.amazonaws.com use kms:Decrypt and kms:GenerateDataKey*."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "The key is named by the ARN of the key, not of an alias."
  }
}

variable "permissions_boundary_arn" {
  description = "Permission boundary on every role; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "The permission boundary is the ARN of a policy."
  }
}

variable "worker_network" {
  description = "VPC for both kinds of worker; null leaves them outside of any. The subnets need a way to S3 and KMS, and to whatever the commands call."
  type = object({
    vpc_id             = string
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition = var.worker_network == null || try(
      startswith(var.worker_network.vpc_id, "vpc-") &&
      length(var.worker_network.subnet_ids) > 0 && alltrue([for id in var.worker_network.subnet_ids : startswith(id, "subnet-")]) &&
      length(var.worker_network.security_group_ids) > 0 && alltrue([for id in var.worker_network.security_group_ids : startswith(id, "sg-")]),
      false
    )
    error_message = "A network has a vpc-…, at least one subnet-… and at least one sg-…."
  }
}

variable "web_acl_arn" {
  description = "Regional WAFv2 web ACL to put before the webhook; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.web_acl_arn == null || can(regex("^arn:aws[a-z-]*:wafv2:[a-z0-9-]+:[0-9]{12}:regional/webacl/.+$", var.web_acl_arn))
    error_message = "The web ACL is regional and named by ARN."
  }
}

variable "manage_api_gateway_account" {
  description = "Set the role by which API Gateway writes access logs, of which an account has one in each region. False where another stack or team has set it."
  type        = bool
  default     = true
}

variable "alarm_emails" {
  description = "Addresses that alarms are sent to; each must confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "Alarms go to e-mail addresses."
  }
}

variable "destroy_contents" {
  description = "Let `terraform destroy` remove buckets with the objects in them. pipelines/teardown sets it."
  type        = bool
  default     = false
}
