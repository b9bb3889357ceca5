"""`Inspection`: an inspector with the habits of scikit-learn's outlier detectors. Needs ``pip install amiss[fit]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from amiss.core.extras import needs_fit
from amiss.core.images import Images
from amiss.front import fit
from amiss.inspector import Inspector

with needs_fit("amiss.sklearn"):
    from sklearn.base import BaseEstimator, OutlierMixin
    from sklearn.utils.validation import check_is_fitted


class Inspection(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns from good images, and tells others apart: 1 for an inlier, -1 for an outlier.

    `X` is whatever `amiss.core.images.Images` takes: arrays (N, H, W, C), a list of paths, arrays, tensors or PIL
    images. As in scikit-learn a larger `score_samples` or `decision_function` is more normal, the other way round than
    everywhere else in Amiss. `inspector_` is the whole inspector, with its promise, regions and `save`.

    Args:
        method: See `amiss.fit`, as for all others.
        preset: A preset of the method, or None.
        settings: Hyper-parameters that differ from it, or None.
        size: Side of the input, or (height, width), in pixels.
        rule: A rule or words for it, or None.
        calibration: How good images are held out.
        seed: Random seed.

    Example:
        >>> from amiss.testing import toy_part
        >>> estimator = Inspection(method="padim", preset="tiny", size=64, calibration=0.5)
        >>> estimator = estimator.fit(toy_part(20, seed=0).images)
        >>> estimator.predict(toy_part(2, seed=1, defective=True).images).tolist()
        [-1, -1]
    """

    def __init__(
        self,
        method: Any = "ensemble",
        *,
        preset: str | None = None,
        settings: Mapping[str, Any] | None = None,
        size: Any = 256,
        rule: Any = None,
        calibration: Any = "auto",
        seed: int = 0,
    ) -> None:
        self.method = method
        self.preset = preset
        self.settings = settings
        self.size = size
        self.rule = rule
        self.calibration = calibration
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803  scikit-learn's own name
        """Learn and calibrate from good images.

        Args:
            X: Good images.
            y: Not used; scikit-learn gives it.
        """
        asked = self.get_params(deep=False)
        self.inspector_: Inspector = fit(X if isinstance(X, Images) else Images(X), **asked)
        self.offset_ = -float(self.inspector_.rule.threshold)
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Minus the anomaly score of each image, (N,): larger = more normal."""
        check_is_fitted(self)
        images = X if isinstance(X, Images) else Images(X)
        return -self.inspector_.image_scores(images).image.astype(np.float64)

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """How far each image lies on the good side of the threshold, (N,): below 0 it alarms."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: N803
        """1 for what raises no alarm and -1 for what does, (N,). Mask filters do not count here; see `inspector_`."""
        return np.where(self.decision_function(X) < 0, -1, 1).astype(np.int64)

    def __sklearn_tags__(self) -> Any:
        """Images, not tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.requires_fit = True
        return tags
