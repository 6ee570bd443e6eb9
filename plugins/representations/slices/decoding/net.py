"""The length net: predicts from a geometry the length of each pair of atoms and the volume of the cell.

A PaiNN-like message-passing net (Schuett, Unke, Gastegger, ICML 2021) on edges, near non-bonded pairs and second
neighbours: invariant outputs from scalar and vector features of the atoms.

Shapes: B crystals, N atoms, P pairs, F scalar features, V = F / 2 vector features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from crystalfw.plugins.representations.slices.decoding.bond_table import N_ELEMENTS

WIDTH, LAYERS, RADIAL = 64, 3, 16
N_ELEMENT_FEATURES = 20
_PAIR_FLAGS, _DEGREE_FLAGS = 10, 8
FURTHEST = 1.6
"""Distance over mean bond at which the messages of non-bonded pairs have faded out."""


@dataclass(frozen=True)
class PairInputs:
    """Inputs of the net: P pairs, edges first."""

    source: Tensor
    target: Tensor
    label: Tensor
    unit: Tensor
    """(P, 3) direction from source to target."""
    length: Tensor
    """(P,) present length, angstrom."""
    reference: Tensor
    """(P,) the length that predictions are relative to: expected for edges, present for the rest."""
    scale: Tensor
    """(P,) mean bond of the two atoms, angstrom."""
    edge: Tensor
    """(P,) bool, edges of the graph."""
    contact: Tensor
    """(P,) bool, flagged contacts."""
    stated: Tensor
    """(P,) bool, edges with a length token."""
    step: Tensor
    """(P,) width of the token in ln d."""
    second: Tensor
    """(P,) bool, second neighbours over an atom of few edges."""
    leverage: Tensor
    """(P,) how much the net of bonds depends on the edge; 0 for other pairs."""
    numbers: Tensor
    """(N,) atomic numbers."""
    degree: Tensor
    """(N,) edge ends at the atom, contacts not counted."""
    atom_scale: Tensor
    """(N,) mean bond of the atom, angstrom."""
    crystal: Tensor
    """(N,) crystal of the atom."""
    size: int
    """B."""


@dataclass(frozen=True)
class Prediction:
    """ln(length / reference) and ln V with the logarithm of their expected absolute errors."""

    ln_ratio: Tensor
    ln_error: Tensor
    ln_volume: Tensor
    ln_volume_error: Tensor


def element_features() -> Tensor:
    """(Z, 20) float32: electronegativity, radii, oxidation states, block and place in the periodic table."""
    import warnings

    from pymatgen.core import Element

    rows = torch.zeros(N_ELEMENTS, N_ELEMENT_FEATURES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns for every element without electronegativity
        for z in range(1, N_ELEMENTS):
            element = Element.from_Z(z)
            electronegativity = element.X if math.isfinite(element.X) else 0.0
            states = element.common_oxidation_states or (0,)
            values = [
                electronegativity / 4,
                float(element.atomic_radius or 1.5) / 2.5,
                float(element.average_ionic_radius or 0.0) / 1.5,
                element.group / 18,
                float(element.mendeleev_no or 0) / 100,
                z / 100,
                max(states) / 8,
                min(states) / 4,
                *(float(element.block == block) for block in "spdf"),
                *(float(element.row == row) for row in range(1, 8)),
            ]
            rows[z, : len(values)] = torch.tensor(values)
    return rows


def _two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class LengthNet(nn.Module):
    """Geometry -> expected lengths of all pairs and ln V of the cell."""

    element: Tensor
    centres: Tensor

    def __init__(self, width: int = WIDTH, layers: int = LAYERS) -> None:
        super().__init__()
        self.width, self.vectors = width, width // 2
        pair_width, message_width = RADIAL + _PAIR_FLAGS, width + 2 * self.vectors
        self.register_buffer("element", torch.zeros(N_ELEMENTS, N_ELEMENT_FEATURES))
        self.register_buffer("centres", torch.linspace(0.5, 2.0, RADIAL))
        self.embed = nn.Embedding(N_ELEMENTS, width)
        nn.init.normal_(self.embed.weight, std=0.3)
        self.atom = _two_layers(N_ELEMENT_FEATURES + width + _DEGREE_FLAGS + 1, width, width)
        self.message = nn.ModuleList([_two_layers(width, width, message_width) for _ in range(layers)])
        self.filter = nn.ModuleList([_two_layers(pair_width, width, message_width) for _ in range(layers)])
        self.mix = nn.ModuleList([nn.Linear(self.vectors, 2 * self.vectors, bias=False) for _ in range(layers)])
        self.update = nn.ModuleList([_two_layers(2 * width, width, message_width - self.vectors) for _ in range(layers)])
        self.vectors_out = nn.Linear(self.vectors, 2 * self.vectors, bias=False)
        self.read_pair = nn.Sequential(
            nn.Linear(3 * width + pair_width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 4)
        )
        self.read_volume = _two_layers(width, width, 2)
        for last, bias in ((self.read_pair[-1], (0.0, -2.5, 0.0, -2.0)), (self.read_volume[-1], (0.0, -2.0))):
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            last.bias.data = torch.tensor(bias)

    def _atoms(self, inputs: PairInputs) -> Tensor:
        degree = inputs.degree.float()
        flags = [(inputs.degree == count).float() for count in (1, 2, 3, 4, 6)]
        flags += [(degree >= 12).float(), degree.clamp_min(1).log(), degree / 12, inputs.atom_scale.log()]
        known = torch.cat([self.element[inputs.numbers], self.embed(inputs.numbers), torch.stack(flags, 1)], 1)
        return self.atom(known)

    def _pairs(self, inputs: PairInputs) -> Tensor:
        relative = inputs.length / inputs.scale
        radial = torch.exp(-0.7 * ((relative[:, None] - self.centres) * (RADIAL / 1.5)).square())
        flags = [inputs.edge, inputs.contact, inputs.stated, inputs.second]
        numbers = [
            inputs.step / 0.14,
            inputs.leverage,
            2 * (inputs.length / inputs.reference).log().clamp(-1, 1),
            inputs.reference.log(),
            inputs.scale.log(),
            (inputs.length / inputs.scale).log().clamp(-1, 1),
        ]
        return torch.cat([radial, torch.stack([flag.float() for flag in flags] + numbers, 1)], 1)

    def forward(self, inputs: PairInputs) -> Prediction:
        """Predictions for every pair and crystal."""
        pair, widths = self._pairs(inputs), [self.width, self.vectors, self.vectors]
        h_NF = self._atoms(inputs)
        v_N3V = h_NF.new_zeros(len(h_NF), 3, self.vectors)
        faded = 0.5 * (torch.cos(math.pi * (inputs.length / (FURTHEST * inputs.scale)).clamp(max=1)) + 1)
        envelope = 0.25 * torch.where(inputs.edge, torch.ones_like(faded), faded)[:, None]
        sender, receiver = torch.cat([inputs.target, inputs.source]), torch.cat([inputs.source, inputs.target])
        unit = torch.cat([inputs.unit, -inputs.unit])[:, :, None]
        layers = zip(self.message, self.filter, self.mix, self.update, strict=True)
        for depth, (message, pair_filter, mix, update) in enumerate(layers):
            weight = pair_filter(pair) * envelope
            scalar, along, passed = (message(h_NF)[sender] * torch.cat([weight, weight])).split(widths, 1)
            h_NF = h_NF + torch.zeros_like(h_NF).index_add_(0, receiver, scalar)
            moved = along[:, None, :] * unit
            if depth:  # the vectors are zero before the first layer
                moved = moved + passed[:, None, :] * v_N3V[sender]
            v_N3V = v_N3V + torch.zeros_like(v_N3V).index_add_(0, receiver, moved)
            left, right = mix(v_N3V).split(self.vectors, 2)
            size = (right.square().sum(1) + 1e-6).sqrt()
            shift, turn = update(torch.cat([h_NF, size, (left * right).sum(1)], 1)).split([self.width, self.vectors], 1)
            h_NF = h_NF + shift
            v_N3V = v_N3V + left * turn[:, None, :]
        return self._read(inputs, pair, h_NF, v_N3V)

    def _read(self, inputs: PairInputs, pair: Tensor, h_NF: Tensor, v_N3V: Tensor) -> Prediction:
        source, target = inputs.source, inputs.target
        across, inwards = self.vectors_out(v_N3V).split(self.vectors, 2)
        facing = ((inwards[source] - inwards[target]) * inputs.unit[:, :, None]).sum(1)
        both = [h_NF[source] + h_NF[target], h_NF[source] * h_NF[target], (across[source] * across[target]).sum(1), facing]
        out = self.read_pair(torch.cat([*both, pair], 1))
        ln_ratio = torch.where(inputs.edge, out[:, 0], out[:, 2])
        ln_error = torch.where(inputs.edge, out[:, 1], out[:, 3]).clamp(-5.5, 1.0)
        per_atom = self.read_volume(h_NF)
        zero_B = h_NF.new_zeros(inputs.size)
        volume_B = zero_B.index_add(0, inputs.crystal, per_atom[:, 0].exp() * 0.9 * inputs.atom_scale**3)
        count_B = torch.bincount(inputs.crystal, minlength=inputs.size).to(h_NF.dtype)
        error_B = zero_B.index_add(0, inputs.crystal, per_atom[:, 1]) / count_B
        return Prediction(ln_ratio, ln_error, volume_B.clamp_min(1e-3).log(), error_B.clamp(-5.5, 1.0))

    @classmethod
    def read(cls, path: Path) -> LengthNet:
        """The net from a safetensors file, ready to predict."""
        from safetensors.torch import load_file

        tensors = load_file(path)
        width = tensors["embed.weight"].shape[1]
        layers = sum(name.startswith("mix.") for name in tensors)
        net = cls(width, layers)
        net.load_state_dict(tensors)
        return net.eval().requires_grad_(False)

    def write(self, path: Path) -> None:
        """Write all parameters and buffers as safetensors."""
        from safetensors.torch import save_file

        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}, path)
