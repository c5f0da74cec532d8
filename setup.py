"""What pyproject.toml cannot say: the compiled parts, which are optional.

A machine without a compiler gets the package without them: the same answers, slower. MOCKEXPORT_BUILD_EXT=require makes
a failing compiler an error, MOCKEXPORT_BUILD_EXT=no does without.
"""

import os
import sys

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

# Without this, an environment that fails to compile would pass for a working one: CI and packagers set it.
WANTED = os.environ.get("MOCKEXPORT_BUILD_EXT", "optional")
if WANTED not in ("optional", "require", "no"):
    raise SystemExit(f"MOCKEXPORT_BUILD_EXT: {WANTED!a} is none of optional, require, no")

# One build serves every Python from 3.11 on.
LIMITED_API = "0x030B0000"

# The kernel's crew (native/crew.h).
THREADS = ["-pthread"] if os.name == "posix" else []


def extension(name: str, headers: list[str]) -> Extension:
    source = name.replace(".", "/") + ".pyx"
    return Extension(
        name,
        [source],
        depends=[f"mockexport/native/{header}.h" for header in headers],
        libraries=["m"] if os.name == "posix" else [],
        include_dirs=["mockexport"],
        # No -march, no -ffast-math: the same build, and the same bits, on every machine.
        extra_compile_args=["-O3", "-std=c11", "-fno-strict-aliasing", "-ffp-contract=off", *THREADS],
        extra_link_args=THREADS,
        define_macros=[("Py_LIMITED_API", LIMITED_API), ("CYTHON_LIMITED_API", "1")],
        py_limited_api=True,
        optional=WANTED == "optional",
    )


extensions = []
if WANTED != "no":
    extensions = [
        extension("mockexport._arrow", ["arrow"]),
        extension(
            "mockexport._kernel",
            [
                "bounds",
                "columns",
                "counting",
                "coverage",
                "crew",
                "described",
                "dump",
                "families",
                "fields",
                "figures",
                "gather",
                "hash",
                "heap",
                "ids",
                "index",
                "load",
                "patterns",
                "plan",
                "reach",
                "room",
                "rows",
                "runs",
                "scanning",
                "splitting",
                "state",
                "times",
                "wide",
            ],
        ),
        extension(
            "mockexport.formats.fhir._lines",
            ["blake2b", "hash", "ids", "index", "json_line", "json_shape", "observations", "repeated", "room"],
        ),
        extension("mockexport.server._generator", ["generate"]),
    ]


class Whole(sdist):
    """A source distribution from which tests run and pages are built."""

    def make_distribution(self) -> None:
        for folder in ("tests", "docs", "examples", ".ci", ".github"):
            self.filelist.graft(folder)
        for pattern in ("*.py[co]", "*.so"):
            self.filelist.global_exclude(pattern)
        self.filelist.recursive_exclude("mockexport", "*.c")  # a build makes them
        super().make_distribution()


# The names that the user's documents use, the mock server and the counts of an export, are there where this folder is
# worked on. On other people's paths they would be in the way.
SHORT = ["server = mockexport.cli:server", "cli = mockexport.cli:counts"] if "editable_wheel" in sys.argv else []

setup(
    ext_modules=extensions,
    cmdclass={"sdist": Whole},
    entry_points={
        "console_scripts": ["mockexport = mockexport.cli:main", *SHORT],
        # A fixture, imported by pytest in every run; it loads nothing until a test asks for it.
        "pytest11": ["mockexport = mockexport.testing.plugin"],
    },
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if extensions else {},
)
