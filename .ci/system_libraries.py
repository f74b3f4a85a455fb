"""Says which system libraries are missing, before minutes are spent on the installation.

Exit code 0: all there. 2: some are missing; the line to install them is printed. Needs no package.
"""

import ctypes
import sys

PACKAGES = {"libEGL.so.1": "libegl1", "libGL.so.1": "libgl1"}  # what skia-python is linked against


def missing_packages() -> list[str]:
    """Return the names of the Debian packages whose libraries cannot be loaded."""
    if not sys.platform.startswith("linux"):
        return []
    missing = []
    for library, package in PACKAGES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing


if __name__ == "__main__":
    if missing := missing_packages():
        sys.stderr.write(
            "Libraries that skia-python (it draws the mini world) needs are missing. On Debian or Ubuntu:\n"
            f"  sudo apt-get install -y {' '.join(missing)}\nthen run the same command again.\n"
        )
        sys.exit(2)
