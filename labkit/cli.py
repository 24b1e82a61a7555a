"""The command line: labkit doctor | bench."""

import argparse
import json
import sys
from collections.abc import Sequence

import labkit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status: 0 where all is well, 1 where not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="labkit", description="A visual learning lab for deep learning.")
    parser.add_argument("--version", action="version", version=f"labkit {labkit.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="say whether the lab can run here, and what to do where it cannot")
    doctor.add_argument("--json", action="store_true", help="print data, not text")
    bench = commands.add_parser("bench", help="measure what the lab promises, as ratios with their spread")
    bench.add_argument("names", nargs="*", metavar="NAME", help="figures to measure; all when none is named")
    bench.add_argument("--json", action="store_true", help="print data, not text")
    bench.add_argument("--list", action="store_true", help="print the figures' names, and measure nothing")
    options = parser.parse_args(arguments)
    if options.command == "doctor":
        return run_doctor(options.json)
    return run_bench(options.names, options.json, options.list)


def run_doctor(as_json: bool) -> int:
    from labkit import doctor

    findings = doctor.examine()
    print(json.dumps(doctor.as_data(findings), indent=2) if as_json else doctor.report(findings))
    return 0 if doctor.healthy(findings) else 1


def run_bench(names: Sequence[str], as_json: bool, only_list: bool) -> int:
    from labkit import bench

    unknown = [name for name in names if name not in bench.FIGURES]
    if unknown:
        print(f"No figure {', '.join(unknown)}; there are {', '.join(bench.FIGURES)}.", file=sys.stderr)
        return 2
    if only_list:
        for figure in bench.FIGURES.values():
            print(f"{figure.name:16}{figure.target:>12}  {figure.what}")
        return 0
    results = []
    for name in names or bench.FIGURES:
        results.append(bench.measure(name))
        if not as_json:
            print(results[-1], flush=True)
    if as_json:
        print(json.dumps([result.as_data() for result in results], indent=2))
    return 0 if all(result.met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
