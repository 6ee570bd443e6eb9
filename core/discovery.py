"""The plugin manager: finds distributions by entry point without importing them, loads each under guard."""

from __future__ import annotations

from functools import cache

import entrypoints
import pluggy

from crystalfw.core import hookspecs
from crystalfw.core.errors import PluginError
from crystalfw.core.registry import Origin, Registry

GROUP = "crystalfw.plugins"


class Plugins:
    """The hooks and the registry of one process."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.registry = Registry()

    def load(self, found: list[tuple[Origin, entrypoints.EntryPoint]]) -> None:
        """Load distributions one by one; one that fails is recorded with its cause and affects nothing else."""
        for origin, entry_point in found:
            try:
                plugin = entry_point.load()
                self.register(plugin, origin)
            except Exception as error:
                self.registry.failures[origin] = f"{type(error).__name__}: {error}"

    def register(self, plugin: object, origin: Origin) -> None:
        """Register one plugin object: check its hook names, let it offer its components."""
        wanted = getattr(plugin, "CRYSTALFW_INTERFACE", None)
        if wanted is not None and wanted != hookspecs.INTERFACE_VERSION:
            raise PluginError(
                f"made for interface version {wanted}, this crystalfw has {hookspecs.INTERFACE_VERSION}: "
                "install a matching release of one of them"
            )
        name = self.manager.register(plugin, name=f"{origin.distribution}:{getattr(plugin, '__name__', id(plugin))}")
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            self.manager.unregister(name=name)
            raise PluginError(f"unknown hook: {error}") from error
        self.registry.registering(origin)
        implementations = self.manager.hook.crystalfw_register.get_hookimpls()
        for implementation in implementations:
            if implementation.plugin is plugin:
                implementation.function(registry=self.registry)


def installed() -> list[tuple[Origin, entrypoints.EntryPoint]]:
    """Every installed distribution's entry points of our group, in the order of names; nothing is imported."""
    found = []
    for entry_point in entrypoints.get_group_all(GROUP):
        distribution = entry_point.distro
        origin = Origin(distribution.name if distribution else "(unknown)", distribution.version if distribution else "")
        found.append((origin, entry_point))
    return sorted(found, key=lambda pair: (pair[0].distribution, pair[1].name))


@cache
def plugins() -> Plugins:
    """The plugins of this process, discovered on first use."""
    loaded = Plugins()
    loaded.load(installed())
    return loaded


def registry() -> Registry:
    """The registry of this process."""
    return plugins().registry
