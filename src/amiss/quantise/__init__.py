"""int8 and float16: an exported graph in fewer bits, and what that costs and brings."""

from amiss.quantise.convolutions import quantise_convolutions
from amiss.quantise.half import halve_network
from amiss.quantise.price import Flips, Price, measure_price
from amiss.quantise.run import quantise

__all__ = ["Flips", "Price", "halve_network", "measure_price", "quantise", "quantise_convolutions"]
