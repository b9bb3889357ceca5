"""int8: the convolutions of an exported graph in whole numbers of 8 bits, and what that costs and brings."""

from amiss.quantise.convolutions import quantise_convolutions
from amiss.quantise.price import Flips, Price, measure_price
from amiss.quantise.run import quantise

__all__ = ["Flips", "Price", "measure_price", "quantise", "quantise_convolutions"]
