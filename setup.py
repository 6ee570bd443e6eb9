"""Package names: the root folders core/, plugins/ and recipes/ are installed inside the one import name crystalfw."""

from setuptools import find_packages, setup

inner = find_packages(include=["core", "core.*", "plugins", "plugins.*"])
setup(
    packages=["crystalfw", "crystalfw.recipes", *(f"crystalfw.{name}" for name in inner)],
    package_dir={"crystalfw": "src/crystalfw", "crystalfw.recipes": "recipes"}
    | {f"crystalfw.{name}": name.replace(".", "/") for name in inner},
)
