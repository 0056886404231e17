# The ledger and nothing else, for the user `ledger`, who owns no more than /data.
FROM python:3.11.14-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

RUN useradd --system --user-group --uid 10001 --no-create-home --home-dir /nonexistent ledger \
    && install --directory --owner ledger --group ledger /data

# What it needs first, and ourselves after it: a change of ours leaves the large layer as it is.
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --constraint constraints.txt setuptools \
    && python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && pip install --constraint constraints.txt --no-build-isolation --requirement requirements.txt

COPY schemas schemas
COPY ledger ledger
COPY processors processors
RUN pip install --no-deps --no-build-isolation . && rm -rf /build/*

USER ledger
WORKDIR /data
VOLUME /data
ENTRYPOINT ["margin-ledger"]
CMD ["--help"]
