"""The schema: Envoy v3's messages as frozen dataclasses, and the loader that reads Envoy's own files into them.

The model is imported when one of its names is first asked for: a client without a policy needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .policy import Policy
from .policy_warning import PolicyWarning

if TYPE_CHECKING:
    from .model import *  # noqa: F403
    from .model import __all__ as _model_names

    __all__ = ["Policy", "PolicyWarning", *_model_names]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Any:
    if not name.startswith("__") or name == "__all__":
        model = import_module(".model", __name__)
        if name == "__all__":
            return ["Policy", "PolicyWarning", *model.__all__]
        if name in model.__all__:
            value = globals()[name] = getattr(model, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
