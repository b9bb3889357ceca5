"""The picture of docs/tutorial/in_everyday_words.md: 39 calibration scores, a threshold, and a new part."""

from __future__ import annotations

import numpy as np

N, NEW = 39, 2
"""Calibration scores, and how many of all 40 are at least as large as the threshold's."""


def picture() -> str:
    """SVG. The scores are drawn at random from a gamma distribution; everything else is counted."""
    scores = np.sort(np.random.default_rng(7).gamma(6.0, 1.0, N))
    new = (scores[-2] + scores[-1]) / 2
    left, right = 16.0, 404.0
    line, part = ((one - scores[0]) for one in ((scores[-2] + new) / 2, new))
    scale = (right - left - 16) / float(scores[-1] - scores[0])
    x = [left + 8 + scale * float(one - scores[0]) for one in scores]
    dots = "".join(f'<circle cx="{at:.1f}" cy="88" r="4.5" fill="#3f7cac" fill-opacity=".75"/>' for at in x)
    border, strange = left + 8 + scale * float(line), left + 8 + scale * float(part)
    above = int(np.sum(scores >= new)) + 1
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 420 176" width="420" height="176" role="img" '
        'font-family="system-ui, sans-serif" font-size="15" fill="#1c2126">'
        "<title>39 calibration scores, the threshold behind the 38th, and a new part"
        '</title><rect width="420" height="176" rx="6" fill="#fff"/>'
        f'<text x="{left}" y="26">39 good parts, never learned from</text>'
        f'<path d="M{left} 88H{right}" stroke="#5d6771"/>{dots}'
        f'<path d="M{border:.1f} 58V108" stroke="#b3261e" stroke-width="2"/>'
        f'<text x="{border - 8:.1f}" y="62" text-anchor="end" fill="#b3261e">threshold: rejects 2 in 40</text>'
        f'<path d="M{strange:.1f} 96l8 14h-16z" fill="#b3261e"/>'
        f'<text x="{right}" y="134" text-anchor="end">a new part: p = {above}/40 = {above / (N + 1):.2f}</text>'
        f'<text x="{right}" y="164" text-anchor="end" fill="#5d6771">stranger &#8594;</text></svg>\n'
    )
