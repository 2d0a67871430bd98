"""`python -m tools.bench NAME …`: one benchmark. Without a name: which there are."""

import sys

from tools.bench.names import BENCHES, lines, run


def main(argv: "list[str]") -> int:
    """The command; 2 for a name that there is not."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m tools.bench NAME [--help | options]\n")
        print("\n".join(lines()))
        return 0
    if argv[0] not in BENCHES:
        print(f"no benchmark {argv[0]!r}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    return run(argv[0], argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
