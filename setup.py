"""What pyproject.toml cannot say: the wheel also holds the workflow, which lies beside the package, as stp/clone."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

CLONE = "stp.clone"


class WithoutThisFile(build_py):
    """The clone's part of the wheel is data alone."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """No modules in the clone's top folder, where this file is."""
        return [] if package == CLONE else super().find_package_modules(package, package_dir)


setup(
    packages=[*find_packages(include=["stp*"]), CLONE],
    package_dir={CLONE: "."},
    package_data={
        CLONE: ["Snakefile", "config.yaml", "config/**/*", "envs/environment.yaml", "profiles/*/*", "workflow/**/*"],
        "stp": ["py.typed"],
        "stp.figures": ["paper.mplstyle", "page.html"],
        "stp.overview": ["templates/*"],
    },
    cmdclass={"build_py": WithoutThisFile},
)
