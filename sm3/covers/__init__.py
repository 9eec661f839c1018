"""Covers: families of index sets that share accumulators. One family a file; `registry` lists them."""

from sm3.covers.base import Cover as Cover
from sm3.covers.base import Shape as Shape
from sm3.covers.blocks import Blocks as Blocks
from sm3.covers.explicit import Explicit as Explicit
from sm3.covers.policy import CoverPolicy as CoverPolicy
from sm3.covers.registry import FAMILIES as FAMILIES
from sm3.covers.registry import from_spec as from_spec
from sm3.covers.reshaped import Reshaped as Reshaped
from sm3.covers.singletons import Singletons as Singletons
from sm3.covers.slices import Slices as Slices
from sm3.covers.union import Union as Union
from sm3.covers.whole import Whole as Whole
