"""Feed the commands with damaged input and count what happens: `make fuzz`.

    python benchmarks/fuzz.py [--inputs 500] [--seed 0] [--only NAME ...] [--record]

Half of the inputs come from a seeded mutator, half from Hypothesis. Each runs in a process of its
own, with a limit on time and memory. Wanted: every input is used or refused in one line. Anything
else ends with exit code 1 and the numbers to repeat it with (`--only NAME --number N`). With
`--record`, the counts go into docs/reference/robustness.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import fuzz_targets  # noqa: E402
import mutations  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "robustness.md"
BEGIN, END = "<!-- counts: make fuzz -->", "<!-- end of the counts -->"
TIMEOUT_S = 120.0
MEMORY_MB = 1000  # by which a process may grow over what it needs for the whole input
OUTCOMES = ("used", "refused", "traceback", "silently wrong", "hang", "memory", "crash")
WANTED = ("used", "refused")


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    target: str
    number: int
    kind: str  # one of OUTCOMES
    detail: str


def run_inputs(
    n_inputs: int,
    seed: int,
    names: list[str],
    number: int | None,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """Run all inputs, or only the one with this number, and report each."""
    total = sum(target.share for target in fuzz_targets.TARGETS.values())
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="quavf-fuzz-") as temporary:
        for name in names:
            target, whole = fuzz_targets.TARGETS[name], Path(temporary) / name
            whole.mkdir()
            target.make(whole)
            clean = _run(target, whole, Path(temporary) / "copy", None, 0)
            assert clean.kind == "used", clean
            count = max(2, round(n_inputs * target.share / total))
            for k, mutation in enumerate(_list_mutations(count, seed)):
                if number in (None, k):
                    copy = Path(temporary) / "copy"
                    found = _run(target, whole, copy, mutation, k, clean.detail)
                    outcomes.append(found)
                    report(found)
    return outcomes


def _list_mutations(count: int, seed: int) -> Iterator[mutations.Mutation]:
    half = count // 2
    yield from (mutations.seeded(seed * 1_000_003 + k) for k in range(count - half))
    yield from mutations.drawn(half, seed) if half else ()


def _run(
    target: fuzz_targets.Target,
    whole: Path,
    copy: Path,
    mutation: mutations.Mutation | None,
    number: int,
    clean: str = "",
) -> Outcome:
    """Mutate one file of a copy of the whole input, and run the work on it in a process."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    changed = ""
    if mutation is not None:
        files = sorted(p for p in copy.rglob("*") if target.is_mutated(p))
        path = files[number % len(files)]
        path.write_bytes(mutation(path.read_bytes(), path.suffix == ".json"))
        changed = f"{path.relative_to(copy)}: "
    kind, detail = _in_process(lambda: target.work(copy))
    if kind == "used" and target.is_exact and clean and detail != clean:
        kind = "silently wrong"
    return Outcome(target.name, number, kind, detail if mutation is None else changed + detail)


def _in_process(work: Callable[[], str]) -> tuple[str, str]:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _be_child(work, writer)
    os.close(writer)
    end, data = time.monotonic() + TIMEOUT_S, b""
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([reader], [], [], left)
        block = os.read(reader, 1 << 16) if ready else b""
        data += block
        if not block:
            break
    os.close(reader)
    if time.monotonic() >= end:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if time.monotonic() >= end:
        return "hang", f"over {TIMEOUT_S:.0f} s"
    if not data:
        return "crash", f"signal {os.WTERMSIG(status)}"
    kind, detail = json.loads(data)
    return str(kind), str(detail)


def _be_child(work: Callable[[], str], writer: int) -> None:
    from quavf.core.errors import QuavfError

    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit = 8 * MEMORY_MB << 20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        kind, detail = "used", work()
    except QuavfError as error:
        kind, detail = ("traceback" if "\n" in str(error) else "refused"), str(error)
    except MemoryError:
        kind, detail = "memory", traceback.format_exc(limit=-3)
    except BaseException:
        kind, detail = "traceback", traceback.format_exc(limit=-6)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    if grown > MEMORY_MB:
        kind, detail = "memory", f"{grown} MB: {detail}"
    os.write(writer, json.dumps([kind, detail[:4000]]).encode())
    os._exit(0)


def format_table(outcomes: list[Outcome]) -> str:
    """Count the outcomes by target, as a Markdown table."""
    lines = [
        f"| input | inputs | {' | '.join(OUTCOMES)} |",
        f"|---|{'---:|' * (len(OUTCOMES) + 1)}",
    ]
    for name in [*dict.fromkeys(o.target for o in outcomes), ""]:
        own = Counter(o.kind for o in outcomes if o.target == name or not name)
        counts = " | ".join(str(own[kind]) for kind in OUTCOMES)
        lines.append(f"| {name or 'all'} | {own.total()} | {counts} |")
    return "\n".join(lines)


def record(table: str) -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}", encoding="utf-8")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Feed the commands with damaged input.")
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=fuzz_targets.TARGETS, metavar="NAME")
    parser.add_argument("--number", type=int, help="run only this input of each target")
    parser.add_argument("--record", action="store_true", help=f"write the counts into {PAGE.name}")
    args = parser.parse_args(words)

    def report(outcome: Outcome) -> None:
        if outcome.kind not in WANTED or args.number is not None:
            line = f"{outcome.target} --number {outcome.number}: {outcome.kind}: {outcome.detail}"
            print(line, flush=True)

    names = args.only or list(fuzz_targets.TARGETS)
    outcomes = run_inputs(args.inputs, args.seed, names, args.number, report)
    table = format_table(outcomes)
    print(table)
    if args.record:
        record(table)
    return int(any(outcome.kind not in WANTED for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
