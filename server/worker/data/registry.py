"""Every corpus by its name. A new one is a file beside this, its name in `CorpusName`, and one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from server.worker.data.base import Corpus
from server.worker.data.kjv import KJV
from server.worker.data.stdlib import STDLIB
from sm3.remote.recipe_specs import CorpusName

CORPORA: Mapping[CorpusName, Corpus] = MappingProxyType({
    CorpusName.STDLIB: STDLIB,
    CorpusName.KJV: KJV,
})
