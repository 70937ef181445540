"""CPU seconds of a verb as a whole process: `python benchmarks/start.py [--runs 9]`; the least of the runs counts.

The budgets are `--help` ≤ 0.3 and a verb that only looks ≤ 0.5. Bytecode is kept, as an installation keeps it.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile

VERBS = (
    ["--help"],
    ["runs", "--help"],
    ["keys", "create"],
    ["runs"],
    ["cost"],
    ["cost", "budgets"],
    ["config", "check"],
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MOORING_")},
            "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for verb in VERBS:
            spent = sorted(cpu_of(verb, folder, environment) for _ in range(given.runs))
            print(f"mooring {' '.join(verb):16} least {spent[0]:.2f} s, median {spent[len(spent) // 2]:.2f} s of CPU")


def cpu_of(verb: list[str], folder: str, environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "mooring", *verb], cwd=folder, env=environment, check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
