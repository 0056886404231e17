"""The README tells the truth: every command in it runs, in order, with the result of the one before.

Commands are the lines of its `sh`, `bash`, `shell`, `console` and unlabelled fenced blocks that call
`margin-ledger`; they run in one empty folder (with a copy of `examples/`, where there is one). Two comments
before a block say otherwise: `<!-- not run: reason -->`, and `<!-- file: name -->` for a block that is the
text of a file.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
SHELLS = ("", "sh", "bash", "shell", "console")
SECONDS_PER_COMMAND = 300

BLOCK = re.compile(
    r"(?:^ *<!-- *(?P<mark>not run|file): *(?P<note>.+?) *-->\n+)?"
    r"^ *(?P<fence>```+|~~~+)(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
PROGRAM = re.compile(r"(?:^|(?<=[|;&(]))(\s*(?:\w+=\S*\s+)*)(?:\S*/)?margin-ledger(?=\s|$)")
TARGETS = re.compile(r"\bmake((?:[ ][\w.=/-]+)+)")

needs_readme = pytest.mark.skipif(
    not README.exists() and os.environ.get("CI") != "true", reason="there is no README.md yet"
)


class Block(NamedTuple):
    """A fenced block: `mark` is "not run", "file" or "", and `note` what was said with it."""

    mark: str
    note: str
    language: str
    body: str


class Step(NamedTuple):
    """A file to write (`file` is its name) or else a command to run."""

    file: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*(found[name] or "" for name in Block._fields)) for found in BLOCK.finditer(text)]


def lines(block: Block) -> list[str]:
    """The command lines of a block, whole again where they were broken with a backslash."""
    whole = re.sub(r"\\\n\s*", "", block.body).splitlines()
    if block.language == "console":
        whole = [line for line in whole if line.lstrip().startswith("$ ")]
    return [line.strip().removeprefix("$ ") for line in whole]


def steps(text: str) -> Iterator[Step]:
    for block in blocks(text):
        if block.mark == "file":
            yield Step(block.note, block.body)
        elif not block.mark and block.language in SHELLS:
            yield from (Step("", line) for line in lines(block) if PROGRAM.search(line))


def make_targets(text: str) -> set[str]:
    """The targets named in code, be it a block or within a line."""
    code = [*(block.body for block in blocks(text)), *re.findall(r"`(make [^`\n]+)`", text)]
    words = {word for line in code for found in TARGETS.findall(line) for word in found.split()}
    return {word for word in words if "=" not in word}


def targets_of(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run as a shell would, with the program that is installed beside this Python, or else its module."""
    script = Path(sys.executable).parent / "margin-ledger"
    program = f"'{script}'" if script.exists() else f"'{sys.executable}' -m processors.cli"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", PROGRAM.sub(lambda found: f"{found[1]}{program}", command)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_PER_COMMAND,
        check=False,
    )


@needs_readme
def test_every_command_runs_in_order(tmp_path: Path) -> None:
    if (ROOT / "examples").exists():
        shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for step in steps(README.read_text("utf-8")):
        if step.file:
            (tmp_path / step.file).write_text(step.text, "utf-8")
            continue
        done = run(step.text, tmp_path)
        assert done.returncode == 0, f"$ {step.text}\n{done.stdout}"
        assert "Traceback" not in done.stdout, f"$ {step.text}\n{done.stdout}"


@needs_readme
def test_it_shows_the_program_at_work() -> None:
    assert [step for step in steps(README.read_text("utf-8")) if not step.file]


@needs_readme
def test_every_make_target_it_names_exists() -> None:
    named = make_targets(README.read_text("utf-8"))
    assert named <= targets_of((ROOT / "Makefile").read_text("utf-8"))


SAMPLE = """
Use `make test` or `make lint soak`; "make sure" is no target.

```sh
make run VENV=/tmp/v
margin-ledger process events.jsonl \\
    --out out.jsonl   # a filter
cat events.jsonl | COLUMNS=80 .venv/bin/margin-ledger process -
echo not a margin-ledger command
```

1. In a list:

   <!-- not run: needs a broker -->
   ```
   margin-ledger run --brokers localhost:9092
   ```

<!-- file: events.jsonl -->
```json
{}
```

```text
margin-ledger process FILE|-
```

   ```console
   $ margin-ledger demo
   margin-ledger says hello
   ```
"""


def test_the_commands_and_files_of_a_text_are_found_in_order() -> None:
    assert list(steps(SAMPLE)) == [
        Step("", "margin-ledger process events.jsonl --out out.jsonl   # a filter"),
        Step("", "cat events.jsonl | COLUMNS=80 .venv/bin/margin-ledger process -"),
        Step("events.jsonl", "{}\n"),
        Step("", "margin-ledger demo"),
    ]


def test_the_make_targets_of_a_text_are_found() -> None:
    assert make_targets(SAMPLE) == {"run", "test", "lint", "soak"}
    assert targets_of("run: x\n\techo a:\nsoak:\nBIN := a\n.PHONY: z\n") == {"run", "soak"}


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    assert run("margin-ledger no-such-command", tmp_path).returncode != 0
    assert run("false | cat", tmp_path).returncode != 0
