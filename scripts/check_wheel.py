"""Say how large a wheel is, and fail if it is too large without its models."""

import argparse
import sys
import zipfile
from pathlib import Path

LARGEST = 1_000_000


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    wheels = sorted(
        arguments.parse_args().folder.glob("*.whl"), key=lambda one: one.stat().st_mtime
    )
    if not wheels:
        raise SystemExit("There is no wheel; run make wheel.")
    entries = zipfile.ZipFile(wheels[-1]).infolist()
    models = sum(one.compress_size for one in entries if one.filename.endswith(".safetensors"))
    rest = sum(one.compress_size for one in entries) - models
    print(f"{wheels[-1].name}: {rest:,} bytes, and {models:,} of models")
    return int(rest > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
