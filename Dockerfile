# The ledger and nothing else, for the user `ledger`, who owns no more than /data.
FROM python:3.11.14-slim-bookworm AS base

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

RUN useradd --system --user-group --uid 10001 --no-create-home --home-dir /nonexistent ledger \
    && install --directory --owner ledger --group ledger /data

# What it needs first, and ourselves after it: a change of ours leaves the large layer as it is.
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt

# The core is compiled by what is not needed any more when it is.
FROM base AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && pip install --constraint constraints.txt mypy setuptools
COPY setup.py ./
COPY schemas schemas
COPY ledger ledger
COPY processors processors
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM base
COPY --from=build /wheels /wheels
RUN pip install --no-deps /wheels/*.whl && rm -rf /build/* /wheels

USER ledger
WORKDIR /data
VOLUME /data
ENTRYPOINT ["margin-ledger"]
CMD ["--help"]
