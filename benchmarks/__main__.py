"""`python -m benchmarks`: every benchmark that needs no data beyond the repository, one after the other.

Those that need the real imagery run as well where it is found: name it with TIANSHU_DATA or put it at ../shared/data.
"""

import os
import subprocess
import sys
from pathlib import Path

ALWAYS: tuple[tuple[str, ...], ...] = (("link",), ("scheduler",))
WITH_DATA: tuple[tuple[str, ...], ...] = (("orbit",), ("screening",))


def main() -> int:
    """Run each benchmark in a process of its own; the exit code says whether all ended well."""
    data = Path(os.environ.get("TIANSHU_DATA", "../shared/data"))
    chosen = list(ALWAYS) + (list(WITH_DATA) if data.is_dir() else [])
    if data.is_dir():
        chosen.append(("real_scenes", "--data", str(data)))
    failed = 0
    for name, *arguments in chosen:
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
