# shellcheck shell=bash disable=SC2154 # settings.sh sets what this uses
# Copies one Terraform stage to .build/<stack>/<stage> with its generated backend and variables and runs it there, so that
# the source tree does not change. Scripts source this file after settings.sh.

# Of the operator's own work: another workspace has another state, and stages that share a folder of data share a backend.
unset TF_WORKSPACE TF_DATA_DIR

# Prints the folder of a stage. Another one is planned with --plan: pipelines/archive packs what was deployed. That of
# bootstrap holds a state, which both need.
stage_folder() {
  if [ -n "$plan_only" ] && [ "$1" != bootstrap ]; then printf '%s' "$work/planned/$1"; else printf '%s' "$work/$1"; fi
}

# lay_out STAGE VARIABLES: copies the stage and writes the generated files; VARIABLES is a JSON object.
lay_out() {
  local stage="$1" folder
  folder="$(stage_folder "$stage")"
  check_left_state "$stage"
  mkdir -p "$folder" "$work/$stage"
  # Keep Terraform's own files: its providers, their hashes, the state of bootstrap, and a state that was not stored.
  find "$folder" -mindepth 1 -maxdepth 1 ! -name '.terraform*' ! -name 'terraform.tfstate*' ! -name errored.tfstate -exec rm -rf {} +
  (cd "$root/terraform/$stage" && find . -mindepth 1 -maxdepth 1 ! -name '.terraform*' ! -name tests -exec cp -R {} "$folder/" \;)
  (umask 077 && printf '%s\n' "$2" >"$folder/terraform.tfvars.json")
  # A plan is made with the providers of the deployed stage.
  [ "$folder" = "$work/$stage" ] || cp -p "$work/$stage/.terraform.lock.hcl" "$folder/" 2>/dev/null || true
  [ "$stage" = bootstrap ] || write_backend "$stage" >"$folder/backend.hcl"
  [ -z "${AWS_ENDPOINT_URL:-}" ] || write_endpoint >"$folder/endpoint_override.tf"
}

# Without `encrypt`, which would choose SSE-S3, objects are encrypted as the bucket says: with KMS.
write_backend() {
  cat <<END
bucket       = "$state_bucket"
key          = "$1/terraform.tfstate"
region       = "$region"
use_lockfile = true
END
  if [ -n "${AWS_ENDPOINT_URL:-}" ]; then
    cat <<END

# AWS_ENDPOINT_URL replaces AWS.
endpoints                   = { s3 = "$AWS_ENDPOINT_URL" }
use_path_style              = true
skip_credentials_validation = true
skip_requesting_account_id  = true
skip_metadata_api_check     = true
skip_region_validation      = true
END
  fi
}

write_endpoint() {
  cat <<END
# AWS_ENDPOINT_URL replaces AWS.
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}
END
}

# terraform_in STAGE ARGUMENT…: runs Terraform in the stage's folder, without any questions. The end of the terminal would
# kill it in the middle of a change, with its lock, so it ignores that.
terraform_in() (
  stage="$1"
  shift
  trap '' HUP
  export TF_IN_AUTOMATION=1 TF_INPUT=0 TF_DATA_DIR="$work/$stage/.terraform"
  exec terraform -chdir="$(stage_folder "$stage")" "$@"
)

# Where Terraform writes a state that it could not store in the bucket, because the credentials have expired for example.
left_state() { printf '%s' "$work/$1/errored.tfstate"; }

# Refuses a state of another account or region that was not stored. With --plan, says that the plan does not know it.
check_left_state() {
  local left
  left="$(left_state "$1")"
  if [ "$1" = bootstrap ] || [ ! -f "$left" ]; then return; fi
  if [ -n "$plan_only" ]; then
    say "$left is a state that an earlier run could not store. The plan does not know what it has; without --plan, it is stored first."
  elif ! grep -qsF "\"$state_bucket\"" "$work/$1/backend.hcl"; then
    say "$script: $left is a state that could not be stored, and of another state bucket than $state_bucket. Run this with the account and region of that state first. Nothing was changed."
    exit 2
  fi
}

# Stores such a state. Terraform refuses one that is older than the stored one, or of other resources.
store_left_state() {
  local left
  left="$(left_state "$1")"
  if [ "$1" = bootstrap ] || [ -n "$plan_only" ] || [ ! -f "$left" ]; then return; fi
  terraform_in "$1" state push "$left" >&2 || {
    say "$script: the state of an earlier run, $left, could not be stored; nothing else was changed. See \"If a deployment stops half way\" in docs/deploy.md."
    exit 1
  }
  rm -f "$left"
  say "Stored the state that an earlier run could not store."
}

# Runs `terraform init`. With --plan and without a state bucket, the plan starts from an empty state.
initialise() {
  local stage="$1"
  if [ "$stage" = bootstrap ]; then
    terraform_in bootstrap init -no-color >"$work/$stage.log" 2>&1 || initialising_failed "$stage"
  elif state_bucket_exists; then
    terraform_in "$stage" init -no-color -reconfigure -backend-config=backend.hcl >"$work/$stage.log" 2>&1 || initialising_failed "$stage"
    store_left_state "$stage"
  elif [ -n "$plan_only" ]; then
    say "The state bucket $state_bucket does not exist yet: the plan of $stage starts from an empty state."
    printf 'terraform {\n  backend "local" {\n    path = "planned-from-nothing.tfstate"\n  }\n}\n' >"$(stage_folder "$stage")/no_backend_override.tf"
    terraform_in "$stage" init -no-color -reconfigure >"$work/$stage.log" 2>&1 || initialising_failed "$stage"
  else
    say "$script: the state bucket $state_bucket does not exist. Run pipelines/bootstrap first; nothing was changed."
    exit 4
  fi
}

initialising_failed() {
  sed 's/^/  /' "$work/$1.log" >&2
  say "$script: 'terraform init' failed in $(stage_folder "$1"); nothing was changed. It is safe to run this again."
  exit 1
}

# A saved plan contains every variable, also secret ones: it is in a private folder, which goes whatever ends the script.
plan_folder=""
remove_plan() { [ -z "$plan_folder" ] || rm -rf "$plan_folder"; }
trap remove_plan EXIT

# plan_or_apply STAGE: shows the plan and, without --plan, applies exactly that plan.
plan_or_apply() {
  local stage="$1" code=0
  plan_folder="$(mktemp -d)"
  terraform_in "$stage" plan -no-color -detailed-exitcode -out="$plan_folder/plan" || code=$?
  if [ "$code" -eq 2 ] && [ -z "$plan_only" ]; then
    code=0
    terraform_in "$stage" apply -no-color "$plan_folder/plan" || code=1
    changed=yes
  elif [ "$code" -eq 2 ]; then
    code=0
    changed=planned
  else
    changed=""
  fi
  [ "$code" -ne 0 ] || [ -z "$plan_only" ] || [ "$stage" != deploy ] || show_cost "$plan_folder/plan"
  remove_plan
  if [ "$code" -ne 0 ]; then
    if [ "$stage" != bootstrap ] && [ -f "$(left_state "$stage")" ]; then
      say "$script: Terraform failed in $stage and could not store the state; it is in $(left_state "$stage"). Run this again in this checkout: it stores the state first."
    else
      say "$script: Terraform failed in $stage. The state has everything that it created; it is safe to run this again."
    fi
    say "If a lock of the state stayed, see \"If a deployment stops half way\" in docs/deploy.md."
    exit 1
  fi
}

# show_cost PLAN: prints what the planned stack costs. It never decides how a script ends.
show_cost() {
  printf '\n'
  terraform_in deploy show -json "$1" | (cd "$root" && uv run --quiet --no-sync python -m bench.stack_cost) ||
    say "What the stack costs could not be computed; the plan above is complete."
}

report() {
  case "$changed" in
    yes) say "$1 was changed as planned." ;;
    planned) say "$1: planned only, nothing was changed." ;;
    *) say "$1 is up to date; nothing was changed." ;;
  esac
}
