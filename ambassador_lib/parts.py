"""What the layers are made of: the policy, what all layers of a client share, and a connection manager's own parts."""

from __future__ import annotations

import weakref
from functools import cached_property
from typing import TYPE_CHECKING

from .discovery.files import FileWatcher
from .discovery.subscription import Subscriptions
from .filters.base import FilterContext
from .routing.local_reply import LocalReplyRewrite
from .routing.log_filters import LogFilters
from .telemetry.metrics import shared_metrics
from .telemetry.tracing import Tracing
from .upstream.statistics import CLUSTER_STATISTICS

if TYPE_CHECKING:
    from .discovery.secrets import SecretStore
    from .engine.base import Engine
    from .options import Options
    from .policy import Policy
    from .policy.model import HttpConnectionManager, Listener
    from .runtime.base import Runtime
    from .telemetry.access_log import AccessLogs

MOST_COPIES = 256
"""Mirrored copies under way at once, in a client; more are dropped. A blocking client has a thread for each."""
MOST_RACERS = 1024
"""Hedged tries under way at once, in a client; beyond that calls are not hedged."""


class Parts:
    """Handed to all who make layers; closed with the client."""

    def __init__(self, policy: Policy, runtime: Runtime, engine: Engine, options: Options) -> None:
        self.policy = policy
        self.runtime = runtime
        self.engine = engine
        self.options = options
        self.tracing = Tracing(clock=options.clock, random=options.random)
        self.metrics = shared_metrics()
        self.stats = self.metrics.stats("cluster", CLUSTER_STATISTICS)
        self.files = FileWatcher(clock=options.clock, random=options.random, control=options.control)
        self.subscriptions = Subscriptions(self.files)
        self.copies = runtime.background(MOST_COPIES, "ambassador_lib-mirror")
        self.racers = runtime.background(MOST_RACERS, "ambassador_lib-hedge")
        self._log_filters = LogFilters(policy.runtime, options.random, options.clock)
        self._logs: weakref.WeakSet[AccessLogs] = weakref.WeakSet()

    @cached_property
    def secrets(self) -> SecretStore:
        """What TLS settings and filters name; with all of TLS, 0.2 MB that policies without these do not need."""
        from .discovery.secrets import SecretStore

        return SecretStore(self.policy.secrets, self.subscriptions, self.files)

    def filter_context(self, listener: Listener) -> FilterContext:
        """Return what the filters of a listener may use."""
        options, policy = self.options, self.policy
        secrets = self.secrets if len(listener.http_connection_manager.http_filters) > 1 else None
        return FilterContext(
            listener, self.runtime, options.clock, options.random, policy.runtime, policy.node, secrets
        )

    def replies(self, manager: HttpConnectionManager) -> LocalReplyRewrite:
        """Return what the manager makes of replies of its own."""
        return LocalReplyRewrite(manager.local_reply_config, self._log_filters, self.options.clock)

    def access_logs(self, manager: HttpConnectionManager) -> AccessLogs | None:
        """Make the manager's logs; whoever holds them keeps their files open."""
        if not manager.access_log:
            return None
        from .telemetry.access_log import AccessLogs  # few policies log

        logs = AccessLogs(manager.access_log, self._log_filters, self.options.clock)
        self._logs.add(logs)
        return logs

    async def ended(self) -> None:
        """Wait for a moment until what ran beside calls has ended."""
        await self.copies.ended()
        await self.racers.ended()

    def stop(self) -> None:
        """End what runs beside calls, and follow no file any more."""
        self.copies.cancel()
        self.racers.cancel()
        self.files.stop()

    def close_logs(self) -> None:
        """Write what waits, and let go of the files."""
        for logs in list(self._logs):
            logs.close()
