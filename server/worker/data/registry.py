"""Every corpus and every image set by its name.

A new one is a file beside this, its name in `CorpusName` or `ImageSetName`, and one line here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from server.worker.data.base import Corpus
from server.worker.data.fashion_mnist import FASHION_MNIST
from server.worker.data.images import ImageSet
from server.worker.data.kjv import KJV
from server.worker.data.mnist import MNIST_5K
from server.worker.data.stdlib import STDLIB
from sm3.remote.recipe_specs import CorpusName, ImageSetName

CORPORA: Mapping[CorpusName, Corpus] = MappingProxyType({
    CorpusName.STDLIB: STDLIB,
    CorpusName.KJV: KJV,
})

IMAGE_SETS: Mapping[ImageSetName, ImageSet] = MappingProxyType({
    ImageSetName.MNIST_5K: MNIST_5K,
    ImageSetName.FASHION_MNIST: FASHION_MNIST,
})
