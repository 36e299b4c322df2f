"""`python -m tests.fuzz.instrumented TARGET [libFuzzer arguments]`: one target under the coverage-guided fuzzer."""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["downlink", "onboard", "ground"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    name, *arguments = sys.argv[1:]
    # GDAL tells of every codestream that does not decode.
    logging.disable(logging.CRITICAL)
    # A merge starts itself again by the first of its arguments, through a shell.
    itself = f"{sys.executable} -m tests.fuzz.instrumented {name}"
    atheris.Setup([itself, *arguments], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
