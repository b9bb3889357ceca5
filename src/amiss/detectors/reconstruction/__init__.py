"""Reconstruction: a model that can only rebuild normal images, and the residual that says where it could not."""
