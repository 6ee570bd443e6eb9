"""NequIP's released network (PyPI) of the same irreps, layers and radial network, for the speed table.

What differs from the encoder and its twin: self-connections with weights per element (more parameters), and a linear
energy readout instead of token projections. Energies only: no forces.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from crystalfw.core import CrystalBatch

Step = Callable[[], None]


def nequip_steps(
    batch: CrystalBatch, training_step: Callable[[Callable[[], torch.Tensor], nn.Module], Step], *, compiled: bool
) -> dict[str, Step]:
    """Forward and backward of the eager and, where asked for, the compiled network."""
    import nequip
    from nequip.model import FullNequIPGNNModel
    from nequip.utils.global_state import set_global_state
    from pymatgen.core import Element

    set_global_state(allow_tf32=False)
    assert batch.edges is not None
    present = sorted(set(batch.numbers.tolist()))
    features = "64x0e+32x1o+16x2e"
    model = FullNequIPGNNModel(
        seed=0, model_dtype="float32", compile_mode="eager", r_max=5.0,
        type_names=[Element.from_Z(number).symbol for number in present],
        radial_mlp_depth=[2] * 3, radial_mlp_width=[64] * 3, feature_irreps_hidden=[features, features, "64x0e"],
        irreps_edge_sh="1x0e+1x1o+1x2e", type_embed_num_features=64, num_bessels=8, avg_num_neighbors=31.0,
        per_type_energy_scales=1.0, per_type_energy_shifts=0.0, do_derivatives=False,
    )  # fmt: skip
    cart = (batch.frac_coords[:, :, None] * batch.lattice[batch.crystal_index]).sum(1)
    data = {
        "pos": cart, "cell": batch.lattice, "pbc": torch.ones(batch.size, 3, dtype=torch.bool),
        "edge_index": torch.stack([batch.edges.target, batch.edges.source]),
        "edge_cell_shift": batch.edges.shift.to(cart.dtype),
        "atom_types": torch.searchsorted(torch.tensor(present), batch.numbers),
        "batch": batch.crystal_index, "num_atoms": batch.n_atoms,
    }  # fmt: skip
    parameters = sum(parameter.numel() for parameter in model.parameters())
    name = f"NequIP {nequip.__version__} ({parameters:,} parameters)"
    steps = {f"{name}, eager": training_step(lambda: model(dict(data))["total_energy"], model)}
    if compiled:
        fast = torch.compile(model)
        steps[f"{name}, torch.compile"] = training_step(lambda: fast(dict(data))["total_energy"], model)
    return steps
