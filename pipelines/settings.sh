# shellcheck shell=bash disable=SC2034 # the scripts that source this use what it sets
# Reads the settings of a pipeline script from its flags and environment, and checks all of them before it changes anything.
# Scripts source this file. A script defines `usage` and may add its own flags (`flag`) and checks (`problem`).

set -euo pipefail
# With it, cd prints where it goes, or goes elsewhere.
unset CDPATH
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
script="$(basename "$0")"
problems=()

say() { printf '%s\n' "$*" >&2; }
problem() { problems+=("$*"); }
step() { printf '\n── %s\n' "$*" >&2; }
next_step() { printf '\nNext: %s\n' "$*" >&2; }

# Bash calls this when the program that runs now has ended, so nothing goes on behind a script that has ended. Nothing
# follows either: Terraform may end a plan that Ctrl-C interrupted as if it were whole.
interrupted() {
  trap '' HUP INT TERM
  say "$script: interrupted; nothing more is done. It is safe to run this again."
  exit "$1"
}
trap 'interrupted 129' HUP
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

# Reads --stack, --region, --plan and --help. Other arguments go to the script's function `flag`, which returns the number
# of arguments that it used, 0 for an unknown one.
read_settings() {
  stack="${IAC_CI_STACK:-iac-ci}"
  region="${AWS_REGION:-${AWS_DEFAULT_REGION:-}}"
  plan_only=""
  while [ $# -gt 0 ]; do
    case "$1" in
      --stack) stack="${2:-}"; shift 2 || { problem "--stack needs a value"; shift; } ;;
      --region) region="${2:-}"; shift 2 || { problem "--region needs a value"; shift; } ;;
      --plan) plan_only=yes; shift ;;
      --help | -h) usage; exit 0 ;;
      *)
        local taken=0
        if declare -F flag >/dev/null; then flag "$@" || taken=$?; fi
        if [ "$taken" -eq 0 ]; then problem "unknown argument: $1"; taken=1; fi
        if [ "$taken" -gt $# ]; then
          problem "$1 needs a value"
          taken=$#
        elif [ "$taken" -eq 2 ] && [ -z "$2" ]; then
          # A variable of the caller's that is not set would otherwise leave the flag out.
          problem "the value of $1 is empty"
        fi
        shift "$taken"
        ;;
    esac
  done
  [[ "$stack" =~ ^[a-z][a-z0-9-]{1,20}[a-z0-9]$ && "$stack" != *--* && "$stack" != jobs ]] ||
    problem "'$stack' is not a valid stack name: use 3 to 22 lower-case letters, digits and single hyphens, a letter first and no hyphen last, and not 'jobs' (example: iac-ci; set by --stack or IAC_CI_STACK)"
  if [ -z "$region" ]; then
    problem "no AWS region is set (example: eu-central-1; set by --region or AWS_REGION)"
  elif [[ ! "$region" =~ ^[a-z]{2,8}(-[a-z]+)+-[0-9]{1,2}$ ]]; then
    problem "'$region' is not an AWS region (example: eu-central-1; set by --region or AWS_REGION)"
  elif [[ "$region" == cn-* ]]; then
    problem "'$region' is in China, where iac-ci cannot be deployed: CodeBuild ends builds there after 480 minutes, and the longest order needs 520"
  fi
  work="$root/.build/$stack"
}

need_tool() { command -v "$1" >/dev/null 2>&1 || problem "$1 is not on PATH: $2"; }

need_terraform() {
  need_tool terraform "install Terraform 1.11 or newer"
  if command -v terraform >/dev/null 2>&1; then
    local answer version
    if ! answer="$(terraform version -json 2>&1)"; then
      # A version manager without a version for this folder, for example.
      problem "terraform does not run: ${answer##*$'\n'}"
      return
    fi
    version="$(sed -n 's/.*"terraform_version": *"\([0-9.]*\).*/\1/p' <<<"$answer")"
    [ "$(printf '%s\n1.11.0\n' "$version" | sort -V | head -1)" = 1.11.0 ] ||
      problem "Terraform $version is too old: install 1.11 or newer"
  fi
}

# Needs uv, and the packages that it installs into the checkout. Sets `has_packages`.
need_packages() {
  has_packages=""
  need_tool uv "https://docs.astral.sh/uv/"
  if ! command -v uv >/dev/null 2>&1; then return; fi
  local found='import sys; from importlib.util import find_spec as f; sys.exit(not (f("boto3") and f("iac_ci_cli")))'
  if (cd "$root" && uv run --quiet --no-sync python -c "$found") >/dev/null 2>&1; then
    has_packages=yes
  else
    problem "the Python packages of this checkout are not installed: run 'uv sync' in $root"
  fi
}

# Prints every problem and exits with 2; nothing has been changed at this point.
check_settings() {
  [ ${#problems[@]} -eq 0 ] && return
  say "$script: ${#problems[@]} $([ ${#problems[@]} -eq 1 ] && echo problem || echo problems); nothing was changed:"
  printf '  - %s\n' "${problems[@]}" >&2
  say "See $script --help."
  exit 2
}

# Asks AWS for the account of the credentials; exits with 3 without an answer. Sets `account` and `state_bucket`.
find_account() {
  export AWS_REGION="$region" AWS_DEFAULT_REGION="$region"
  account="$(state account)" || { say "$script: AWS did not return your account: check your credentials. Nothing was changed."; exit 3; }
  state_bucket="$stack-state-$account-$region"
}

# Returns whether the state bucket exists; exits with 3 if AWS does not say so. A refusal is no answer: with another
# account's credentials, or without s3:ListBucket, the bucket may exist and hold the state.
state_bucket_exists() {
  local code=0
  state exists "$state_bucket" || code=$?
  case "$code" in
    0) return 0 ;;
    4) return 1 ;;
    *) say "$script: AWS did not say whether the state bucket $state_bucket exists. Nothing was changed."; exit 3 ;;
  esac
}

# AWS calls outside Terraform.
state() { (cd "$root" && uv run --quiet --no-sync python pipelines/state.py "$@"); }
