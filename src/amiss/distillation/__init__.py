"""Making teachers: small patch networks that learn from a large frozen backbone what images are made of."""

from amiss.distillation.teachers import Distilled, default_steps, distil

__all__ = ["Distilled", "default_steps", "distil"]
