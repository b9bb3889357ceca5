"""Ensemble: detectors side by side, their maps on one scale, averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Above, NotEmpty, Share
from amiss.detectors.detector import STRETCH, Detector, score_of, stretched
from amiss.features.cache import Filled, is_filling
from amiss.features.shared import SharedNetwork, StageView, share_backbones
from amiss.registry import create

MEMBERS: tuple[Mapping[str, Any], ...] = (
    {"method": "patchcore"},
    {"method": "padim"},
)


class Ensemble(Detector):
    """Several detectors look at the same image; what one calls strange and another does not counts half.

    Background model:
        That of each member, learned from all normal images but the share `held_out`. On those, which no member has
        seen, the mean and the standard deviation of each member's maps are taken, over all pixels. A member to which
        they are more than `stretch` times as strange as what it has learned from (medians of image scores) knows those
        images by heart and nothing of others: it is left out. If that is all of them, the one with the smallest ratio
        stays. Those that learn in one pass then learn from all images; mean and deviation stay.

    Statistic:
        The maps of the members that are kept, each less its mean and divided by its deviation, averaged. A backbone
        that several members use runs once.

    Assumes:
        Members err in different ways. One that only adds noise makes the others worse, and is not always left out.

    Args:
        members: One mapping per member: ``"method"``, a name of `amiss.registry.list_methods` that localises, and
            hyper-parameters that differ from its default preset.
        held_out: Share of the normal images on which members are brought to one scale, in (0, 1); at least 2 images.
        stretch: Ratio from which a member is left out; above 1 (decision 15). Members with scores below 0 have no
            ratio and stay.

    Raises:
        InputError: A hyper-parameter out of range, an unknown member or one that does not localise, or fewer than 3
            normal images.

    Cost:
        The sum of the members', less the networks that they share; those that learn in one pass learn twice.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = Ensemble(**Ensemble.card.presets["tiny"]).fit(toy_texture(10, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022, arXiv 2106.08265, averages
        PatchCore over three networks; Zimek, Campello and Sander, "Ensembles for unsupervised outlier detection", 2014,
        on why scores need one scale.
        Differs from the paper: members of any kind, and a scale from normal images that none has learned from.
    """

    card: ClassVar[Card] = Card(
        name="ensemble",
        family="composed",
        title="Ensemble",
        paper="Roth et al., Towards total recall in industrial anomaly detection (its ensemble)",
        url="https://arxiv.org/abs/2106.08265",
        year=2022,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "fast": {
                "members": [
                    {"method": "patchcore", "backbone": "efficientnet-lite0", "bank_size": 1000},
                    {"method": "padim"},
                ]
            },
            "accurate": {
                "members": [
                    {"method": "patchcore", "bank_size": 8000},
                    {"method": "patchcore", "backbone": "efficientnet-lite0", "bank_size": 8000},
                    {"method": "padim"},
                    {"method": "padim", "backbone": "efficientnet-lite2", "dimension": 150},
                ]
            },
            "paper": {
                "members": [
                    {"method": "patchcore", "preset": "paper"},
                    {"method": "patchcore", "preset": "paper", "backbone": "timm:resnext101_32x8d.tv_in1k"},
                    {"method": "patchcore", "preset": "paper", "backbone": "timm:densenet201.tv_in1k"},
                ]
            },
            "tiny": {
                "members": [{"method": "patchcore", "preset": "tiny"}, {"method": "padim", "preset": "tiny"}],
                "held_out": 0.4,
                "stretch": 100.0,
            },
        },
    )

    members: Annotated[Sequence[Mapping[str, Any]], NotEmpty] = MEMBERS
    held_out: Share = 0.2
    stretch: Annotated[float, Above(1)] = STRETCH
    mean: Tensor = buffer()
    deviation: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.inner = nn.ModuleList(_member(settings, pretrained=pretrained) for settings in self.members)
        self.networks = nn.ModuleList(share_backbones(self.inner, pretrained=pretrained))
        self.register_buffer("mean", torch.zeros(len(self.inner)))
        self.register_buffer("deviation", torch.ones(len(self.inner)))
        self.vote = Vote(len(self.inner))
        vars(self)["card"] = _card_of(type(self).card, self.detectors)

    @property
    def kept(self) -> tuple[int, ...]:
        """Numbers of the members that are not left out."""
        return self.vote.kept

    @property
    def detectors(self) -> list[Detector]:
        """The members, once built."""
        return [member for member in self.inner if isinstance(member, Detector)]

    @property
    def by_blocks(self) -> bool:
        """Whether all members do."""
        return all(member.by_blocks for member in self.detectors)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        learned, held = self._split(len(images), rng)
        seeds = rng.integers(2**63, size=len(self.detectors))
        if is_filling():
            self._fill(images.subset(learned), images, seeds, progress)
        for number in range(len(self.detectors)):
            self._learn_member(number, images.subset(learned), seeds[number], progress)
        unseen, _, self.mean, self.deviation = self._scale(images.subset(held), progress)
        if not bool((self.deviation > 0).all()):
            raise InputError("images that are held out must differ from each other, got equal scores")
        known, least, _, _ = self._scale(images.subset(learned[: len(held)]), progress)
        self.vote.kept = trusted(known.median(dim=0).values, unseen.median(dim=0).values, least, self.stretch)
        for number in self.kept:
            if self.detectors[number].card.learning is Learning.ONE_PASS:
                self._learn_member(number, images, seeds[number], progress)
        for number in set(range(len(self.detectors))) - set(self.kept):
            self._empty(number)

    @property
    def takes_more(self) -> bool:
        """Whether all members do that are not left out; these stay so, and the scale of the others stays as it is."""
        return all(self.detectors[number].takes_more for number in self.kept)

    def take_in(self, images: Images, known: int, rng: np.random.Generator, progress: Progress) -> None:
        for number in self.kept:
            self.detectors[number].take_in(images, known, rng, progress)

    def _empty(self, number: int) -> None:
        """Let go of what a member that is left out has learned: nothing asks for it."""
        member = self.detectors[number]
        empty = dict(_member(self.members[number], pretrained=False).named_buffers())
        for name, tensor in list(member.named_buffers()):
            if name in empty and empty[name].shape != tensor.shape:
                owner, _, last = name.rpartition(".")
                setattr(member.get_submodule(owner), last, empty[name])

    def _fill(self, learned: Images, images: Images, seeds: NDArray[np.int64], progress: Progress) -> None:
        """Have each member put on disk what it learns from, both times; see `amiss.features.cache.filling`."""
        for some in (learned, images):
            for number in range(len(self.detectors)):
                with suppress(Filled):
                    self._learn_member(number, some, seeds[number], progress)
        raise Filled

    def _learn_member(self, number: int, images: Images, seed: int, progress: Progress) -> None:
        """On an accelerator only where the member takes gradient steps: others learn in one pass on the CPU."""
        own, member, place = self.checkpoint, self.detectors[number], self.device
        member.checkpoint = None if own is None else replace(own, folder=own.folder / f"member-{number + 1}")
        alone = member.card.learning is not Learning.GRADIENT
        self.to("cpu" if alone else place)  # all of it: members may share a network
        member.learn(images, np.random.default_rng(seed), progress)
        self.to(place)

    def statistic(self, batch: Tensor) -> Tensor:
        kept = list(self.kept)
        mean, deviation = (values[kept].view(-1, 1, 1, 1) for values in (self.mean, self.deviation))
        return ((self._maps(batch, self.kept) - mean) / deviation).mean(dim=0)

    def remarks(self) -> tuple[str, ...]:
        """Which members were left out."""
        left = [member.card.name for number, member in enumerate(self.detectors) if number not in self.kept]
        reason = f"good images it has not seen score more than {self.stretch:g} times as high as those it learned from"
        return tuple(f"{name} is left out of the ensemble: {reason}." for name in left)

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments; once built, with names of the backbones that load without weight files."""
        settings = super().hyperparameters()
        if hasattr(self, "inner"):
            pairs = zip(self.members, self.detectors, strict=True)
            settings["members"] = [{**dict(member), **_backbone(detector)} for member, detector in pairs]
        return settings

    def _split(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Images that members learn from, and those on which they are brought to one scale."""
        held = max(2, round(self.held_out * count))
        if count <= held:
            raise InputError(f"ensemble needs at least 3 normal images, got {count}")
        order = rng.permutation(count)
        return np.sort(order[held:]), np.sort(order[:held])

    @torch.no_grad()
    def _scale(self, images: Images, progress: Progress) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image scores of each member, not standardised, (N, members); least, mean and deviation of its pixels."""
        every, maxima, minima, moments = range(len(self.inner)), [], [], []
        for batch in self.batches(images, "scale", progress):
            pixels = self._maps(batch, every).flatten(2).cpu().double()  # (members, n, H W)
            maxima.append(pixels.amax(dim=2).T.float())
            minima.append(pixels.amin(dim=(1, 2)).float())
            moments += [torch.stack([pixels.mean(dim=2), pixels.square().mean(dim=2)])]
        mean, square = torch.cat(moments, dim=2).mean(dim=2)  # over images of one size
        deviation = (square - mean.square()).clamp_min(0).sqrt().float()
        return torch.cat(maxima), torch.stack(minima).amin(dim=0), mean.float(), deviation

    def _maps(self, batch: Tensor, members: Sequence[int]) -> Tensor:
        """Maps of some members (members, N, H, W)."""
        detectors = self.detectors
        maps = torch.stack([score_of(detectors[number].statistic(batch)) for number in members])
        for network in self.networks:
            if isinstance(network, SharedNetwork):
                network.forget()
        return maps


class Vote(nn.Module):
    """Which members are kept, saved with the ensemble: what is traced must know it as plain numbers."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.kept = tuple(range(count))

    def get_extra_state(self) -> Tensor:
        """Numbers of the members."""
        return torch.tensor(self.kept)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over saved numbers."""
        self.kept = tuple(int(number) for number in state)


def trusted(known: Tensor, unseen: Tensor, least: Tensor, stretch: float) -> tuple[int, ...]:
    """Which members are kept, from the medians of their scores on normal images that they have learned and on others.

    `least` is the lowest score of each on the former.

    Example:
        >>> trusted(torch.tensor([1.0, 1.0, 0.2]), torch.tensor([1.1, 8.0, 5.0]), torch.tensor([0.0, 0.1, -2.0]), 3.0)
        (0, 2)
        >>> trusted(torch.tensor([1.0, 1.0]), torch.tensor([9.0, 8.0]), torch.zeros(2), 3.0)
        (1,)
    """
    ratios = [stretched(*some) for some in zip(known.tolist(), unseen.tolist(), least.tolist(), strict=True)]
    kept = tuple(number for number, value in enumerate(ratios) if value <= stretch)
    return kept or (ratios.index(min(ratios)),)


def _member(settings: Mapping[str, Any], *, pretrained: bool) -> Detector:
    if "method" not in settings:
        raise InputError(f'a member must be a mapping with a "method", got {settings!r}')
    own = {name: value for name, value in settings.items() if name not in ("method", "preset")}
    member = create(settings["method"], settings.get("preset", "default"), **own)
    if (learns := member.card.learns_from) is not LearnsFrom.NORMAL:
        raise InputError(
            f"a member of an ensemble must learn from normal images, got {settings['method']}, which learns from "
            f"{learns}"
        )
    member.build(pretrained=pretrained)
    if not member.card.localises:
        raise InputError(f"a member of an ensemble must localise, got {settings['method']}; patchwise makes it do so")
    return member


def _backbone(detector: Detector) -> dict[str, Any]:
    """The full name of a member's backbone, as its settings call it."""
    views = [part for part in detector.modules() if isinstance(part, StageView)]
    return {"backbone": views[0].name} if len(views) == 1 and "backbone" in detector.hyperparameters() else {}


def _card_of(card: Card, members: Sequence[Detector]) -> Card:
    """Of this detector: the class cannot know who is inside."""
    cards = [member.card for member in members]
    return replace(
        card,
        learning=Learning.GRADIENT if any(one.learning is Learning.GRADIENT for one in cards) else Learning.ONE_PASS,
        exportable=all(one.exportable for one in cards),
        weights_licence=", ".join(dict.fromkeys(one.weights_licence for one in cards)),
    )
