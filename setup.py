"""The optional C kernel; everything else about the package is in pyproject.toml.

Without a working compiler the package installs all the same and steps by the eager kernel.
"""

from __future__ import annotations

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

# No FMA contraction: accumulators are bit for bit those of the other kernels. The rest lets loops vectorise
# without giving up IEEE square roots, divisions, NaN or inf.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing"]


class BuildWithOpenMPIfThereIs(build_ext):
    """Builds with OpenMP where the compiler has it, else single-threaded."""

    def build_extension(self, ext: Extension) -> None:
        """Build one extension, trying the flags for OpenMP first."""
        try:
            ext.extra_compile_args, ext.extra_link_args = [*FLAGS, "-fopenmp"], ["-fopenmp"]
            super().build_extension(ext)
        except (CompileError, LinkError):
            ext.extra_compile_args, ext.extra_link_args = FLAGS, []
            super().build_extension(ext)


setup(
    ext_modules=[
        Extension(
            "sm3.kernels._cpu",
            ["sm3/csrc/step.c"],
            depends=["sm3/csrc/rows.h", "sm3/csrc/task.h"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildWithOpenMPIfThereIs},
)
