# shellcheck shell=bash disable=SC2034 # the scripts that source this use what it sets
# Reads the settings of a pipeline script from its flags and its environment, and checks all of them before anything is
# touched. Sourced; the script says its own flags in `usage` and may add checks of its own with `problem`.

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
script="$(basename "$0")"
problems=()

say() { printf '%s\n' "$*" >&2; }
problem() { problems+=("$*"); }
step() { printf '\n── %s\n' "$*" >&2; }
next_step() { printf '\nNext: %s\n' "$*" >&2; }

# Reads --stack, --region, --plan and --help; anything else goes to the script's own `flag`, which returns how many
# arguments it took, 0 for an unknown one.
read_settings() {
  stack="${IAC_CI_STACK:-iac-ci}"
  region="${AWS_REGION:-${AWS_DEFAULT_REGION:-}}"
  plan_only=""
  while [ $# -gt 0 ]; do
    case "$1" in
      --stack) stack="${2:-}"; shift 2 || { problem "--stack wants a name"; shift; } ;;
      --region) region="${2:-}"; shift 2 || { problem "--region wants a name"; shift; } ;;
      --plan) plan_only=yes; shift ;;
      --help | -h) usage; exit 0 ;;
      *)
        local taken=0
        if declare -F flag >/dev/null; then flag "$@" || taken=$?; fi
        if [ "$taken" -eq 0 ]; then problem "unknown argument: $1"; taken=1; fi
        if [ "$taken" -gt $# ]; then problem "$1 wants a value"; taken=$#; fi
        shift "$taken"
        ;;
    esac
  done
  [[ "$stack" =~ ^[a-z][a-z0-9-]{1,20}[a-z0-9]$ && "$stack" != *--* && "$stack" != jobs ]] ||
    problem "the stack's name '$stack' has 3 to 22 lower-case letters, digits and single hyphens, and is not 'jobs' (--stack or IAC_CI_STACK)"
  [[ "$region" =~ ^[a-z]{2}(-[a-z]+)+-[0-9]$ ]] ||
    problem "the region '$region' is none (--region or AWS_REGION)"
  work="$root/.build/$stack"
}

need_tool() { command -v "$1" >/dev/null 2>&1 || problem "$1 is not on PATH: $2"; }

need_terraform() {
  need_tool terraform "install Terraform 1.11 or newer"
  if command -v terraform >/dev/null 2>&1; then
    local version
    version="$(terraform version -json | sed -n 's/.*"terraform_version": *"\([0-9.]*\).*/\1/p')"
    [ "$(printf '%s\n1.11.0\n' "$version" | sort -V | head -1)" = 1.11.0 ] ||
      problem "Terraform $version is too old: 1.11 or newer is needed"
  fi
}

# Says every problem at once and ends with 2; nothing was touched until here.
check_settings() {
  [ ${#problems[@]} -eq 0 ] && return
  say "$script: ${#problems[@]} $([ ${#problems[@]} -eq 1 ] && echo problem || echo problems), nothing was changed:"
  printf '  - %s\n' "${problems[@]}" >&2
  say "See $script --help."
  exit 2
}

# Asks AWS who we are; ends with 3 where it does not answer. Sets `account` and `state_bucket`.
find_account() {
  export AWS_REGION="$region" AWS_DEFAULT_REGION="$region"
  account="$(state account)" || { say "$script: AWS does not say who you are; check your credentials. Nothing was changed."; exit 3; }
  state_bucket="$stack-state-$account-$region"
}

# The few things that are asked of AWS outside Terraform.
state() { (cd "$root" && uv run --quiet --no-sync python pipelines/state.py "$@"); }
