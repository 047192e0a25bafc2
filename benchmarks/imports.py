"""What `import authy_wsgi` costs at start, in fresh processes, beside the libraries that it loads and beside Python itself.

python benchmarks/imports.py            a table for docs/performance.md
python benchmarks/imports.py --fast     fewer samples
"""

from __future__ import annotations

import json
import subprocess
import sys

import pyperf

# Asked of a process of its own: what came from where libraries are installed, each by the name under which it can be imported again.
LOADED = """
import json, sys, sysconfig
before = set(sys.modules)
import authy_wsgi
places = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
found = [(name, getattr(module, "__spec__", None)) for name, module in list(sys.modules.items()) if name not in before and not name.startswith("authy_wsgi")]
print(json.dumps([name for name, spec in found if spec and spec.name == name and str(spec.origin).startswith(places)]))
"""


def libraries() -> list[str]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LOADED], check=True, capture_output=True, text=True)
    return list(json.loads(done.stdout))


def main() -> None:
    runner = pyperf.Runner(metadata={"description": "authy_wsgi imports"})
    cases = {
        "Python": "pass",
        "its libraries": f"import {', '.join(libraries())}",
        "authy_wsgi": "import authy_wsgi",
    }
    results = {}
    for name, statement in cases.items():
        bench = runner.bench_command(name, [sys.executable, "-c", statement])
        if bench is not None and not runner.args.worker:
            results[name] = bench.mean()
    if len(results) == len(cases):
        table(results)


def table(results: dict[str, float]) -> None:
    print("\n| a process that imports | time | x libraries | x Python |\n| --- | ---: | ---: | ---: |")
    for name, mean in results.items():
        print(f"| {name} | {mean * 1e3:.0f} ms | {mean / results['its libraries']:.2f} | {mean / results['Python']:.1f} |")


if __name__ == "__main__":
    main()
