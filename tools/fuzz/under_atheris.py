"""The process that Atheris runs in. It instruments what it imports, so nothing may have been imported before.

python -m tools.fuzz.under_atheris TARGET SEED [options of libFuzzer] [folders of inputs]
"""

import sys


def main(name: str, seed: int, options: "list[str]") -> None:
    """Never comes back: libFuzzer ends the process."""
    import atheris  # pyright: ignore[reportMissingImports]

    with atheris.instrument_imports(include=["protocol", "tools.dissect"]):  # pyright: ignore
        from tools.fuzz import parties, targets

        target = targets.load(name)
    parties.remember_curves()
    generator = targets.TARGETS[name].generator([], seed)

    def mutated(data: bytes, most: int, number: int) -> bytes:
        generator.random.seed(number)
        return (generator.changed(data) if len(data) > 1 else generator.next())[:most]

    def one(data: bytes) -> None:
        target.run(data)

    atheris.Setup([sys.argv[0], *options], one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
