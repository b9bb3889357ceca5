"""Textures: functions of a size and a generator that draw one number per pixel, in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.synthesis.noise import Field, coloured_noise, simplex_noise

Texture = Callable[[tuple[int, int], np.random.Generator], Field]


def draw_texture(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """One of `TEXTURES`, at random; now and then two of them, multiplied, or one lit as a relief."""
    field = _any_texture(size, rng)
    kind = rng.random()
    if kind < 0.15:
        return stretch(field * (0.3 + 0.7 * _any_texture(size, rng)))
    return relief(field, rng) if kind < 0.3 else field


def _any_texture(size: tuple[int, int], rng: np.random.Generator) -> Field:
    return TEXTURES[int(rng.choice(len(TEXTURES), p=SHARES))](size, rng)


def stretch(field: NDArray[np.floating]) -> Field:
    """To the whole of [0, 1]; a constant field becomes 0."""
    lowest, highest = field.min(), field.max()
    return np.asarray((field - lowest) / max(highest - lowest, 1e-6), np.float32)


def plane(size: tuple[int, int], rng: np.random.Generator) -> tuple[Field, Field]:
    """Coordinates u, v of every pixel, in pixels from the middle: turned, and at times tilted or bent."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32) - np.array([height / 2, width / 2], np.float32)[:, None, None]
    angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.7 else 0.0
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    if rng.random() < 0.25:  # seen at a slant
        depth = 1 + rng.uniform(0.2, 0.9) * v / max(size)
        u, v = u / depth, v / depth
    if rng.random() < 0.3:  # bent
        reach, cells_a_side = rng.uniform(0.01, 0.06) * min(size), int(rng.integers(1, 5))
        u, v = (one + reach * hills(size, cells_a_side, rng) for one in (u, v))
    return u.astype(np.float32), v.astype(np.float32)


def hills(size: tuple[int, int], cells_a_side: int, rng: np.random.Generator) -> Field:
    """A smooth field, mean about 0 and standard deviation about 1: cubic between random numbers on a coarse grid."""
    coarse = rng.standard_normal((cells_a_side + 3, cells_a_side + 3), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _wavelength(size: tuple[int, int], rng: np.random.Generator, shortest: float = 4, longest: float = 0.3) -> float:
    return float(np.exp(rng.uniform(math.log(shortest), math.log(max(longest * min(size), shortest + 1)))))


def _edge(distance: Field, rng: np.random.Generator, softest: float = 4) -> Field:
    """1 where the distance (pixels) is below 0, 0 above, with an edge that is sharp or soft."""
    softness = 0.7 if rng.random() < 0.6 else rng.uniform(0.7, softest)
    return np.asarray(np.clip(0.5 - distance / (2 * softness), 0, 1), np.float32)


def _table(cells: NDArray[np.integer], others: NDArray[np.integer], rng: np.random.Generator) -> Field:
    """A random level for each cell of a lattice."""
    levels = rng.random((61, 67), dtype=np.float32)
    return np.asarray(levels[cells % 61, others % 67])


def stripes(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Waves, bars, saw teeth, or bars of random levels, in one direction or two."""
    total = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        u, _ = plane(size, rng)
        phase = u / _wavelength(size, rng) + rng.random()
        kind = rng.integers(4)
        if kind == 0:
            total += np.sin(2 * math.pi * phase)
        elif kind == 1:
            total += np.clip(np.sin(2 * math.pi * phase) * 6 + rng.uniform(-3, 3), -1, 1)
        elif kind == 2:
            total += phase % 1
        else:
            total += _table(np.floor(phase).astype(np.intp), np.zeros(size, np.intp), rng)
    return stretch(total)


def tiles(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Checkers, tiles, bricks: rectangles of random or alternating level, with or without joints."""
    u, v = plane(size, rng)
    side = _wavelength(size, rng, shortest=6)
    long = side * rng.choice([1.0, 1.0, 2.0, 3.0])
    row = np.floor(v / side).astype(np.intp)
    along = u + (long / 2 * (row % 2) if rng.random() < 0.4 else 0)
    column = np.floor(along / long).astype(np.intp)
    alternate = rng.random() < 0.4
    level = (row + column) % 2 if alternate else 0.3 + 0.7 * rng.random() * _table(row, column, rng)
    if not alternate or rng.random() < 0.3:
        joint = rng.uniform(0.02, 0.15) * side
        inside = np.minimum(np.minimum(v % side, side - v % side), np.minimum(along % long, long - along % long))
        level = level * (1 - _edge(inside - joint, rng, 2))
    return stretch(np.asarray(level, np.float32))


def weave(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Threads that go over and under each other."""
    u, v = plane(size, rng)
    width, twill = _wavelength(size, rng, longest=0.15), int(rng.integers(2, 5))
    a, b = u / width, v / width
    over = (np.floor(a) + np.floor(b)).astype(np.intp) % twill < twill / 2
    warp, weft = np.abs(np.sin(math.pi * a)), np.abs(np.sin(math.pi * b))
    tint = rng.uniform(0.4, 1)
    fine = 0.1 * coloured_noise(size, 0.3, rng)
    return stretch(np.where(over, warp * (0.6 + 0.4 * weft), tint * weft * (0.6 + 0.4 * warp)) + fine)


def dots(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Dots, rings or soft spots on a lattice, square or hexagonal."""
    u, v = plane(size, rng)
    pitch = _wavelength(size, rng, shortest=6)
    row = np.floor(v / pitch)
    shifted = u + pitch / 2 * (row % 2) * (rng.random() < 0.5)
    column = np.floor(shifted / pitch)
    levels = _table(row.astype(np.intp), column.astype(np.intp), rng) if rng.random() < 0.3 else np.float32(1)
    distance = np.hypot(shifted % pitch - pitch / 2, v % pitch - pitch / 2)
    radius = rng.uniform(0.15, 0.48) * pitch
    if rng.random() < 0.25:
        return stretch(levels * np.exp(-((distance / radius) ** 2)))
    if rng.random() < 0.3:
        distance = np.abs(distance - radius) + 0.7 * radius
    return stretch(levels * _edge(distance - radius, rng))


def cells(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Grains, cracks or bubbles: what is nearest to each of many random points."""
    count = int(np.exp(rng.uniform(math.log(12), math.log(size[0] * size[1] / 60))))
    points = np.ones(size, np.uint8)
    points[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = 0
    distance, labels = cv2.distanceTransformWithLabels(points, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    levels = rng.random(int(labels.max()) + 1)[labels]
    kind = rng.integers(4)
    if kind == 0:
        return np.asarray(levels, np.float32)
    if kind == 1:
        return stretch(np.asarray(distance, np.float32))
    border = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    crack = cv2.GaussianBlur(border.astype(np.float32), (0, 0), rng.uniform(0.5, 2))
    return stretch((levels if kind == 2 else 1) * (1 - crack / crack.max()))


def marble(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Veins: waves whose phase is noise; or rings of wood."""
    u, v = plane(size, rng)
    if rng.random() < 0.4:
        u = np.hypot(u - rng.uniform(-1, 1) * size[1], v * rng.uniform(0.1, 1))
    noise = coloured_noise(size, rng.uniform(1.2, 2.2), rng)
    wave = np.sin(2 * math.pi * u / _wavelength(size, rng, shortest=6) + rng.uniform(0.5, 4) * noise)
    return stretch(np.abs(wave) ** rng.uniform(0.3, 2) if rng.random() < 0.5 else wave)


def labyrinth(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Worms and spots: noise of one wavelength, with a steep contrast."""
    longest = _wavelength(size, rng, shortest=5, longest=0.25)
    field = coloured_noise(size, 0, rng, wavelengths=(0.6 * longest, longest * 1.2))
    return stretch(np.tanh(rng.uniform(0.5, 8) * (field + rng.uniform(-1, 1))))


def clouds(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Noise with details of every size, at times stretched as if brushed."""
    if rng.random() < 0.35:
        height = max(8, int(size[0] / rng.uniform(1, 4)))
        width = max(8, int(size[1] / rng.uniform(6, 30)))
        small = coloured_noise((height, width), rng.uniform(0, 1), rng)
        small = small if rng.random() < 0.5 else small.T
        return stretch(np.asarray(cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32))
    if rng.random() < 0.3:
        field = simplex_noise(size, rng.uniform(2, 10), rng, octaves=3, persistence=0.6)
        return stretch(np.abs(field) if rng.random() < 0.5 else field)
    return stretch(coloured_noise(size, rng.uniform(0.3, 2), rng).clip(-2.5, 2.5))


def strokes(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Scratches, fibres, hairs: many lines, straight or bent, along one direction or across each other."""
    canvas = np.full(size, 255 if rng.random() < 0.5 else 0, np.uint8)
    count, long = int(np.exp(rng.uniform(math.log(8), math.log(150)))), rng.uniform(0.1, 1) * max(size)
    main, spread, bend = rng.uniform(0, math.pi), rng.choice([0.1, 0.6, 3.2]), rng.choice([0.0, 0.3, 1.5])
    angle = main + rng.uniform(-spread, spread, (count, 1)) + np.cumsum(rng.normal(0, bend / 3, (count, 9)), axis=1)
    step = long * rng.uniform(0.3, 1, (count, 1, 1)) / 9
    start = rng.uniform(-0.1, 1.1, (count, 1, 2)) * [size[1], size[0]]
    points = start + np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=2) * step, axis=1)
    levels, thickness = rng.integers(0, 256, count), int(rng.integers(1, 4))
    for line, level in zip((points * 16).astype(np.int32), levels, strict=True):
        cv2.polylines(canvas, [line[:, None]], False, int(level), thickness, cv2.LINE_AA, 4)
    return np.asarray(canvas / 255, np.float32)


def letters(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Rows of letters and signs, as on labels and boards."""
    canvas, scale = np.zeros(size, np.uint8), rng.uniform(0.25, 1.4)
    font, thickness = int(rng.integers(0, 5)), int(rng.integers(1, 4))
    line, down = max(int(30 * scale), 6), 0
    while (down := down + line) < size[0] + line:
        text = "".join(map(chr, rng.integers(33, 127, max(2, int(size[1] / (16 * scale))))))
        cv2.putText(canvas, text, (int(rng.integers(-20, 20)), down), font, scale, 255, thickness, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), rng.choice([0, 0, rng.uniform(-30, 30), 90]), 1.0)
    turned = cv2.warpAffine(canvas, turn, size[::-1], borderMode=cv2.BORDER_REFLECT)
    return np.asarray(turned / 255, np.float32)


def gradient(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """A slow change, straight or round."""
    u, v = plane(size, rng)
    if rng.random() < 0.5:
        return stretch(u)
    centre = rng.uniform(-0.5, 0.5, 2) * min(size)
    return stretch(np.hypot(u - centre[0], v - centre[1]))


def relief(height: Field, rng: np.random.Generator) -> Field:
    """A field as a surface, lit from one side: dark and bright slopes, at times a gloss."""
    height = np.asarray(cv2.GaussianBlur(height, (0, 0), rng.uniform(0.6, 2.5)), np.float32)
    down, right = np.gradient(height * rng.uniform(5, 25))
    angle, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 1.2)
    light = np.array([math.cos(elevation) * math.cos(angle), math.cos(elevation) * math.sin(angle)])
    lit = (math.sin(elevation) - right * light[0] - down * light[1]) / np.sqrt(1 + right**2 + down**2)
    lit = np.maximum(lit, 0)
    return stretch(lit ** rng.uniform(4, 12) + 0.5 * lit if rng.random() < 0.4 else lit)


TEXTURES: tuple[Texture, ...] = (
    stripes,
    tiles,
    weave,
    dots,
    cells,
    marble,
    labyrinth,
    clouds,
    strokes,
    letters,
    gradient,
)
"""Everything that `draw_texture` chooses from."""

SHARES = np.array([1.0] * (len(TEXTURES) - 1) + [0.3]) / (len(TEXTURES) - 0.7)
"""How often: slow changes only form a background."""
