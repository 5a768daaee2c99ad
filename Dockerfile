# hadolint global ignore=DL3006,DL3008,DL3042
# Why these rules are off: stages are named without a tag; versions of Debian packages are not
# pinned, so that security updates arrive; pip's cache is a mount, not a layer.
#
# `make image` builds this. BASE is any bookworm, best by digest (debian:bookworm-slim@sha256:...).
# DEVICE is cpu or gpu. Behind a mirror or a proxy of PyPI, pip's configuration (id=pip) and a CA
# bundle (id=ca) are build secrets, which stay in no layer. With direct access, neither is needed.
ARG BASE=debian:bookworm-slim
ARG DEVICE=cpu

# --- builder: pip is Debian's, outside the environment, which therefore contains none. `strip`
# comes from binutils.
FROM ${BASE} AS builder
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --without-pip /opt/job

# --- one stage per lock, so that a change of one lock does not rebuild the other device's image.
FROM builder AS lock-cpu
COPY requirements.lock /requirements.lock
FROM builder AS lock-gpu
COPY requirements-gpu.lock /requirements.lock

# --- dependencies: by hashes, wheels only. They come before the source, which changes more often.
FROM lock-${DEVICE} AS dependencies
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    pip --python /opt/job/bin/python install --quiet --no-compile --only-binary :all: --require-hashes -r /requirements.lock

# --- source: built by the setuptools of the lock and installed into a folder, which becomes a small
# layer of its own. An exported file system has no ENV, so Charliecloud reads /ch/environment.
FROM dependencies AS source
COPY . /source
ARG COMMIT=
RUN pip --python /opt/job/bin/python wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheel /source \
    && pip --python /opt/job/bin/python install --quiet --no-deps --no-compile --no-index --no-warn-script-location --root /staged /wheel/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash -s /staged -p / /staged \
    && mkdir -p /staged/usr/local/bin && ln -s /opt/job/bin/job /staged/usr/local/bin/job \
    && mkdir /staged/ch && printf 'PATH=/usr/local/bin:/usr/bin:/bin\nJOB_GIT_COMMIT=%s\n' "$COMMIT" >/staged/ch/environment

# --- lean: remove what only builds, tests or describes. Then compile the bytecode, because a
# read-only root could not store it later. It ignores the date of its source, which exports and
# conversions change.
FROM dependencies AS lean
WORKDIR /opt/job/lib/python3.11/site-packages
RUN rm -r clang libclang* setuptools* wheel* _distutils_hack distutils-precedence.pth tensorflow/xla_aot_runtime_src pyarrow/*flight* \
    && find /opt/job/bin -type f -delete \
    && find . -name '*.dist-info' -prune -o -type d '(' -name include -o -name tests ')' -prune -exec rm -r {} + -o -name '*.a' -exec rm {} + \
    && strip --strip-unneeded tensorflow/libtensorflow_*.so.2 \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# --- runtime: Python and the certificate authorities. No setuid file, no trace of apt, and /tmp is
# the only folder that everybody may write to.
FROM ${BASE} AS runtime-cpu
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && find / -xdev -perm /6000 -exec chmod a-s {} + \
    && chmod o-w /var/tmp /run/lock
# HOME for a user without one. Only /tmp needs to be writable.
ENV HOME=/tmp
WORKDIR /tmp

# --- tell the NVIDIA container toolkit what to mount, where it reads that from the image.
FROM runtime-cpu AS runtime-gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM runtime-${DEVICE}
COPY --from=lean /opt/job /opt/job
COPY --from=source /staged /
# A number, because Kubernetes' `runAsNonRoot` cannot check a name. Any other user works too.
USER 10001:10001
ENTRYPOINT ["job"]
CMD ["--help"]
# What changes with every build comes last. A result names the commit that produced it.
ARG BASE
ARG VERSION=
ARG COMMIT=
ENV JOB_GIT_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="image-tuning-job" \
      org.opencontainers.image.description="Tune, cross-validate, train and honestly evaluate image classifiers, one task per invocation" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.base.name="${BASE}"
