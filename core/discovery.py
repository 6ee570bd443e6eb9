"""The plugin manager: finds distributions by entry point without importing them, loads each under guard."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import metadata
from typing import Any

import entrypoints
import pluggy

from crystalfw.core import hookspecs
from crystalfw.core.errors import PluginError
from crystalfw.core.registry import Origin, Registry, canonical

GROUP = "crystalfw.plugins"


class Plugins:
    """The hooks and the registry of one process."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.registry = Registry()
        self._origins: dict[str, Origin] = {}

    def load(self, found: list[tuple[Origin, entrypoints.EntryPoint]]) -> None:
        """Load distributions one by one; one that fails is recorded with its cause and affects nothing else."""
        for origin, entry_point in found:
            try:
                self.register(entry_point.load(), origin)
            except (Exception, SystemExit) as error:  # a script named as a plugin may call sys.exit
                cause = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
                self.registry.fail(origin, f"entry point {entry_point.name}: {cause}")

    def register(self, plugin: object, origin: Origin) -> None:
        """Register one plugin object: check its interface and hook names, let it offer its components; all or nothing."""
        wanted = getattr(plugin, "CRYSTALFW_INTERFACE", None)
        if wanted is not None and wanted != hookspecs.INTERFACE_VERSION:
            raise PluginError(
                f"made for interface version {wanted}, this crystalfw has {hookspecs.INTERFACE_VERSION}: "
                "install a matching release of one of them"
            )
        name = f"{origin.distribution}:{getattr(plugin, '__name__', id(plugin))}"
        self.manager.register(plugin, name=name)
        self._origins[name] = origin
        before = self.registry.snapshot()
        try:
            self._check_hook_names()
            self.registry.registering(origin)
            for implementation in self.manager.hook.crystalfw_register.get_hookimpls():
                if implementation.plugin is plugin:
                    implementation.function(registry=self.registry)
        except BaseException:
            self.registry.restore(before)
            self._drop(name)
            raise

    def notify(self, hook: str, **facts: Any) -> None:
        """Call a life-cycle hook. An implementation that raises is reported once and not called again: a spectator
        never stops a run. Facts that an implementation does not ask for are left out, as pluggy does."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                implementation.function(**{name: facts[name] for name in implementation.argnames})
            except Exception as error:
                name = implementation.plugin_name
                origin = self._origins.get(name, name)
                self._drop(name)
                warnings.warn(
                    f"{origin}: its hook {hook} raised {type(error).__name__}: {error}. The run continues; hooks of this "
                    "plugin are not called again. Report it to the plugin's authors, or uninstall it.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _check_hook_names(self) -> None:
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            known = ", ".join(sorted(name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), "crystalfw_spec")))
            raise PluginError(f"unknown hook: {error}. Hooks: {known}") from error

    def _drop(self, name: str) -> None:
        if self.manager.has_plugin(name):
            self.manager.unregister(name=name)


def installed() -> list[tuple[Origin, entrypoints.EntryPoint]]:
    """Every installed distribution's entry points of our group, in the order of names; nothing is imported."""
    found = []
    for entry_point in entrypoints.get_group_all(GROUP):
        found.append((_origin(entry_point.distro), entry_point))
    return sorted(found, key=lambda pair: (pair[0].distribution, pair[1].name))


def _origin(distribution: entrypoints.Distribution | None) -> Origin:
    if distribution is None:
        return Origin("(unknown)", "")
    # An egg-info folder, as an editable installation leaves beside the sources, has its version inside, not in its name.
    try:
        version = distribution.version or metadata.version(distribution.name)
    except metadata.PackageNotFoundError:
        version = ""
    return Origin(canonical(distribution.name), version)


@cache
def plugins() -> Plugins:
    """The plugins of this process, discovered on first use."""
    loaded = Plugins()
    loaded.load(installed())
    return loaded


def registry() -> Registry:
    """The registry of this process."""
    return plugins().registry
