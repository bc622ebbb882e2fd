"""The schema: Envoy v3's messages as frozen dataclasses, and the loader that reads Envoy's own files into them."""

from .model import *  # noqa: F403
from .model import __all__ as _model_names
from .policy import Policy
from .policy_warning import PolicyWarning

__all__ = ["Policy", "PolicyWarning", *_model_names]  # noqa: PLE0604 - they are strings
