"""The memory ledger: every byte of weights, gradients and optimizer state, predicted from shapes. Loads no torch.

>>> from sm3.ledger import predict
>>> predict("bert-large", "sm3").total.state, predict("bert-large", "adamw").total.state
(1348255448, 2689810456)
"""

from sm3.ledger.account import Bytes as Bytes
from sm3.ledger.account import Ledger as Ledger
from sm3.ledger.account import Row as Row
from sm3.ledger.answers import answer as answer
from sm3.ledger.answers import predict as predict
from sm3.ledger.rules.base import Step as Step
from sm3.ledger.shapes import LedgerError as LedgerError
from sm3.ledger.shapes import TensorShape as TensorShape
