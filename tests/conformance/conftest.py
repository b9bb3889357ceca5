"""Toy images are too small to share: on a busy machine a second torch thread costs several times what it gains."""

import torch

torch.set_num_threads(1)
