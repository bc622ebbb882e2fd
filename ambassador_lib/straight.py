"""The layers that every call passes once, as one coroutine, for listeners without filters.

The order is that of `Stack.listener_chain`, which says why. Nothing is done here but to run the layers' own halves, one
after the other; a test holds calls that go this way to what the same layers make of them one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import httpx

from .errors import AmbassadorError, RequestBodyFailed

if TYPE_CHECKING:
    from .call import Call, Next
    from .handlers.admit import Admit
    from .handlers.local_reply import LocalReplies
    from .handlers.observe import Observe
    from .handlers.route import ChooseRoute
    from .handlers.router import Router


def straight(observe: Observe, local_replies: LocalReplies, admit: Admit, choose_route: ChooseRoute) -> Next:
    """Return the way through these layers and, where it stands right below, the router's."""

    async def handle(call: Call) -> httpx.Response:
        try:
            try:
                admit.prepare(call)
                way = choose_route.way_of(call)
                # No other layer has halves; named, it is called without being looked up.
                router, chain = cast("Router | None", way.above), way.chain
                if router is None:
                    response = await chain(call)
                else:
                    try:
                        router.request(call)
                        response = await chain(call)
                    except AmbassadorError as error:
                        router.failed(call, error)
                        raise
                    router.response(call, response)
            except AmbassadorError as error:
                reply = local_replies.failed(call, error)
                if reply is None:
                    raise
                response = reply
            else:
                local_replies.response(call, response)
        except RequestBodyFailed as signal:
            observe.request_failed(call, signal)
            raise signal.error from signal.error.__cause__
        except BaseException as error:
            observe.broke_off(call, error)
            raise
        observe.response(call, response)
        return response

    return handle
