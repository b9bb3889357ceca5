"""One network for several detectors: a frozen backbone that more than one of them asks for runs once per batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from amiss.features.extractor import FeatureExtractor


class StageView(nn.Module):
    """Some stages of a network that several detectors share; stands where the detector's own extractor stood.

    Args:
        network: Has at least the stages of `own`. It belongs to whoever shares it, not to this module.
        own: The extractor that is replaced.
    """

    def __init__(self, network: SharedNetwork, own: FeatureExtractor) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple: not a submodule, saved once, by its owner
        self.name, self.licence, self.strides = own.name, own.licence, own.strides
        self.channels, self.cells = own.channels, own.cells
        self._places = tuple(network.strides.index(stride) for stride in own.strides)

    def forward(self, batch: Tensor) -> list[Tensor]:
        """Feature maps of a batch (N, 3, H, W) in [0, 1]: one (N, C, h, w) per stage."""
        maps = self._network[0].maps_of(batch)
        return [maps[place] for place in self._places]

    def key(self) -> str:
        """As of `FeatureExtractor`: what tells these features from any others."""
        return f"{self.strides} of {self._network[0].key()}"


class SharedNetwork(FeatureExtractor):
    """A frozen backbone that keeps the maps of its last batch for whoever asks next."""

    _last: tuple[Tensor, list[Tensor]] | None = None

    def maps_of(self, batch: Tensor) -> list[Tensor]:
        """Feature maps of a batch; computed once however often the same tensor is asked about in a row."""
        if self._last is None or self._last[0] is not batch:
            self._last = (batch, self(batch))
        return self._last[1]

    def forget(self) -> None:
        """Let go of the last batch."""
        self._last = None


def share_backbones(detectors: Iterable[nn.Module], *, pretrained: bool) -> list[SharedNetwork]:
    """Replace the extractors of detectors by views of one network per backbone, in place.

    Extractors of one backbone with other stages are one network with all the stages.

    Returns:
        The networks, in the order of their first use.
    """
    owners = [owner for detector in detectors for owner in _owners(detector)]
    strides: dict[str, set[int]] = {}
    for parent, name in owners:
        extractor = getattr(parent, name)
        strides.setdefault(extractor.name, set()).update(extractor.strides)
    networks = {name: SharedNetwork(name, sorted(wanted), pretrained=pretrained) for name, wanted in strides.items()}
    for parent, name in owners:
        extractor = getattr(parent, name)
        setattr(parent, name, StageView(networks[extractor.name], extractor))
    return list(networks.values())


def _owners(detector: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Each module that holds an extractor, and the name under which it does."""
    for parent in list(detector.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FeatureExtractor):
                yield parent, name
