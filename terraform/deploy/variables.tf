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

variable "image_uri" {
  description = "The image of every function and of the CodeBuild project, by digest: <repository>@sha256:<64 hex digits>."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^@:/]+(:[0-9]+)?/[^@:]+@sha256:[0-9a-f]{64}$", var.image_uri)) && length(var.image_uri) <= 400
    error_message = "image_uri must name the image by digest, not by tag, so that the tested image runs: <repository>@sha256:<64 hex digits>, at most 400 characters."
  }
}

variable "architecture" {
  description = "Instruction set that the image was built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"
  nullable    = false

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "log_level" {
  description = "Lowest level that the functions log: DEBUG, INFO or WARNING. The alarm for stuck runs counts warnings."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING"], var.log_level)
    error_message = "log_level must be DEBUG, INFO or WARNING: with ERROR, the alarm for stuck runs would see nothing."
  }
}

variable "log_retention_days" {
  description = "Retention of the log groups, in days."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a period that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "log_days" {
  description = "How long the results and logs of orders are kept, in days; a short log is in its result."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = var.log_days >= 1 && var.log_days <= 3650 && floor(var.log_days) == var.log_days
    error_message = "log_days must be a whole number from 1 to 3,650."
  }
}

variable "plan_days" {
  description = "How long the sealed files of orders are kept, in days: saved plans, and what failed orders leave."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = var.plan_days >= 1 && var.plan_days <= 365 && floor(var.plan_days) == var.plan_days
    error_message = "plan_days must be a whole number from 1 to 365."
  }
}

variable "dashboard" {
  description = "Have the functions write metrics, and show them on a CloudWatch dashboard; docs/operations.md describes it. Seven metrics and, after the first three of an account, the dashboard are billed each month."
  type        = bool
  default     = false
  nullable    = false
}

variable "max_parallel" {
  description = "Maximum number of open orders of one run."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.max_parallel >= 1 && var.max_parallel <= 1000 && floor(var.max_parallel) == var.max_parallel
    error_message = "max_parallel must be a whole number from 1 to 1,000."
  }
}

variable "worker_concurrency" {
  description = "Maximum number of orders of all runs that run in Lambda at once; further orders wait. This concurrency is reserved, so other functions of the account have that much less. Null reserves nothing; the account's limit applies."
  type        = number
  default     = null

  validation {
    # With 0, no order could run.
    condition     = var.worker_concurrency == null || try(var.worker_concurrency >= 1 && floor(var.worker_concurrency) == var.worker_concurrency, false)
    error_message = "worker_concurrency must be null or a whole number of at least 1."
  }
}

variable "page_concurrency" {
  description = "Maximum number of requests for pages of runs that are answered at once; further ones are answered with 500 until one is free. This concurrency is reserved, so other functions of the account have that much less. Null reserves nothing; the throttle of the route applies. 0 switches the pages off."
  type        = number
  default     = null

  validation {
    condition     = var.page_concurrency == null || try(var.page_concurrency >= 0 && floor(var.page_concurrency) == var.page_concurrency, false)
    error_message = "page_concurrency must be null or a whole number of at least 0."
  }
}

variable "build_concurrency" {
  description = "Maximum number of orders of all runs that run in CodeBuild at once; further orders are retried about every minute. Null: the account's limit applies."
  type        = number
  default     = null

  validation {
    condition     = var.build_concurrency == null || try(var.build_concurrency >= 1 && floor(var.build_concurrency) == var.build_concurrency, false)
    error_message = "build_concurrency must be null or a whole number of at least 1."
  }
}

variable "worker_memory_mb" {
  description = "Memory of the Lambda worker in MB, for all orders that run there; its processor grows with it. Null: as in stack/functions.json (1,024)."
  type        = number
  default     = null

  validation {
    condition     = var.worker_memory_mb == null || try(var.worker_memory_mb >= 512 && var.worker_memory_mb <= 10240 && floor(var.worker_memory_mb) == var.worker_memory_mb, false)
    error_message = "worker_memory_mb must be null or a whole number from 512 to 10,240."
  }
}

variable "worker_storage_mb" {
  description = "Size of /tmp of the Lambda worker in MB, for all orders that run there. Null: as in stack/functions.json (4,096)."
  type        = number
  default     = null

  validation {
    # A package's code may have two gibibytes unpacked.
    condition     = var.worker_storage_mb == null || try(var.worker_storage_mb >= 2560 && var.worker_storage_mb <= 10240 && floor(var.worker_storage_mb) == var.worker_storage_mb, false)
    error_message = "worker_storage_mb must be null or a whole number from 2,560 to 10,240."
  }
}

variable "build_compute_type" {
  description = "Machine of the builds of orders that name no size, a CodeBuild compute type. Null: as in stack/builds.json (BUILD_GENERAL1_SMALL)."
  type        = string
  default     = null

  validation {
    condition     = var.build_compute_type == null || can(regex("^BUILD_GENERAL1_(SMALL|MEDIUM|LARGE|XLARGE|2XLARGE)$", var.build_compute_type))
    error_message = "build_compute_type must be null or BUILD_GENERAL1_ with SMALL, MEDIUM, LARGE, XLARGE or 2XLARGE."
  }
}

variable "build_image_uri" {
  description = "The image of builds, by digest, if it is not image_uri: one that is made FROM image_uri and has more tools. Null: image_uri."
  type        = string
  default     = null

  validation {
    condition     = var.build_image_uri == null || try(can(regex("^[^@:/]+(:[0-9]+)?/[^@:]+@sha256:[0-9a-f]{64}$", var.build_image_uri)) && length(var.build_image_uri) <= 400, false)
    error_message = "build_image_uri must be null or name the image by digest, not by tag: <repository>@sha256:<64 hex digits>, at most 400 characters."
  }
}

variable "order_sizes" {
  description = "Sizes that orders may name, each with the CodeBuild compute type of its builds, like { large = \"BUILD_GENERAL1_LARGE\" }. Orders that name one run on CodeBuild."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = length(var.order_sizes) <= 10 && alltrue([
      for name, machine in var.order_sizes :
      can(regex("^[a-z0-9][a-z0-9-]{0,31}$", name)) && can(regex("^BUILD_GENERAL1_(SMALL|MEDIUM|LARGE|XLARGE|2XLARGE)$", machine))
    ])
    error_message = "order_sizes must be at most 10 names of 1 to 32 lowercase letters, digits and hyphens (no hyphen first), each with BUILD_GENERAL1_ and SMALL, MEDIUM, LARGE, XLARGE or 2XLARGE."
  }
}

variable "tool_sources" {
  description = "Mirrors of terraform, opentofu and terragrunt, in place of their publishers: address (https) of a copy of the publisher's files with index.json and key.asc, and fingerprint of the key that signed the checksums (null: the publisher's). Terragrunt needs one, since its publisher names no fingerprint."
  type        = map(object({ address = string, fingerprint = optional(string) }))
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for tool, source in var.tool_sources :
      contains(["terraform", "opentofu", "terragrunt"], tool) && can(regex("^https://[^\\s?#]{1,256}$", source.address)) &&
      (source.fingerprint == null || can(regex("^[0-9A-F]{40}$", source.fingerprint)))
    ]) && length(jsonencode(var.tool_sources)) <= 512
    error_message = "tool_sources may name terraform, opentofu and terragrunt, each with an https address and, as fingerprint, null or 40 hexadecimal digits in upper case; at most 512 bytes as JSON."
  }
}

variable "provider_mirror" {
  description = "URL of a network mirror, as pipelines/mirror fills one, that Terraform and OpenTofu in orders install providers from: https, with a slash at its end. Orders then ask no registry. Null: the registries."
  type        = string
  default     = null

  validation {
    condition     = var.provider_mirror == null || can(regex("^https://[^\\s\"{}$%]{1,512}/$", var.provider_mirror))
    error_message = "provider_mirror must be null or an https URL with a slash at its end, without spaces, quotes, braces, $ and %."
  }
}

variable "webhook_secret" {
  description = "Secret that signs jobs, at least 32 characters. Written when the stack is created and when webhook_secret_version is raised, otherwise ignored; never in the state. Only a destroy does not need it."
  type        = string
  sensitive   = true
  default     = null

  validation {
    # A parameter of the standard tier holds 4,096 bytes; base64 makes four characters of three bytes. Parameter Store
    # refuses {{}} in a value (AWS Systems Manager User Guide, "Parameter Store reference").
    condition     = var.webhook_secret == null || try(length(var.webhook_secret) >= 32 && length(base64encode(var.webhook_secret)) <= 5464 && !can(regex("(?s){{.*}}", var.webhook_secret)), false)
    error_message = "webhook_secret must have at least 32 characters and at most 4,096 bytes, without {{ before }}, which Parameter Store takes for a reference."
  }
}

variable "page_key" {
  description = "Key that signs links to pages of runs, at least 32 characters. Written when the stack is created and when page_key_version is raised, otherwise ignored; never in the state. Without it there are no links and no page opens."
  type        = string
  sensitive   = true
  default     = null

  validation {
    condition     = var.page_key == null || try(length(var.page_key) >= 32 && length(base64encode(var.page_key)) <= 5464 && !can(regex("(?s){{.*}}", var.page_key)), false)
    error_message = "page_key must have at least 32 characters and at most 4,096 bytes, without {{ before }}, which Parameter Store takes for a reference."
  }
}

variable "page_key_version" {
  description = "Raise it to replace the page key with page_key: every link and every open page ends."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.page_key_version >= 1 && floor(var.page_key_version) == var.page_key_version
    error_message = "page_key_version must be a whole number of at least 1."
  }
}

variable "webhook_secret_version" {
  description = "Raise it to replace the webhook secret with webhook_secret."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.webhook_secret_version >= 1 && floor(var.webhook_secret_version) == var.webhook_secret_version
    error_message = "webhook_secret_version must be a whole number of at least 1."
  }
}

variable "more_webhook_secrets" {
  description = "Further secrets that may sign jobs, for more senders and for rotation: suffixes of /iac-ci/<stack>/webhook-secret, such as -next. The operator creates their parameters."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for suffix in var.more_webhook_secrets : can(regex("^-[a-z0-9-]{1,40}$", suffix))])
    error_message = "more_webhook_secrets must contain suffixes of /iac-ci/<stack>/webhook-secret: a hyphen, then 1 to 40 lower-case letters, digits and hyphens (example: -next)."
  }

  validation {
    # All variables of a function together have at most 4,096 bytes as JSON.
    condition     = length(var.more_webhook_secrets) <= 10
    error_message = "more_webhook_secrets must be at most 10: their locations are in a function's environment."
  }
}

variable "secrets_prefix" {
  description = "Prefix of the parameters and secrets that jobs may use (in Secrets Manager without the first slash)."
  type        = string
  default     = "/iac-ci/jobs/"
  nullable    = false

  validation {
    # Parameter Store allows 15 levels in a name, and a job's secret needs some below the prefix.
    condition     = can(regex("^/([A-Za-z0-9_.-]+/){1,10}$", var.secrets_prefix)) && length(var.secrets_prefix) <= 200
    error_message = "secrets_prefix must begin and end with a slash, must have at most 10 levels and 200 characters, and must not be / alone: jobs must not read every secret of the account."
  }

  validation {
    condition     = !can(regex("^/(aws|ssm)", lower(var.secrets_prefix)))
    error_message = "secrets_prefix must not begin with aws or ssm, which Parameter Store reserves."
  }

  validation {
    condition     = !startswith("/iac-ci/${var.stack}/", var.secrets_prefix) && !startswith(var.secrets_prefix, "/iac-ci/${var.stack}/")
    error_message = "secrets_prefix must not include the stack's own parameters: a job could read the webhook secret and sign other jobs."
  }
}

variable "secret_allow_list" {
  description = "The secrets that the jobs of each source may use, beside those below secrets_prefix in the source's own folder: maps a source (a repository as host/path, api, or * for any source without an entry of its own) to patterns below secrets_prefix, in which * does not match a slash and ** does."
  type        = map(list(string))
  default     = {}
  nullable    = false

  validation {
    # Another spelling would not be the source's own entry, and * would apply to it.
    condition = alltrue([
      for source in keys(var.secret_allow_list) : source == "*" || (
        can(regex("^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9_.~-]+){2,}$", source)) && !endswith(source, ".git") ||
        contains(concat(["api"], [for connection in var.connections : connection.source == null ? "" : connection.source]), source)
      )
    ])
    error_message = "secret_allow_list: a source is api, *, a repository as host/path in lower case without .git, or the source of a connection."
  }

  validation {
    # The language of .iac-ci.yml, without its sets and escapes, which no name of a secret needs.
    condition = alltrue([
      for pattern in flatten(values(var.secret_allow_list)) :
      can(regex("^!?(\\*\\*|\\*?([A-Za-z0-9_+=,.@:?-]+\\*?)+|\\*)(/(\\*\\*|\\*?([A-Za-z0-9_+=,.@:?-]+\\*?)+|\\*))*$", pattern))
    ])
    error_message = "secret_allow_list: a pattern has letters, digits, _ + = , . @ : - and the characters / * ? and ! (first) of patterns; ** must be alone between slashes, as in network/**."
  }

  validation {
    # The last pattern that matches decides.
    condition     = alltrue([for patterns in values(var.secret_allow_list) : !startswith(try(patterns[0], ""), "!")])
    error_message = "secret_allow_list: a list must not begin with an exclusion (!), which excludes nothing there; put it after the patterns that include."
  }
}

variable "role_allow_list" {
  description = "The target roles that the jobs of each source may use: maps a source (a repository as host/path, api, or * for any source without an entry of its own) to ARNs, or patterns of ARNs, of target_role_arns. Null: every source may use every role of target_role_arns, in this version only."
  type        = map(list(string))
  default     = null

  validation {
    condition = var.role_allow_list == null ? true : alltrue([
      for source in keys(var.role_allow_list) : source == "*" || (
        can(regex("^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9_.~-]+){2,}$", source)) && !endswith(source, ".git") ||
        contains(concat(["api"], [for connection in var.connections : connection.source == null ? "" : connection.source]), source)
      )
    ])
    error_message = "role_allow_list: a source is api, *, a repository as host/path in lower case without .git, or the source of a connection."
  }

  validation {
    # The language of .iac-ci.yml, without its sets and escapes, which no name of a role needs.
    condition = alltrue([
      for pattern in flatten(values(var.role_allow_list == null ? {} : var.role_allow_list)) :
      can(regex("^!?(\\*\\*|\\*?([A-Za-z0-9_+=,.@:?-]+\\*?)+|\\*)(/(\\*\\*|\\*?([A-Za-z0-9_+=,.@:?-]+\\*?)+|\\*))*$", pattern))
    ])
    error_message = "role_allow_list: a pattern has letters, digits, _ + = , . @ : - and the characters / * ? and ! (first) of patterns; ** must be alone between slashes, as in network/**."
  }

  validation {
    # The last pattern that matches decides.
    condition     = alltrue([for patterns in values(var.role_allow_list == null ? {} : var.role_allow_list) : !startswith(try(patterns[0], ""), "!")])
    error_message = "role_allow_list: a list must not begin with an exclusion (!), which excludes nothing there; put it after the patterns that include."
  }
}

variable "connections" {
  description = "Repositories that may start jobs (URLs), the secrets that sign their events, the token that reads the repository and reports to it, a token that only reads the repositories for git_credentials of orders (a GitHub app needs none), the source for secret_allow_list and role_allow_list (default: host/path), patterns of the branches whose configuration applies (default: the default branch), the branch whose schedules run (default: none) and whether they may start other orders than plans, ids of bots whose pull requests run without an approval (default: none), ids of accounts that may write, for hosts that do not tell it to the token (default: none), ids of accounts that may free concurrency groups by a comment (default: none), the generation of links to pages of runs, which ends all earlier links when it is raised (default: 1), and what must hold before a comment starts a job that pull requests do not start by themselves (default: nothing)."
  type = list(object({
    repositories           = list(string)
    webhook_secrets        = list(string)
    token_location         = string
    modules_token_location = optional(string)
    source                 = optional(string)
    branches               = optional(list(string))
    trusted_accounts       = optional(list(string), [])
    writers                = optional(list(string), [])
    unlockers              = optional(list(string))
    link_generation        = optional(number)
    require = optional(object({
      approved = optional(object({
        count       = optional(number, 1)
        people      = optional(list(string), [])
        teams       = optional(list(string), [])
        code_owners = optional(bool, false)
      }))
      mergeable  = optional(bool, false)
      undiverged = optional(bool, false)
      checks     = optional(list(string), [])
      not_draft  = optional(bool, false)
      from       = optional(list(string))
    }))
    schedule_branch     = optional(string)
    schedules_may_apply = optional(bool, false)
  }))
  default  = []
  nullable = false

  validation {
    condition = alltrue([
      for connection in var.connections : length(connection.repositories) > 0 && alltrue([
        for repository in connection.repositories :
        can(regex("^https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9_.~-]+){2,}/?$", repository)) &&
        !can(regex("/(\\.+|\\.git)/?$|/\\.+/", repository))
      ])
    ])
    error_message = "connections: each connection must have at least one repository, as https://host/owner/name."
  }

  validation {
    condition = alltrue([
      for connection in var.connections : connection.link_generation == null || try(
        connection.link_generation >= 1 && connection.link_generation <= 999999999 && floor(connection.link_generation) == connection.link_generation, false
      )
    ])
    error_message = "connections: link_generation must be a whole number from 1 to 999999999."
  }

  validation {
    # Code hosts compare names ignoring case, and git accepts a name with and without .git.
    condition = length(flatten(var.connections[*].repositories)) == length(distinct([
      for repository in flatten(var.connections[*].repositories) : trimsuffix(trimsuffix(lower(repository), "/"), ".git")
    ]))
    error_message = "connections: a repository must be in one connection only, so that its secrets are unambiguous."
  }

  validation {
    # Secrets that sign jobs are not allowed here: a code host that knows one could send any job.
    condition = alltrue([
      for connection in var.connections : length(connection.webhook_secrets) >= 1 && length(connection.webhook_secrets) <= 8 && alltrue([
        for location in connection.webhook_secrets :
        can(regex("^ssm:/iac-ci/${var.stack}/webhook-secret-[A-Za-z0-9_.-]+$", location)) &&
        !contains([for suffix in var.more_webhook_secrets : "ssm:/iac-ci/${var.stack}/webhook-secret${suffix}"], location)
      ])
    ])
    error_message = "connections: each connection must have one to eight webhook_secrets, as ssm:/iac-ci/<stack>/webhook-secret-<name>, and none of more_webhook_secrets, which sign jobs."
  }

  validation {
    # The orchestrator, which reports to code hosts, may read only these.
    condition = alltrue([
      for connection in var.connections : anytrue([
        for prefix in ["ssm:${var.secrets_prefix}tokens/", "secretsmanager:${trimprefix(var.secrets_prefix, "/")}tokens/"] :
        startswith(connection.token_location, prefix) && length(connection.token_location) > length(prefix)
      ]) && !strcontains(connection.token_location, "..") &&
      can(regex("^(ssm:(/[A-Za-z0-9_.-]+)+|secretsmanager:[A-Za-z0-9/_+=.@:-]+)(#[^#]+)?$", connection.token_location))
    ])
    error_message = "connections: token_location must be below tokens/ of secrets_prefix: ssm:/iac-ci/jobs/tokens/<name> or secretsmanager:iac-ci/jobs/tokens/<name>."
  }

  validation {
    condition = alltrue([
      for connection in var.connections : connection.modules_token_location == null || (anytrue([
        for prefix in ["ssm:${var.secrets_prefix}tokens/", "secretsmanager:${trimprefix(var.secrets_prefix, "/")}tokens/"] :
        startswith(coalesce(connection.modules_token_location, "-"), prefix) && length(coalesce(connection.modules_token_location, "-")) > length(prefix)
        ]) && !strcontains(coalesce(connection.modules_token_location, "-"), "..") &&
      can(regex("^(ssm:(/[A-Za-z0-9_.-]+)+|secretsmanager:[A-Za-z0-9/_+=.@:-]+)(#[^#]+)?$", coalesce(connection.modules_token_location, "-")))) &&
      connection.modules_token_location != connection.token_location
    ])
    error_message = "connections: modules_token_location must be below tokens/ of secrets_prefix, like token_location, and not be token_location itself: commands can read it."
  }

  validation {
    condition = alltrue([
      for connection in var.connections :
      connection.source == null || (connection.source != "api" && can(regex("^[A-Za-z0-9][A-Za-z0-9_./:-]{0,255}$", connection.source)))
    ])
    error_message = "connections: source must have at most 256 letters, digits and _ . / : -, begin with a letter or digit, and not be api, the source of signed jobs."
  }

  validation {
    # The engine's pattern language: ** stands alone between slashes, and * does not match a slash.
    condition = alltrue([
      for connection in var.connections : connection.branches == null ? true : length(connection.branches) > 0 && alltrue([
        for pattern in connection.branches : trimprefix(pattern, "!") != "" && length(pattern) <= 255 && alltrue([
          for segment in split("/", trimprefix(pattern, "!")) : segment == "**" || (!strcontains(segment, "**") &&
          can(regex("^([^\\\\[]|\\\\.|\\[([!^].|[^!^])[^\\]]*\\])*$", segment)))
        ])
        # No set has an empty range such as z-a, and {a,b} would stand for itself.
        && alltrue([for part in regexall("(?:\\\\.|[^\\\\[])|(\\[[!^]?[^\\]]+\\])", pattern) : can(regexall(replace(coalesce(part[0], "x"), "\\", "\\\\"), ""))])
        && !can(regex("(^|[^\\\\{])\\{[^{}]*,[^{}]*\\}", pattern))
        # No branch has such a name.
        && !can(regex("^!?refs/heads/|[\\s~^:]|(^!?|/)([./]|$)", replace(pattern, "/\\[[!^]?[^\\]]+\\]/", "x")))
      ]) && !startswith(try(connection.branches[0], "!"), "!")
    ])
    error_message = "connections: branches must be patterns such as main or release/*, with ** alone between slashes, each [ with its ], no empty range such as [z-a], no {a,b}, no refs/heads/, white space, ~, ^ or :, no segment that is empty or begins with a dot, at most 255 characters, and not an exclusion (!) first; leave branches out for the default branch."
  }

  validation {
    condition = alltrue([
      for connection in var.connections : length(connection.trusted_accounts) <= 20 &&
      alltrue([for id in connection.trusted_accounts : length(id) >= 1 && length(id) <= 64])
    ])
    error_message = "connections: trusted_accounts are at most 20 ids of 1 to 64 characters."
  }

  validation {
    condition = alltrue([
      for connection in var.connections : length(connection.writers) <= 200 &&
      alltrue([for id in connection.writers : length(id) >= 1 && length(id) <= 64])
    ])
    error_message = "connections: writers are at most 200 ids of 1 to 64 characters."
  }

  validation {
    condition = alltrue([
      for connection in var.connections : connection.require == null ? true : alltrue([
        connection.require.approved == null ? true : (
          connection.require.approved.count >= 1 && connection.require.approved.count <= 20 &&
          connection.require.approved.count == floor(connection.require.approved.count) &&
          length(connection.require.approved.people) <= 50 && length(connection.require.approved.teams) <= 20 &&
          alltrue([for name in connection.require.approved.people : can(regex("^([A-Za-z0-9_][A-Za-z0-9._-]{0,254}|\\{[0-9a-fA-F-]{36}\\})$", name))]) &&
          alltrue([for name in connection.require.approved.teams : can(regex("^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", name)) && length(name) <= 255])
        ),
        length(connection.require.checks) <= 50,
        alltrue([for name in connection.require.checks : length(name) >= 1 && length(name) <= 255 && name != "iac-ci" && !startswith(name, "iac-ci/")]),
        connection.require.from == null ? true : length(connection.require.from) > 0 && alltrue([
          for pattern in connection.require.from : can(regex("^!?(\\*\\*|\\*?([A-Za-z0-9_+=,.@:?-]+\\*?)+|\\*)(/(\\*\\*|\\*?([A-Za-z0-9_+=,.@:?-]+\\*?)+|\\*))*$", pattern)) && !can(regex("^!?refs/heads/|:|(^!?|/)[.]", pattern))
        ]) && !startswith(try(connection.require.from[0], "!"), "!"),
      ])
    ])
    error_message = "connections: require has approved with a count of 1 to 20, people (logins, or UUIDs in braces) and teams (organisation/team) without @, at most 50 checks that are not the engine's own, and patterns such as release/* in from, not an exclusion (!) first."
  }

  validation {
    condition = alltrue([
      for connection in var.connections : connection.unlockers == null ? true : (
        length(connection.unlockers) <= 200 && alltrue([for id in connection.unlockers : length(id) >= 1 && length(id) <= 64])
      )
    ])
    error_message = "connections: unlockers are at most 200 ids of 1 to 64 characters."
  }

  validation {
    condition = alltrue([
      for connection in var.connections : connection.schedule_branch == null ? true :
      can(regex("^[^*?\\[\\\\\\s~^:]{1,255}$", connection.schedule_branch)) && !can(regex("^refs/heads/|(^|/)([./]|$)", connection.schedule_branch))
    ])
    error_message = "connections: schedule_branch is the whole name of one branch, without refs/heads/, at most 255 characters."
  }

  validation {
    # The same id is another account on another host.
    condition = alltrue([
      for connection in var.connections :
      length(connection.trusted_accounts) + length(connection.writers) + length(connection.unlockers == null ? [] : connection.unlockers) == 0 || length(distinct([
        for repository in connection.repositories : lower(split("/", repository)[2])
      ])) == 1
    ])
    error_message = "connections: the repositories of a connection with trusted_accounts, writers or unlockers must be on one host."
  }

  validation {
    # A parameter holds 8,192 bytes; base64 makes four characters of three bytes.
    condition     = length(base64encode(jsonencode(var.connections))) <= 10920 || length(base64gzip(jsonencode(var.connections))) <= 8192
    error_message = "connections must fit into one parameter, 8,190 bytes as JSON or 8,192 characters compressed: let several repositories share a connection."
  }
}

variable "notifications" {
  description = "Where announcements of runs go, by a name for each: kind slack (an incoming webhook), https (POST of the whole event to address, with a secret in header) or sns (topic_arn); events, which of run_waits, run_ended, drift_found and drift_gone (default: all), and statuses, the statuses of ended runs (default: all). notification_secrets has the webhooks and the secrets. docs/notifications.md has examples."
  type = map(object({
    kind      = string
    address   = optional(string)
    header    = optional(string, "Authorization")
    topic_arn = optional(string)
    events    = optional(set(string), ["run_waits", "run_ended", "drift_found", "drift_gone"])
    statuses  = optional(set(string))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(var.notifications) <= 20 && alltrue([for name in keys(var.notifications) : can(regex("^[a-z][a-z0-9-]{0,31}$", name))])
    error_message = "notifications must be at most 20, with names of at most 32 lower-case letters, digits and hyphens that begin with a letter."
  }

  validation {
    condition     = alltrue([for one in values(var.notifications) : contains(["slack", "https", "sns"], one.kind)])
    error_message = "notifications: kind must be slack, https or sns."
  }

  validation {
    # What EventBridge takes (Amazon EventBridge API Reference, "CreateApiDestination"), without users and its wildcards.
    condition = alltrue([
      for one in values(var.notifications) :
      one.kind == "https" ? can(regex("^https://(%[0-9A-Fa-f][0-9A-Fa-f]|[A-Za-z0-9().!~';/?:&=+$,_-])+$", one.address)) && length(coalesce(one.address, "-")) <= 1024 : one.address == null
    ])
    error_message = "notifications: https needs an address, an https URL of at most 1,024 characters, without a user, a fragment and asterisks; characters that no URL has are written as % and two hexadecimal digits. The others have none."
  }

  validation {
    condition = alltrue([
      for one in values(var.notifications) :
      one.kind == "sns" ? can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$", one.topic_arn)) : one.topic_arn == null
    ])
    error_message = "notifications: sns needs topic_arn, the ARN of a standard topic; the others have none."
  }

  validation {
    # EventBridge sends to topics of its own region only.
    condition     = alltrue([for one in values(var.notifications) : try(split(":", one.topic_arn)[3] == var.region, true)])
    error_message = "notifications: topic_arn must be a topic of the stack's region."
  }

  validation {
    condition     = alltrue([for one in values(var.notifications) : can(regex("^[A-Za-z][A-Za-z0-9-]{0,63}$", one.header))])
    error_message = "notifications: header must be the name of an HTTP header."
  }

  validation {
    condition     = alltrue([for one in values(var.notifications) : length(one.events) > 0 && length(setsubtract(one.events, ["run_waits", "run_ended", "drift_found", "drift_gone"])) == 0])
    error_message = "notifications: events must be some of run_waits, run_ended, drift_found and drift_gone."
  }

  validation {
    condition     = alltrue([for one in values(var.notifications) : one.statuses == null ? true : length(one.statuses) > 0 && length(setsubtract(one.statuses, ["succeeded", "failed", "timed_out", "cancelled"])) == 0])
    error_message = "notifications: statuses must be some of succeeded, failed, timed_out and cancelled."
  }
}

variable "notification_secrets" {
  description = "By the name of a notification: the URL of Slack's webhook, or the secret in the header of https. AWS has no way to keep these out of the state."
  type        = map(string)
  default     = {}
  nullable    = false
  sensitive   = true

  validation {
    # A teardown has the variables of the archive, which holds no secrets of the environment. EventBridge takes no colon
    # in a header's value (Amazon EventBridge API Reference, "CreateConnection").
    condition = var.destroy_contents || alltrue([
      for name, one in var.notifications : one.kind == "sns" || can(regex(one.kind == "slack" ? "^https://(%[0-9A-Fa-f][0-9A-Fa-f]|[A-Za-z0-9().!~';/?:&=+$,_-]){1,512}$" : "^[ -9;-~]{1,512}$", var.notification_secrets[name]))
    ])
    error_message = "notification_secrets must have, for each notification of the kind slack, the webhook's https URL of at most 520 characters, and for each of the kind https 1 to 512 printable characters without a colon, which EventBridge does not take."
  }
}

variable "code_hosts" {
  description = "Code hosts whose name does not show their provider: maps the host name to kind (github, gitlab, bitbucket or an installed plug-in's) and, if it does not follow from the name, the API's URL."
  type = map(object({
    kind    = string
    api_url = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for host in keys(var.code_hosts) : can(regex("^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?$", host))])
    error_message = "code_hosts must have host names in lower case, without https:// and without a path."
  }

  validation {
    condition     = alltrue([for host in values(var.code_hosts) : can(regex("^[a-z][a-z0-9_-]*$", host.kind))])
    error_message = "code_hosts: kind must be the name of a provider, such as gitlab."
  }

  validation {
    # Tokens are sent there.
    condition     = alltrue([for host in values(var.code_hosts) : host.api_url == null || can(regex("^https://[^@?#\\s]+$", host.api_url))])
    error_message = "code_hosts: api_url must be an https URL without a user, a query or a fragment."
  }

  validation {
    # All variables of a function together have at most 4,096 bytes as JSON.
    condition     = length(base64encode(jsonencode(var.code_hosts))) <= 1368
    error_message = "code_hosts must have at most 1,024 bytes as JSON: they are in a function's environment."
  }
}

variable "code_buckets" {
  description = "Names of the buckets from which orders may take code (s3_location)."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for bucket in var.code_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "code_buckets must have names of buckets, without s3://, path or pattern."
  }

  validation {
    # Each managed policy of init lists 30.
    condition     = length(var.code_buckets) <= 100
    error_message = "code_buckets must be at most 100: the policies of a role have no room for more."
  }
}

variable "target_role_arns" {
  description = "Roles, also in other accounts, that orders may use (assume_role)."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.target_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/([A-Za-z0-9+=,.@_-]+/)*[A-Za-z0-9+=,.@_-]{1,64}$", arn))])
    error_message = "target_role_arns must have full ARNs of roles, without patterns; a role's name has at most 64 characters."
  }
}

variable "tagged_role_arns" {
  description = "Roles of target_role_arns whose sessions carry source, run, order, job and actor as session tags, and the source as source identity. Their trust policies must allow sts:TagSession and sts:SetSourceIdentity."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.tagged_role_arns, var.target_role_arns)) == 0
    error_message = "tagged_role_arns must be in target_role_arns."
  }
}

variable "secrets_key_arns" {
  description = "Customer-managed keys that encrypt the jobs' parameters and secrets, and the objects of code_buckets. The tokens of code hosts must stay under AWS's own keys: the orchestrator reads them and has no permission on customer keys."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secrets_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64}$", arn))])
    error_message = "secrets_key_arns must have ARNs of keys, not of aliases."
  }

  validation {
    condition     = alltrue([for arn in var.secrets_key_arns : try(split(":", arn)[3] == var.region, true)])
    error_message = "secrets_key_arns must be keys of the stack's region: jobs read their secrets there."
  }

  validation {
    condition     = length(var.secrets_key_arns) <= 20
    error_message = "secrets_key_arns must be at most 20: they are in one policy."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the secrets of runs and the alarm topic; null creates one. An existing key's policy must allow this account's roles through IAM, and cloudwatch.amazonaws.com kms:Decrypt and kms:GenerateDataKey*."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64}$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, not of an alias."
  }

  validation {
    condition     = var.kms_key_arn == null || try(split(":", var.kms_key_arn)[3] == var.region, true)
    error_message = "kms_key_arn must be a key of the stack's region: the functions and the alarm topic use the keys there."
  }
}

variable "permissions_boundary_arn" {
  description = "Permission boundary on every role; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of a policy."
  }
}

variable "worker_network" {
  description = "VPC for both kinds of worker; null for none. The subnets need routes to Lambda, S3, CloudWatch Logs and ECR and to every service that the commands call."
  type = object({
    vpc_id             = string
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition = var.worker_network == null || try(
      startswith(var.worker_network.vpc_id, "vpc-") &&
      length(var.worker_network.subnet_ids) > 0 && length(var.worker_network.subnet_ids) <= 16 && alltrue([for id in var.worker_network.subnet_ids : startswith(id, "subnet-")]) &&
      length(var.worker_network.security_group_ids) > 0 && length(var.worker_network.security_group_ids) <= 5 && alltrue([for id in var.worker_network.security_group_ids : startswith(id, "sg-")]),
      false
    )
    error_message = "worker_network must have a vpc-…, one to 16 subnet-… and one to 5 sg-…, as Lambda and CodeBuild allow."
  }
}

variable "web_acl_arn" {
  description = "Regional WAFv2 web ACL for the webhook; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.web_acl_arn == null || can(regex("^arn:aws[a-z-]*:wafv2:[a-z0-9-]+:[0-9]{12}:regional/webacl/.+$", var.web_acl_arn))
    error_message = "web_acl_arn must be the ARN of a regional web ACL."
  }

  validation {
    condition     = var.web_acl_arn == null || try(split(":", var.web_acl_arn)[3] == var.region, true)
    error_message = "web_acl_arn must be a web ACL of the stack's region."
  }
}

variable "manage_api_gateway_account" {
  description = "Set the role with which API Gateway writes access logs; an account has one per region. False if another stack or team has set it."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_emails" {
  description = "E-mail addresses for alarms; each must confirm once."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "alarm_emails must have e-mail addresses."
  }
}

variable "destroy_contents" {
  description = "Let `terraform destroy` remove tables, and buckets with the objects in them. pipelines/teardown sets it."
  type        = bool
  default     = false
  nullable    = false
}
