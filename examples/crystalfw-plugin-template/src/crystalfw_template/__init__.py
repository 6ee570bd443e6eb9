"""A plugin package: what it offers is registered here; nothing heavy is imported until a recipe asks for it."""

from crystalfw.core import hookimpl

CRYSTALFW_INTERFACE = 1
"""The interface version that this package was written for."""


@hookimpl
def crystalfw_register(registry):
    """Offer four components; import strings keep `crystalfw plugins` quick."""
    registry.add("encoder", "schnet", "crystalfw_template.schnet:SchNet", summary="continuous-filter convolutions on distances")
    registry.add(
        "conditioning", "film", "crystalfw_template.film:FiLM", summary="scale and shift in every block, from the pooled vector"
    )
    registry.add("decoder", "lstm", "crystalfw_template.lstm:LSTM", summary="stacked LSTM with the ports input and layer")
    registry.add("transform", "strain", "crystalfw_template.strain:Strain", summary="random strain that keeps the volume")
