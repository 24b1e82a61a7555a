"""The command line: labkit doctor | bench | zoo."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

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
    zoo = commands.add_parser("zoo", help="list the pretrained models, or make one again").add_subparsers(
        dest="action", required=True
    )
    zoo.add_parser("list", help="print each model's name, accuracy, size and what it is")
    build = zoo.add_parser("build", help="train a model again by its recipe (a few minutes)")
    build.add_argument("name", metavar="NAME")
    build.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="where its files go; by default here")
    options = parser.parse_args(arguments)
    if options.command == "doctor":
        return run_doctor(options.json)
    if options.command == "zoo":
        return list_zoo() if options.action == "list" else build_zoo(options.name, options.to)
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


def list_zoo() -> int:
    from labkit import zoo

    for name in zoo.names():
        card = zoo.card(name)
        kept = card["checkpoints"]
        kilobytes = sum(entry["bytes"] for entry in kept.values()) / 1000
        print(
            f"{name:16}{kept[max(kept)]['accuracy']:>7.1%} held-out accuracy {card['parameters']:>9,} parameters "
            f"{len(kept):>3} checkpoint{'s' if len(kept) > 1 else ' '} {kilobytes:>6,.0f} kB  {card['recipe']['title']}"
        )
    return 0


def build_zoo(name: str, folder: Path) -> int:
    from labkit import zoo

    if name not in zoo.names():
        print(f"No model {name}; there are {', '.join(zoo.names())}.", file=sys.stderr)
        return 2
    from labkit.zoo import building

    building.build(zoo.recipe_of(name), folder)
    print(f"Written to {folder.resolve()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
