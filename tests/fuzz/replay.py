"""`python -m tests.fuzz.replay TARGET FILE...`: inputs through their target without a fuzzer; an error comes out as a traceback."""

import sys
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS


def main() -> int:
    """Replays every file; stops at the first that breaks the contract."""
    name, *files = sys.argv[1:]
    for file in files:
        data = Path(file).read_bytes()
        start_s = time.process_time()
        TARGETS[name].run(data)
        sys.stdout.write(f"{file}: {len(data)} bytes, contract kept, {time.process_time() - start_s:.3f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
