"""The policy's model: Envoy v3's messages as frozen dataclasses, with Envoy's names."""

from .cluster import *  # noqa: F403
from .core import *  # noqa: F403
from .listener import *  # noqa: F403
from .route import *  # noqa: F403
from .tls import *  # noqa: F403
