"""Messages and fields of Envoy 1.40 that the published protos of our schema's date do not have yet.

Each has the validation rules of Envoy's own tree, so that it is read as all others are. Single fields without a message
of their own stand in support.py.
"""

from __future__ import annotations

from .descriptors import NewerField

_COOKIE_MATCHER = "envoy.config.route.v3.CookieMatcher"

NEWER = {
    _COOKIE_MATCHER: (
        NewerField(name="name", number=1, kind="string", rules={"string": {"min_len": 1}}),
        NewerField(
            name="string_match",
            number=2,
            kind="message",
            type_name="envoy.type.matcher.v3.StringMatcher",
            rules={"message": {"required": True}},
        ),
        NewerField(name="invert_match", number=3, kind="bool"),
    ),
    "envoy.config.route.v3.RouteMatch": (
        NewerField(name="cookies", number=1000, kind="message", type_name=_COOKIE_MATCHER, is_repeated=True),
    ),
}
"""By message, which is one that the set lacks or a field's."""
