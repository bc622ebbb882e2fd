"""Documents that Envoy takes or refuses when it starts, and that we take or refuse alike."""

from __future__ import annotations

from collections.abc import Callable

from .documents import HCM, ROUTER, ROUTER_TYPE, TYPE, added_header, document, health_check, protocol_options, tls
from .verdicts_limits import LIMITS

TAKEN = True
REFUSED = False

_PORTS = {
    '"80"': TAKEN, "80.0": TAKEN, "8e1": TAKEN, "80.5": REFUSED, '"80.0"': TAKEN, "true": REFUSED, "0x50": TAKEN,
    "0120": TAKEN, "70000": REFUSED, "-1": REFUSED, "800e-1": TAKEN, "' 80'": REFUSED, "+80": TAKEN, "1e400": REFUSED,
    '"0x50"': TAKEN, '"8_0"': REFUSED, '"080"': TAKEN, "80.": TAKEN, '".8e2"': TAKEN, '"0b1"': REFUSED,
}  # fmt: skip
_NAMES = {
    "n": REFUSED, "y": REFUSED, "Yes": REFUSED, "ON": REFUSED, "oN": TAKEN, "123": REFUSED, "0x50": REFUSED,
    "017": REFUSED, "0o17": TAKEN, "08": TAKEN, "1.5": TAKEN, "2020-01-01": TAKEN, "null": REFUSED, "~": REFUSED,
    '""': REFUSED, '"n"': TAKEN, "9007199254740993": TAKEN, "-5": REFUSED, "1_000": TAKEN, "+5": REFUSED, "1e3": TAKEN,
    "nUll": TAKEN, "!!str 5": REFUSED, ".inf": TAKEN,
}  # fmt: skip
_BOOLEANS = {
    "true": TAKEN, '"true"': TAKEN, "y": TAKEN, '"y"': TAKEN, '"True"': TAKEN, "1": REFUSED, "0": REFUSED, "on": TAKEN,
    '"on"': REFUSED, "null": TAKEN, "TRUE": TAKEN, "'false'": TAKEN, '"1"': TAKEN, '" y"': REFUSED, "1.0": REFUSED,
}  # fmt: skip
_DURATIONS = {
    "1s": TAKEN, "0.25s": TAKEN, "1.5s": TAKEN, "0s": TAKEN, "0.000000001s": TAKEN, "01s": TAKEN, "5": REFUSED,
    '"5"': REFUSED, "500ms": REFUSED, "1m": REFUSED, "1e3s": REFUSED, "-1s": REFUSED, "+1s": REFUSED, ".5s": REFUSED,
    "1.s": REFUSED, "1S": REFUSED, "0.1234567890s": REFUSED, '" 1s"': REFUSED, "100000000000s": REFUSED,
    "{seconds: 1}": TAKEN, "{seconds: 1, nanos: 5}": TAKEN, '{seconds: "1"}': TAKEN, "{}": TAKEN,
    "{nanos: 1000000000}": REFUSED, "{seconds: -1}": REFUSED, "true": REFUSED, "[1s]": REFUSED,
}  # fmt: skip
_ENUMS = {
    "round_robin": TAKEN, "ROUND_ROBIN": TAKEN, "Round_Robin": TAKEN, "round-robin": REFUSED, "0": TAKEN, '"0"': TAKEN,
    "1": TAKEN, "17": REFUSED, "nope": REFUSED, "1.0": REFUSED, "null": TAKEN, "RoundRobin": REFUSED,
}  # fmt: skip
_PERCENTS = {"50": TAKEN, "50.5": TAKEN, '"50.5"': TAKEN, ".5": TAKEN, '"0x10"': TAKEN, "NaN": REFUSED, "101": REFUSED}
_WEIGHTS = {
    "{name: c, weight: 0}": REFUSED, "{name: c}": REFUSED, "{name: c, weight: 1}": TAKEN,
    "{name: d, weight: 1}": REFUSED, "{name: c, cluster_header: x, weight: 1}": REFUSED, "{weight: 1}": REFUSED,
    "{name: c, weight: 4294967295}, {name: c, weight: 1}": REFUSED, "": REFUSED,
    "{name: c, weight: 0}, {name: c, weight: 5}": TAKEN,
}  # fmt: skip
_VALUES = {
    "%REQ(x)%": TAKEN, "%FOO%": REFUSED, "%REQ(x": REFUSED, "100%": REFUSED, "%%": TAKEN, "%REQ()%": REFUSED,
    "%req(x)%": REFUSED, "%REQ(x?y):5%": TAKEN, "%START_TIME%": TAKEN, "%UPSTREAM_HOST%": TAKEN,
}  # fmt: skip
_OPERATORS = {
    "%CONNECTION_TERMINATION_DETAILS%": TAKEN, "%CONNECTION_TERMINATION_DETAILS():3%": REFUSED, "%PATH:3%": TAKEN,
    "%METADATA(ROUTE:a):3%": TAKEN, "%METADATA(FOO:a)%": REFUSED, "%DYNAMIC_METADATA%": REFUSED, "%TRAILER(a)%": TAKEN,
    "%UPSTREAM_METADATA(a):3%": REFUSED, "%QUERY_PARAMS(RAW)%": REFUSED, "%QUERY_PARAMS(DECODED):2%": TAKEN,
    "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%": REFUSED, "%COMMON_DURATION(DS_RX_BEG:FOO:ns)%": TAKEN,
    "%START_TIME(%Q)%": TAKEN, "%EMIT_TIME:2%": REFUSED, "%RESPONSE_CODE_DETAILS(a)%": TAKEN, "%HOSTNAME()%": TAKEN,
    "%PATH(NQ:PATH:1)%": TAKEN, "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(99)%": TAKEN, "%LISTENER_NAME(a)%": REFUSED,
    "%REQ(?b)%": TAKEN, "%REQ( a)%": REFUSED, "%RESPONSE_TRAILER(a):1%": TAKEN, "%GRPC_STATUS%": TAKEN,
}  # fmt: skip
_COOKIES = {
    "{name: a, string_match: {exact: b}}": TAKEN, "{name: a}": REFUSED, "{string_match: {exact: b}}": REFUSED,
    "{name: a, stringMatch: {prefix: b}, invertMatch: true}": TAKEN, '{name: "", string_match: {exact: b}}': REFUSED,
    "{name: a, present_match: true}": REFUSED, '{name: a, string_match: {safe_regex: {regex: "("}}}': REFUSED,
    "{name: a, string_match: {}}": REFUSED,
}  # fmt: skip
_REWRITES = {
    "path_rewrite: /a": TAKEN, 'path_rewrite: "/%FOO%"': REFUSED, "path_rewrite: a": TAKEN, "host_rewrite: a": TAKEN,
    "path_rewrite: /a, prefix_rewrite: /b": REFUSED, 'host_rewrite: "%FOO%"': REFUSED,
    "host_rewrite: a, host_rewrite_literal: b": REFUSED, 'host_rewrite: "%REQ(a)%"': TAKEN,
}  # fmt: skip
_MANAGERS = {
    "max_request_headers_kb: 0": REFUSED, "max_request_headers_kb: 1": TAKEN, "max_request_headers_kb: 8193": REFUSED,
    "common_http_protocol_options: {max_headers_count: 0}": REFUSED, "add_user_agent: true": TAKEN,
    "common_http_protocol_options: {max_headers_count: 1}": TAKEN, "xff_num_trusted_hops: -1": REFUSED,
    "path_with_escaped_slashes_action: REJECT_REQUEST": TAKEN, "path_with_escaped_slashes_action: NO": REFUSED,
    "scheme_header_transformation: {scheme_to_overwrite: https}": TAKEN, "append_x_forwarded_port: true": TAKEN,
    "scheme_header_transformation: {scheme_to_overwrite: ftp}": REFUSED, "scheme_header_transformation: {}": TAKEN,
    "forward_client_cert_details: FORWARD_ONLY": TAKEN, "append_local_overload: true": TAKEN,
}  # fmt: skip
_LOG_FILTERS = {
    "response_flag_filter: {}": TAKEN, "response_flag_filter: {flags: [NR]}": TAKEN, "{}": REFUSED,
    "response_flag_filter: {flags: [FOO]}": REFUSED, "runtime_filter: {}": REFUSED,
    "and_filter: {filters: []}": REFUSED,
    "and_filter: {filters: [{traceable_filter: {}}]}": REFUSED, "log_type_filter: {types: [DownstreamEnd]}": TAKEN,
    "or_filter: {filters: [{traceable_filter: {}}, {not_health_check_filter: {}}]}": TAKEN,
    "status_code_filter: {}": REFUSED, "status_code_filter: {comparison: {op: GE}}": REFUSED,
    "status_code_filter: {comparison: {op: GE, value: {default_value: 5, runtime_key: k}}}": TAKEN,
    "status_code_filter: {comparison: {op: GE, value: {default_value: 5}}}": TAKEN,
    "grpc_status_filter: {statuses: [OK]}": TAKEN, "grpc_status_filter: {statuses: [FINE]}": REFUSED,
    "header_filter: {header: {name: a}}": TAKEN, "header_filter: {}": REFUSED,
}  # fmt: skip
_REPLIES = {
    "{}": TAKEN, "{mappers: [{}]}": REFUSED, "{body_format: {}}": REFUSED, "{body_format: {text_format: x}}": TAKEN,
    '{body_format: {text_format: "%FOO%"}}': REFUSED, '{body_format: {json_format: {a: "%FOO%"}}}': REFUSED,
    "{body_format: {text_format_source: {filename: /nonexistent/x}}}": REFUSED,
    "{mappers: [{filter: {not_health_check_filter: {}}, status_code: 199}]}": REFUSED,
    "{mappers: [{filter: {not_health_check_filter: {}}, status_code: 600}]}": REFUSED,
    "{mappers: [{filter: {not_health_check_filter: {}}, status_code: 200}]}": TAKEN,
    "{mappers: [{filter: {not_health_check_filter: {}}, headers_to_add: [{header: {key: host}}]}]}": REFUSED,
}  # fmt: skip
_REGEXES = {"a(": REFUSED, "(?=a)": REFUSED, "a{1001}": REFUSED, "(?P<n>a)": TAKEN, "[[:alpha:]]": TAKEN, "": REFUSED}
_SEPARATED = {"/a": TAKEN, "/a/": REFUSED, "a": REFUSED, "/a?b": REFUSED, "/": REFUSED}
_PAYLOADS = {
    'text: "0a"': TAKEN, "text: zz": REFUSED, 'text: "0a 1b"': REFUSED, 'binary: "YQ"': TAKEN, 'binary: "Y!"': REFUSED,
}  # fmt: skip
_STATUSES = {"200, end: 300": TAKEN, "99, end: 300": REFUSED, "300, end: 300": REFUSED, "300, end: 601": REFUSED}
_EJECTIONS = {
    "{}": TAKEN, "{max_ejection_time: 10s}": REFUSED, "{max_ejection_time: 10s, base_ejection_time: 5s}": TAKEN,
    "{max_ejection_percent: 101}": REFUSED, "{interval: 0s}": REFUSED, "{consecutive_5xx: 0}": TAKEN,
}  # fmt: skip
_BALANCING = {
    "lb_policy: LOAD_BALANCING_POLICY_CONFIG": REFUSED, "lb_policy: RING_HASH": TAKEN, "lb_policy: MAGLEV": TAKEN,
    "lb_policy: CLUSTER_PROVIDED": REFUSED, "ring_hash_lb_config: {}": TAKEN, "load_balancing_policy: {}": REFUSED,
    "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 2000, maximum_ring_size: 1000}": REFUSED,
    "lb_policy: RING_HASH, ring_hash_lb_config: {maximum_ring_size: 512}": REFUSED,
    "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 0}": TAKEN,
    "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 8388609}": REFUSED,
    "lb_policy: MAGLEV, maglev_lb_config: {table_size: 100}": REFUSED,
    "lb_policy: MAGLEV, maglev_lb_config: {table_size: 101}": TAKEN,
    "lb_policy: MAGLEV, maglev_lb_config: {table_size: 5000012}": REFUSED,
    "common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 99}}": REFUSED,
    "common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 100}}": TAKEN,
    "common_lb_config: {zone_aware_lb_config: {}, locality_weighted_lb_config: {}}": REFUSED,
    "lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 1}": REFUSED,
    "round_robin_lb_config: {slow_start_config: {slow_start_window: 1s, min_weight_percent: {value: 101}}}": REFUSED,
    "round_robin_lb_config: {slow_start_config: {}}": TAKEN,
    "circuit_breakers: {per_host_thresholds: [{max_connections: 1, max_requests: 1}]}": REFUSED,
    "circuit_breakers: {per_host_thresholds: [{max_connections: 1, track_remaining: true}]}": TAKEN,
    "outlier_detection: {detect_degraded_hosts: true}": TAKEN,
}  # fmt: skip
_SUBSETS = {
    "{subset_selectors: [{}]}": TAKEN, "{subset_selectors: [{keys: [v]}, {keys: [v]}]}": TAKEN,
    "{subset_selectors: [{keys: [v, w], single_host_per_subset: true}]}": TAKEN,
    "{subset_selectors: [{keys: [v, w], fallback_policy: KEYS_SUBSET}]}": REFUSED,
    "{subset_selectors: [{keys: [v, w], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [z]}]}": REFUSED,
    "{subset_selectors: [{keys: [v, w], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [w, v]}]}": REFUSED,
    "{subset_selectors: [{keys: [v, w], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [w]}]}": TAKEN,
    "{subset_selectors: [{keys: [v, w], fallback_policy: ANY_ENDPOINT, fallback_keys_subset: [w]}]}": REFUSED,
    "{locality_weight_aware: true, subset_selectors: [{keys: [v]}]}": REFUSED,
    "{scale_locality_weight: true, subset_selectors: [{keys: [v]}]}": TAKEN,
}  # fmt: skip
_DROPS = {
    "{category: x, drop_percentage: {numerator: 101}}": REFUSED, "{category: x}": TAKEN, "{}": REFUSED,
    "{category: x, drop_percentage: {numerator: 100}}": TAKEN, "{category: x}, {category: y}": REFUSED,
}  # fmt: skip
_HASHES = {
    "{}": REFUSED, "{terminal: true}": REFUSED, "{connection_properties: {}}": TAKEN, "{header: {}}": REFUSED,
    "{cookie: {name: c, ttl: 0s}}": TAKEN, "{cookie: {name: c, attributes: [{value: x}]}}": REFUSED,
    "{header: {header_name: a, regex_rewrite: {pattern: {regex: (}}}}": REFUSED,
    "{header: {header_name: a, regex_rewrite: {}}}": REFUSED, "{query_parameter: {name: ''}}": REFUSED,
}  # fmt: skip
_CIPHERS = {
    "[TLS_AES_128_GCM_SHA256]": REFUSED, "[-ALL, ECDHE-RSA-AES128-GCM-SHA256]": TAKEN, "[AES128-SHA]": TAKEN,
    '["[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]"]': TAKEN, "[DHE-RSA-AES128-GCM-SHA256]": REFUSED,
}  # fmt: skip
_PINS = {
    f"verify_certificate_hash: [{'zz' * 32}]": REFUSED, f"verify_certificate_hash: [{'ab' * 32}]": TAKEN,
    f"verify_certificate_hash: [{'ab' * 31}]": REFUSED, f"verify_certificate_hash: ['{':'.join(['AB'] * 32)}']": TAKEN,
    "verify_certificate_spki: [YWJj]": REFUSED, f"verify_certificate_spki: [{'A' * 43}=]": TAKEN,
}  # fmt: skip
_PLAIN = f'{{name: r, typed_config: {{"@type": {TYPE}envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}'
_SOCKETS = {
    f"{{name: a, match: {{x: y}}, transport_socket: {_PLAIN}}}": TAKEN, "{name: a, match: {x: y}}": REFUSED,
    f"{{match: {{x: y}}, transport_socket: {_PLAIN}}}": REFUSED, f"{{name: a, transport_socket: {_PLAIN}}}": TAKEN,
}  # fmt: skip
_GENERIC = "{name: s, generic_secret: {secret: {inline_string: a}}}"
_ANYBODY = "{name: s, validation_context: {}}"
_SECRETS = {
    _GENERIC: TAKEN, f"{_GENERIC}, {_GENERIC}": REFUSED, f"{_GENERIC}, {_ANYBODY}": TAKEN, "{name: s}": REFUSED,
    "{generic_secret: {secret: {inline_string: a}}}": TAKEN, "{name: s, session_ticket_keys: {keys: []}}": REFUSED,
    "{name: s, tls_certificate: {certificate_chain: {filename: /nonexistent}}}": TAKEN,
}  # fmt: skip


def _secret(secrets: str) -> str:
    return document().replace("  clusters:", f"  secrets: [{secrets}]\n  clusters:")


def _table(name: str, values: dict[str, bool], make: Callable[[str], str]) -> dict[str, tuple[str, bool]]:
    return {f"{name} {value}": (make(value), taken) for value, taken in values.items()}


def _at(address: str, port: str) -> str:
    return f"address: {{socket_address: {{address: {address}, port_value: {port}}}}}"


def _panic(value: str) -> str:
    return f"{{healthy_panic_threshold: {{value: {value}}}}}"


def _expecting(statuses: str) -> str:
    return f"http_health_check: {{path: /, expected_statuses: [{{start: {statuses}}}]}}"


_SECOND = f"""\
- name: {{name}}
    address: {{{{socket_address: {{{{address: 127.0.0.1, port_value: {{port}}}}}}}}}}
    filter_chains: [{{{{filters: [{{{{name: a, typed_config: {{{{"@type": {HCM}, stat_prefix: a, {{rest}}}}}}}}}}]}}}}]
"""


def _second(name: str = "l2", port: int = 15002, rest: str = "route_config: {}, http_filters: []") -> str:
    return document(more_listeners=_SECOND.format(name=name, port=port, rest=rest))


def _router(config: str) -> str:
    return document(filters=f"{{name: r, typed_config: {config}}}")


_DNS = "type: STRICT_DNS"
_RESOLVER = "dns_resolution_config: {resolvers: [{socket_address: {address: %s, port_value: 53}}]}"
_NAMED = _at("upstream.test", "80")
_BALANCER = (
    "load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: "
    f'{{"@type": {TYPE}envoy.extensions.load_balancing_policies.%s}}}}}}]}}'
)
_DROPPING = "cluster_name: c, policy: {drop_overloads: [%s]}"
_SUBSET = "subset.v3.Subset, subset_selectors: [{keys: [v]}]"
_RR = (
    "{typed_extension_config: {name: x, typed_config: "
    f'{{"@type": {TYPE}envoy.extensions.load_balancing_policies.%s}}}}}}'
)
_INSIDE = f"{{policies: [{_RR}]}}"
_NEWER = {
    _BALANCER % "ring_hash.v3.RingHash": TAKEN,
    _BALANCER % "ring_hash.v3.RingHash, minimum_ring_size: 2000, maximum_ring_size: 1000": REFUSED,
    _BALANCER % "maglev.v3.Maglev, table_size: 100": REFUSED,
    _BALANCER % "maglev.v3.Maglev, consistent_hashing_lb_config: {use_hostname_for_hashing: true}": TAKEN,
    _BALANCER % _SUBSET: REFUSED,
    _BALANCER % f"{_SUBSET}, subset_lb_policy: {_INSIDE % 'round_robin.v3.RoundRobin'}": TAKEN,
    _BALANCER % "cluster_provided.v3.ClusterProvided": REFUSED,
    _BALANCER % f"wrr_locality.v3.WrrLocality, endpoint_picking_policy: {_INSIDE % 'random.v3.Random'}": REFUSED,
    f"{_BALANCER % 'random.v3.Random'}, lb_subset_config: {{subset_selectors: [{{keys: [v]}}]}}": REFUSED,
    f"{_BALANCER % 'random.v3.Random'}, common_lb_config: {{zone_aware_lb_config: {{}}}}": REFUSED,
    f"{_BALANCER % 'random.v3.Random'}, common_lb_config: {{healthy_panic_threshold: {{value: 5}}}}": TAKEN,
    f"{_BALANCER % 'random.v3.Random'}, lb_policy: LOAD_BALANCING_POLICY_CONFIG": TAKEN,
}
_RATE = "dns_failure_refresh_rate: {base_interval: 2s, max_interval: 1s}"
_LAYER = "layered_runtime: {layers: [%s]}"
_SAN = "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]"
_BREAKER = "metadata: {filter_metadata: {ambassador_lib: {circuit_breaker: {failure_rate: 0.5, window: 10s}}}}"
_LONG = "x" * 4097

_CHECK = "timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}"
_CHECKS = "health_checks: [{%s}, {%s}]"
_CODEC = (
    "explicit_http_config: {http_protocol_options: {}}, http_filters: [{name: x, typed_config: "
    f'{{"@type": {TYPE}envoy.extensions.filters.http.%s}}}}]'
)

_MUTATE, _FAULTY = "header_mutation.v3.HeaderMutation", "fault.v3.HTTPFault"
_ITEM = f'{{name: x, typed_config: {{"@type": {TYPE}envoy.extensions.filters.http.%s}}}}'
_PLAIN = "explicit_http_config: {http_protocol_options: {}}"
_BEFORE_CODEC = f"{_PLAIN}, http_filters: [{_ITEM % _MUTATE}, {_ITEM % 'upstream_codec.v3.UpstreamCodec'}]"
_AFTER_CODEC = f"{_PLAIN}, http_filters: [{_ITEM % 'upstream_codec.v3.UpstreamCodec'}, {_ITEM % _MUTATE}]"


def _listening(inspector: str) -> str:
    name = f'{{"@type": {TYPE}envoy.extensions.filters.listener.{inspector}}}'
    filters = f"    listener_filters: [{{name: x, typed_config: {name}}}]\n"
    return document().replace("    filter_chains:", f"{filters}    filter_chains:")


def _filter(config: str) -> str:
    return f'{{name: x, typed_config: {{"@type": {TYPE}envoy.extensions.filters.http.{config}}}}}'


def _with_setting(value: str) -> str:
    return document(filters=f"{_FAULT}, {ROUTER}", on_route=f"typed_per_filter_config: {{{value}}}")


_HTTP = f"{TYPE}envoy.extensions.filters.http."
_FAULT = f'{{name: fault, typed_config: {{"@type": {_HTTP}fault.v3.HTTPFault}}}}'
_MUTATIONS = "header_mutation.v3.HeaderMutation, mutations:"
_ADD = "append: {header: {key: '%s', value: '%s'}}"
_LIMIT = "local_ratelimit.v3.LocalRateLimit, stat_prefix: s"
_DESCRIPTOR = "{entries: [{key: a, value: b}], token_bucket: {max_tokens: 1, fill_interval: 1s}}"
_RATE_LIMIT = "{actions: [{generic_key: {descriptor_value: a}}]}"
_CONFIGS = {
    "buffer.v3.Buffer": REFUSED,
    "buffer.v3.Buffer, max_request_bytes: 0": REFUSED,
    "buffer.v3.Buffer, max_request_bytes: 1": TAKEN,
    "buffer.v3.BufferPerRoute, disabled: true": REFUSED,
    "header_mutation.v3.HeaderMutation": TAKEN,
    "local_ratelimit.v3.LocalRateLimit": REFUSED,
    _LIMIT: TAKEN,
    f"{_LIMIT}, token_bucket: {{max_tokens: 0, fill_interval: 1s}}": TAKEN,
    f"{_LIMIT}, token_bucket: {{max_tokens: 1}}": REFUSED,
    f"{_LIMIT}, token_bucket: {{max_tokens: 1, fill_interval: 0.05s}}": TAKEN,
    f"{_LIMIT}, token_bucket: {{max_tokens: 1, fill_interval: 0.04s}}": REFUSED,
    f"{_LIMIT}, token_bucket: {{max_tokens: 1, tokens_per_fill: 0, fill_interval: 1s}}": REFUSED,
    f"{_LIMIT}, status: {{code: OK}}": TAKEN,
    f"{_LIMIT}, status: {{code: 429}}": TAKEN,
    f"{_LIMIT}, status: {{code: Empty}}": REFUSED,
    f"{_LIMIT}, descriptors: [{_DESCRIPTOR}]": TAKEN,
    f"{_LIMIT}, descriptors: [{_DESCRIPTOR}, {_DESCRIPTOR}]": REFUSED,
    f"{_LIMIT}, descriptors: [{_DESCRIPTOR.replace('1s', '0.01s')}]": REFUSED,
    f"{_LIMIT}, rate_limits: [{_RATE_LIMIT}]": TAKEN,
    f"{_LIMIT}, rate_limits: [{{stage: 1, {_RATE_LIMIT[1:]}]": REFUSED,
    f"{_LIMIT}, rate_limits: [{{disable_key: x, {_RATE_LIMIT[1:]}]": REFUSED,
    f"{_LIMIT}, rate_limits: [{{actions: [{{}}]}}]": REFUSED,
    f"{_MUTATIONS} {{request_mutations: [{{}}]}}": REFUSED,
    f"{_MUTATIONS} {{request_mutations: [{{{_ADD % ('x', '%REQ(y)%')}}}]}}": TAKEN,
    f"{_MUTATIONS} {{request_mutations: [{{{_ADD % ('x', '%REQ(y')}}}]}}": REFUSED,
    f"{_MUTATIONS} {{request_mutations: [{{{_ADD % ('host', 'y')}}}]}}": REFUSED,
    f"{_MUTATIONS} {{response_mutations: [{{{_ADD % (':status', '200')}}}]}}": REFUSED,
    f"{_MUTATIONS} {{response_mutations: [{{remove: x, {_ADD % ('x', 'y')}}}]}}": REFUSED,
    f"{_MUTATIONS} {{response_mutations: [{{remove_on_match: {{key_matcher: {{prefix: x}}}}}}]}}": TAKEN,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{}}]}}": REFUSED,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{remove: x}}]}}": TAKEN,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{append: {{record: {{key: k, value: v}}}}}}]}}": TAKEN,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{append: {{record: {{key: k, value: 12}}}}}}]}}": REFUSED,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{append: {{record: {{key: k, value: 1.5}}}}}}]}}": TAKEN,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{append: {{record: {{key: k, value: '%X'}}}}}}]}}": REFUSED,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{remove: x, append: {{record: {{key: k, value: v}}}}}}]}}": REFUSED,
    f"{_MUTATIONS} {{query_parameter_mutations: [{{append: {{entry: {{key: k, value: dg==}}}}}}]}}": REFUSED,
}
_FILTERS = {
    f"{_FAULT}, {ROUTER}": TAKEN,
    f"{_FAULT}, {_FAULT}, {ROUTER}": TAKEN,
    f"{ROUTER}, {_FAULT}": REFUSED,
    _FAULT: REFUSED,
    f"{{name: x, is_optional: true}}, {ROUTER}": TAKEN,
    f"{{name: x}}, {ROUTER}": REFUSED,
    **{f"{_filter(kind)}, {ROUTER}": verdict for kind, verdict in _CONFIGS.items()},
}
_OF_FAULT = f'"@type": {_HTTP}fault.v3.HTTPFault'
_OF_ROUTER = f'"@type": {ROUTER_TYPE}'
_FILTER_CONFIG = f'"@type": {TYPE}envoy.config.route.v3.FilterConfig'
_FILTER_SETTINGS = {
    f"fault: {{{_OF_FAULT}}}": TAKEN,
    f"nobody: {{{_OF_FAULT}}}": TAKEN,
    "fault: {}": REFUSED,
    f'fault: {{"@type": {_HTTP}{_LIMIT}}}': REFUSED,
    f'fault: {{"@type": {_HTTP}{_LIMIT}, token_bucket: {{max_tokens: 1, fill_interval: 1s}}}}': TAKEN,
    f"fault: {{{_FILTER_CONFIG}}}": REFUSED,
    f"fault: {{{_FILTER_CONFIG}, is_optional: true}}": REFUSED,
    f"fault: {{{_FILTER_CONFIG}, config: {{}}}}": TAKEN,
    f"fault: {{{_FILTER_CONFIG}, disabled: true}}": TAKEN,
    f"fault: {{{_FILTER_CONFIG}, disabled: true, config: {{{_OF_FAULT}}}}}": TAKEN,
    f"fault: {{{_FILTER_CONFIG}, config: {{{_OF_FAULT}}}}}": TAKEN,
    f"fault: {{{_FILTER_CONFIG}, config: {{{_FILTER_CONFIG}, disabled: true}}}}": REFUSED,
    f"envoy.filters.http.router: {{{_OF_ROUTER}}}": REFUSED,
    f"fault: {{{_OF_FAULT}, abort: {{percentage: {{numerator: 100}}}}}}": REFUSED,
    f"fault: {{{_OF_FAULT}, abort: {{http_status: 199}}}}": REFUSED,
    f"fault: {{{_OF_FAULT}, abort: {{http_status: 600}}}}": REFUSED,
    f"fault: {{{_OF_FAULT}, delay: {{}}}}": REFUSED,
    f"fault: {{{_OF_FAULT}, delay: {{fixed_delay: 0s}}}}": REFUSED,
    f"fault: {{{_OF_FAULT}, response_rate_limit: {{fixed_limit: {{limit_kbps: 0}}}}}}": REFUSED,
}


def _log(condition: str) -> str:
    condition = condition if condition == "{}" else f"{{{condition}}}"
    config = f'{{"@type": {TYPE}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}'
    return f"{{name: l, filter: {condition}, typed_config: {config}}}"


def _of(extension: str) -> str:
    return f'{{name: p, typed_config: {{"@type": type.googleapis.com/{extension}}}}}'


_MIRRORS = {
    "{cluster: c}": TAKEN, "{}": REFUSED, "{cluster: nope}": REFUSED, "{cluster: c, cluster_header: x}": REFUSED,
    '{cluster_header: "x y"}': TAKEN, "{cluster: c, request_headers_mutations: [{}]}": REFUSED,
    '{cluster: c, request_headers_mutations: [{remove: ":path"}]}': TAKEN,
    "{cluster: c, request_headers_mutations: [{append: {header: {key: host, value: x}}}]}": REFUSED,
    '{cluster: c, request_headers_mutations: [{append: {header: {key: x, value: "%BAD%"}}}]}': REFUSED,
    "{cluster: c, runtime_fraction: {runtime_key: x}}": REFUSED,
    "{cluster: c, host_rewrite_literal: l, disable_shadow_host_suffix_append: true}": TAKEN,
}  # fmt: skip
_HEDGES = {
    "{}": TAKEN, "{hedge_on_per_try_timeout: true}": TAKEN, "{initial_requests: 2}": TAKEN,
    "{initial_requests: 0}": REFUSED, "{additional_request_chance: {numerator: 3}}": TAKEN,
}  # fmt: skip
_PREDICATE = "envoy.extensions.internal_redirect"
_INTERNAL_REDIRECTS = {
    "{}": TAKEN, "{redirect_response_codes: [404]}": TAKEN, "{redirect_response_codes: [1, 2, 3, 4, 5, 6]}": REFUSED,
    "{max_internal_redirects: 0}": TAKEN, "{response_headers_to_copy: [host]}": REFUSED,
    '{response_headers_to_copy: [":path"]}': REFUSED, "{response_headers_to_copy: [x, x]}": REFUSED,
    "{predicates: [{name: p}]}": REFUSED,
    f"{{predicates: [{_of(f'{_PREDICATE}.previous_routes.v3.PreviousRoutesConfig')}]}}": TAKEN,
    f"{{predicates: [{_of(f'{_PREDICATE}.allow_listed_routes.v3.AllowListedRoutesConfig')}]}}": TAKEN,
    f"{{predicates: [{_of('envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate')}]}}": REFUSED,
}  # fmt: skip

_NODE = "node: {id: a, cluster: b}\n"
_NULL = "{path_config_source: {path: /dev/null}}"
_SOURCES = {
    _NULL: TAKEN, "{path: /dev/null}": TAKEN, "{path_config_source: {path: /nonexistent}}": REFUSED,
    "{path_config_source: {path: ''}}": REFUSED, "{path_config_source: {path: /dev}}": TAKEN, "{}": REFUSED,
    "{path: /dev/null, path_config_source: {path: /dev/null}}": REFUSED,
    "{path_config_source: {path: /dev/null, watched_directory: {path: /nonexistent}}}": REFUSED,
    "{path_config_source: {path: /dev/null, watched_directory: {path: ''}}}": REFUSED,
    "{path_config_source: {path: /dev/null, watched_directory: {path: /usr, watch_modify: true}}}": TAKEN,
    "{path_config_source: {path: /dev/null}, resource_api_version: V2, initial_fetch_timeout: 1s}": TAKEN,
}  # fmt: skip
_AGGREGATE = (
    f'cluster_type: {{name: x, typed_config: {{"@type": {TYPE}envoy.extensions.clusters.aggregate.v3.ClusterConfig'
)
_AGGREGATES = {
    f"{_AGGREGATE}, clusters: [c]}}}}, lb_policy: CLUSTER_PROVIDED": TAKEN,
    f"{_AGGREGATE}, clusters: [nobody]}}}}, lb_policy: CLUSTER_PROVIDED": TAKEN,
    f"{_AGGREGATE}, clusters: []}}}}, lb_policy: CLUSTER_PROVIDED": REFUSED,
    f"{_AGGREGATE}, clusters: [c]}}}}": REFUSED,
}  # fmt: skip


_MORE = (
    "address: {socket_address: {address: 127.0.0.1, port_value: 80}}, "
    "additional_addresses: [{address: {socket_address: {address: %s, port_value: 80}}}]"
)


def _eds(fields: str) -> str:
    return f"{_NODE}static_resources: {{clusters: [{{name: c, type: EDS, {fields}}}]}}\n"


CASES: dict[str, tuple[str, bool]] = {
    **LIMITS,
    **_table("mirror", _MIRRORS, lambda value: document(route=f"cluster: c, request_mirror_policies: [{value}]")),
    **_table(
        "mirror of a host",
        _MIRRORS,
        lambda value: document(vhost=f'name: v, domains: ["*"], request_mirror_policies: [{value}]'),
    ),
    **_table("hedge", _HEDGES, lambda value: document(route=f"cluster: c, hedge_policy: {value}")),
    **_table(
        "internal redirect",
        _INTERNAL_REDIRECTS,
        lambda value: document(route=f"cluster: c, internal_redirect_policy: {value}"),
    ),
    "the old field for internal redirects": (
        document(route="cluster: c, internal_redirect_action: HANDLE_INTERNAL_REDIRECT"),
        TAKEN,
    ),
    "mirror of a cluster that is not checked": (
        document(
            cluster=protocol_options(
                "explicit_http_config: {http_protocol_options: {}}, request_mirror_policies: [{cluster: nope}]"
            )
        ),
        TAKEN,
    ),
    **_table("port", _PORTS, lambda value: document(endpoint=_at("127.0.0.1", value))),
    **_table("name", _NAMES, lambda value: document(vhost=f'name: {value}, domains: ["*"]')),
    **_table("boolean", _BOOLEANS, lambda value: document(hcm=f"stat_prefix: p, merge_slashes: {value}")),
    **_table("duration", _DURATIONS, lambda value: document(route=f"cluster: c, timeout: {value}")),
    **_table("enum", _ENUMS, lambda value: document(cluster=f"lb_policy: {value}")),
    **_table("percent", _PERCENTS, lambda value: document(cluster=f"common_lb_config: {_panic(value)}")),
    **_table("weights", _WEIGHTS, lambda value: document(route=f"weighted_clusters: {{clusters: [{value}]}}")),
    **_table("header value", _VALUES, added_header),
    **_table("operator", _OPERATORS, added_header),
    **_table("cookie", _COOKIES, lambda value: document(match=f"prefix: /, cookies: [{value}]")),
    **_table("rewrite", _REWRITES, lambda value: document(route=f"cluster: c, {value}")),
    **_table("manager", _MANAGERS, lambda value: document(hcm=f"stat_prefix: p, {value}")),
    **_table("log filter", _LOG_FILTERS, lambda value: document(hcm=f"stat_prefix: p, access_log: [{_log(value)}]")),
    **_table("local replies", _REPLIES, lambda value: document(hcm=f"stat_prefix: p, local_reply_config: {value}")),
    **_table("regex", _REGEXES, lambda value: document(match=f'safe_regex: {{regex: "{value}"}}')),
    **_table("separated", _SEPARATED, lambda value: document(match=f'path_separated_prefix: "{value}"')),
    **_table("payload", _PAYLOADS, lambda value: health_check(f"tcp_health_check: {{send: {{{value}}}}}")),
    **_table("statuses", _STATUSES, lambda value: health_check(_expecting(value))),
    **_table("outlier", _EJECTIONS, lambda value: document(cluster=f"outlier_detection: {value}")),
    **_table("balancing", _BALANCING, lambda value: document(cluster=value)),
    **_table("subsets", _SUBSETS, lambda value: document(cluster=f"lb_subset_config: {value}")),
    **_table(
        "drops", _DROPS, lambda value: document(assignment=f"cluster_name: c, policy: {{drop_overloads: [{value}]}}")
    ),
    **_table("hash policy", _HASHES, lambda value: document(route=f"cluster: c, hash_policy: [{value}]")),
    **_table("balancers", _NEWER, lambda value: document(cluster=value)),
    # fields and documents
    "camel case": (document(cluster="connectTimeout: 1s"), TAKEN),
    "both spellings": (document(cluster="connectTimeout: 1s, connect_timeout: 2s"), TAKEN),
    "both spellings, one bad": (document(cluster="connectTimeout: 5, connect_timeout: 2s"), REFUSED),
    "twice, the first bad": (document(cluster="connect_timeout: 5, connect_timeout: 2s"), TAKEN),
    "twice, the last bad": (document(cluster="connect_timeout: 5s, connect_timeout: 2"), REFUSED),
    "unknown field": (document(cluster="connect_timeoutt: 5s"), REFUSED),
    "unknown field that is null": (document(cluster="connect_timeoutt: null"), REFUSED),
    "merge key": (document(cluster="<<: {connect_timeout: 1s}"), REFUSED),
    "ignored anchors": ("!ignore x: &n v\n" + document(vhost='name: *n, domains: ["*"]'), TAKEN),
    "alias": (document(vhost='name: &n v, domains: ["*"]', on_route="name: *n"), TAKEN),
    "broken second document": (document() + "\n---\nfoo: [\n", TAKEN),
    "empty first document": ("---\n---\n" + document(), REFUSED),
    "empty": ("", REFUSED),
    "empty mapping": ("{}", TAKEN),
    "list": ("- a", REFUSED),
    "scalar": ("abc", REFUSED),
    "not YAML": ("a: [1", REFUSED),
    "null item of a list": (document(vhost="name: v, domains: [a, null]"), TAKEN),
    "two null items, a duplicate": (document(vhost="name: v, domains: [null, null]"), REFUSED),
    # Any
    "unknown type": (_router('{"@type": type.googleapis.com/envoy.foo.Bar}'), REFUSED),
    "type under any prefix": (_router(f'{{"@type": {ROUTER_TYPE.replace(TYPE, "a/b/")}}}'), TAKEN),
    "type where none belongs": (document(route=f'cluster: c, "@type": {ROUTER_TYPE}'), REFUSED),
    "type without prefix": (_router(f'{{"@type": {ROUTER_TYPE.replace(TYPE, "")}}}'), REFUSED),
    "connection manager as HTTP filter": (
        document(filters=f'{{name: x, typed_config: {{"@type": {HCM}}}}}, {ROUTER}'),
        REFUSED,
    ),
    "router as transport socket": (
        document(cluster=f'transport_socket: {{name: x, typed_config: {{"@type": {ROUTER_TYPE}}}}}'),
        REFUSED,
    ),
    # oneofs
    "two actions": (document(action="route: {cluster: c}, redirect: {host_redirect: x}"), REFUSED),
    "no action": (document(action="name: r"), REFUSED),
    "two cluster specifiers": (document(route="cluster: c, cluster_header: x"), REFUSED),
    "two specifiers, one null": (document(route="cluster: c, cluster_header: null"), TAKEN),
    "no path specifier": (document(match="case_sensitive: true"), REFUSED),
    "two host rewrites": (document(route="cluster: c, host_rewrite_literal: x, auto_host_rewrite: false"), REFUSED),
    # listeners and filters
    **_table("filters", _FILTERS, lambda value: document(filters=value)),
    **_table("filter setting", _FILTER_SETTINGS, _with_setting),
    "two routers": (document(filters=f"{ROUTER}, {ROUTER}"), REFUSED),
    "no HTTP filters": (document(filters=""), TAKEN),
    "disabled router": (document(filters=ROUTER.removesuffix("}") + ", disabled: true}"), REFUSED),
    "no stat_prefix": (document(hcm="merge_slashes: true"), REFUSED),
    "no route_config": (_second(rest="http_filters: []"), REFUSED),
    "two listeners": (_second(), TAKEN),
    "two listeners on one address": (_second(port=15001), REFUSED),
    "listener on a name": (document(listener_address="address: localhost, port_value: 15001"), REFUSED),
    "listener without port": (document(listener_address="address: 127.0.0.1"), REFUSED),
    "strip both ways": (
        document(hcm="stat_prefix: p, strip_matching_host_port: true, strip_any_host_port: true"),
        REFUSED,
    ),
    "bad range": (
        document(hcm="stat_prefix: p, internal_address_config: {cidr_ranges: [{address_prefix: a}]}"),
        REFUSED,
    ),
    # virtual hosts and routes
    "two virtual hosts of one name": (document(more_vhosts="{name: v, domains: [x]}"), TAKEN),
    "domain twice": (document(more_vhosts='{name: v2, domains: ["*"]}'), REFUSED),
    "domain twice, in other case": (document(vhost="name: v, domains: [A.test, a.test]"), REFUSED),
    "no domains": (document(vhost="name: v"), REFUSED),
    "unknown cluster": (document(route="cluster: d"), REFUSED),
    "unknown cluster, not validated": (document(route="cluster: d", table="validate_clusters: false"), TAKEN),
    "two rewrites": (
        document(route="cluster: c, prefix_rewrite: /x, regex_rewrite: {pattern: {regex: a}, substitution: b}"),
        REFUSED,
    ),
    "back-off without base": (
        document(route="cluster: c, retry_policy: {retry_back_off: {max_interval: 1s}}"),
        REFUSED,
    ),
    "back-off below base": (
        document(route="cluster: c, retry_policy: {retry_back_off: {base_interval: 1s, max_interval: 0.5s}}"),
        REFUSED,
    ),
    "unknown retry_on token": (document(route='cluster: c, retry_policy: {retry_on: "5xx,foo"}'), TAKEN),
    "header host": (added_header(key="Host"), REFUSED),
    "header :path": (added_header(key=":path"), REFUSED),
    "remove host": (document(on_route="request_headers_to_remove: [host]"), REFUSED),
    "header with a line break": (added_header(key="a\\nb"), REFUSED),
    "header with a space": (added_header(key="a b"), TAKEN),
    "header value with a line break": (added_header("a\\nb"), REFUSED),
    "remove a line break": (document(on_route='request_headers_to_remove: ["a\\nb"]'), REFUSED),
    "a domain with a line break": (document(vhost='name: v, domains: ["a\\nb"]'), REFUSED),
    "metadata without a name": (document(on_route='metadata: {filter_metadata: {"": {a: b}}}'), REFUSED),
    "two actions, one in each spelling": (
        document(action="direct_response: {status: 201}, directResponse: {status: 202}"),
        REFUSED,
    ),
    "two spellings": (document(action="redirect: {host_redirect: a, hostRedirect: b}"), TAKEN),
    "remove nothing": (document(on_route='request_headers_to_remove: [""]'), REFUSED),
    "bad matcher regex": (
        document(match='prefix: /, headers: [{name: a, string_match: {safe_regex: {regex: "("}}}]'),
        REFUSED,
    ),
    "empty prefix_match": (document(match='prefix: /, headers: [{name: a, prefix_match: ""}]'), REFUSED),
    "bad group in substitution": (
        document(route=r'cluster: c, regex_rewrite: {pattern: {regex: "(a)"}, substitution: "\\2"}'),
        TAKEN,
    ),
    "direct response 99": (document(action="direct_response: {status: 99}"), REFUSED),
    "direct response 200": (document(action="direct_response: {status: 200}"), TAKEN),
    "long direct response": (
        document(action=f"direct_response: {{status: 200, body: {{inline_string: {_LONG}}}}}"),
        REFUSED,
    ),
    "long direct response, allowed": (
        document(
            table="max_direct_response_body_size_bytes: 5000",
            action=f"direct_response: {{status: 200, body: {{inline_string: {_LONG}}}}}",
        ),
        TAKEN,
    ),
    "missing body file": (document(action="direct_response: {status: 200, body: {filename: /nonexistent/x}}"), REFUSED),
    "fraction without value": (document(match="prefix: /, runtime_fraction: {runtime_key: a}"), REFUSED),
    # clusters
    "STATIC with a name": (document(endpoint=_NAMED), REFUSED),
    "STRICT_DNS with a name": (document(kind=_DNS, endpoint=_NAMED), TAKEN),
    "LOGICAL_DNS with two": (
        document(kind="type: LOGICAL_DNS", endpoint=_NAMED, more_endpoints=f"{{endpoint: {{{_NAMED}}}}}"),
        REFUSED,
    ),
    "connect_timeout 0s": (document(cluster="connect_timeout: 0s"), REFUSED),
    "two clusters of one name": (document(more_clusters="- {name: c, type: STATIC}"), REFUSED),
    "cluster without endpoints": (document(more_clusters="- {name: d, type: STATIC}"), TAKEN),
    "cluster without type": (document(kind=""), TAKEN),
    "endpoint without port": (document(endpoint="address: {socket_address: {address: 127.0.0.1}}"), REFUSED),
    "weight 0": (document(on_endpoint="load_balancing_weight: 0"), REFUSED),
    "priority 129": (document(locality="priority: 129"), REFUSED),
    "choice_count 1": (
        document(cluster="lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 1}"),
        REFUSED,
    ),
    "load balancing extension": (document(cluster=_BALANCER % "random.v3.Random"), TAKEN),
    "load balancing extension of nothing": (document(cluster="load_balancing_policy: {policies: []}"), REFUSED),
    "refresh rate of nothing": (document(cluster="dns_refresh_rate: 0s"), REFUSED),
    "failure rate below base": (document(kind=_DNS, cluster=_RATE), REFUSED),
    "failure rate of a STATIC cluster": (document(cluster=_RATE), TAKEN),
    "resolver": (document(kind=_DNS, cluster=_RESOLVER % "127.0.0.1"), TAKEN),
    "resolver by name": (document(kind=_DNS, cluster=_RESOLVER % "ns.test"), REFUSED),
    "health check without timeout": (
        document(cluster="health_checks: [{interval: 1s, tcp_health_check: {}}]"),
        REFUSED,
    ),
    "health check of nothing": (health_check("interval_jitter_percent: 1"), REFUSED),
    "health check by CONNECT": (health_check("http_health_check: {path: /, method: CONNECT}"), REFUSED),
    "health check sets host": (
        health_check("http_health_check: {path: /, request_headers_to_add: [{header: {key: host, value: a}}]}"),
        REFUSED,
    ),
    "auto_config without TLS": (document(cluster=protocol_options("auto_config: {}")), REFUSED),
    "protocol options without protocol": (document(cluster=protocol_options("explicit_http_config: {}")), REFUSED),
    "HTTP/2": (document(cluster=protocol_options("explicit_http_config: {http2_protocol_options: {}}")), TAKEN),
    "HTTP/2, the old way": (document(cluster="http2_protocol_options: {}"), TAKEN),
    "breaker metadata": (document(cluster=_BREAKER), TAKEN),
    "two health checks": (document(cluster=_CHECKS % (_CHECK, _CHECK)), REFUSED),
    "two health checks, named": (document(cluster=_CHECKS % (f"name: a, {_CHECK}", f"name: b, {_CHECK}")), TAKEN),
    "two health checks, one named": (document(cluster=_CHECKS % (f"name: a, {_CHECK}", _CHECK)), REFUSED),
    "two health checks of one name": (
        document(cluster=_CHECKS % (f"name: a, {_CHECK}", f"name: a, {_CHECK}")),
        REFUSED,
    ),
    "health check with a name": (document(cluster=f"health_checks: [{{name: a, {_CHECK}}}]"), TAKEN),
    "health check named by a number": (document(cluster=f"health_checks: [{{name: 5, {_CHECK}}}]"), REFUSED),
    "resolver over UDP": (document(kind=_DNS, cluster=_RESOLVER % "127.0.0.1, protocol: UDP"), TAKEN),
    "listener over UDP": (document(listener_address="address: 127.0.0.1, port_value: 15001, protocol: UDP"), REFUSED),
    "TLS inspector": (_listening("tls_inspector.v3.TlsInspector"), TAKEN),
    "no upstream codec": (document(cluster=protocol_options(_CODEC % "header_mutation.v3.HeaderMutation")), REFUSED),
    "upstream filter after the codec": (document(cluster=protocol_options(_AFTER_CODEC)), REFUSED),
    "upstream filter before the codec": (document(cluster=protocol_options(_BEFORE_CODEC)), TAKEN),
    "upstream fault": (document(cluster=protocol_options(_BEFORE_CODEC.replace(_MUTATE, _FAULTY))), REFUSED),
    "upstream codec": (document(cluster=protocol_options(_CODEC % "upstream_codec.v3.UpstreamCodec")), TAKEN),
    "tracer as HTTP filter": (
        document(filters=f'{{name: x, typed_config: {{"@type": {TYPE}envoy.config.trace.v3.ZipkinConfig}}}}, {ROUTER}'),
        REFUSED,
    ),
    "streams of a connection": (
        document(
            cluster=protocol_options("explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 100}}")
        ),
        TAKEN,
    ),
    "optional router": (document(filters=ROUTER.removesuffix("}") + ", is_optional: true}"), TAKEN),
    # TLS
    "TLS without anything": (tls(), TAKEN),
    "missing CA file": (tls("validation_context: {trusted_ca: {filename: /nonexistent}}"), REFUSED),
    "CA that is none": (tls("validation_context: {trusted_ca: {inline_string: abc}}"), REFUSED),
    "SANs without CA": (tls(f"validation_context: {{{_SAN}}}"), REFUSED),
    "SNI as SAN without CA": (tls("validation_context: {}", more="auto_sni_san_validation: true"), REFUSED),
    "missing certificate": (
        tls("tls_certificates: [{certificate_chain: {filename: /nonexistent}, private_key: {filename: /nonexistent}}]"),
        REFUSED,
    ),
    "certificate without key": (tls('tls_certificates: [{certificate_chain: {inline_string: ""}}]'), REFUSED),
    "empty certificate": (tls("tls_certificates: [{}]"), TAKEN),
    "minimum above maximum": (
        tls("tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_2}"),
        TAKEN,
    ),
    "unknown cipher": (tls("tls_params: {cipher_suites: [FOO]}"), REFUSED),
    "unknown curve": (tls("tls_params: {ecdh_curves: [FOO]}"), REFUSED),
    "OpenSSL's name of a curve": (tls("tls_params: {ecdh_curves: [prime256v1]}"), TAKEN),
    "several curves": (tls("tls_params: {ecdh_curves: [X25519, P-256, P-384]}"), TAKEN),
    **_table("cipher", _CIPHERS, lambda value: tls(f"tls_params: {{cipher_suites: {value}}}")),
    **_table("pin", _PINS, lambda value: tls(f"validation_context: {{{value}}}")),
    "revocation list without CA": (tls("validation_context: {crl: {inline_string: a}}"), REFUSED),
    "expiry without CA": (tls("validation_context: {allow_expired_certificate: true}"), REFUSED),
    "untrusting without CA": (tls("validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}"), TAKEN),
    "protocol of 256 bytes": (tls(f"alpn_protocols: [{'x' * 256}]"), REFUSED),
    "protocols in one string": (tls('alpn_protocols: ["h2,http/1.1"]'), TAKEN),
    "server name of 256 bytes": (tls(more=f"sni: {'x' * 256}"), REFUSED),
    "sessions and renegotiation": (tls(more="max_session_keys: 5, allow_renegotiation: true"), TAKEN),
    "roots of the system": (tls("validation_context: {system_root_certs: {}}"), TAKEN),
    "secret of the policy": (
        tls("validation_context_sds_secret_config: {name: s}").replace(
            "  clusters:", f"  secrets: [{_ANYBODY}]\n  clusters:"
        ),
        TAKEN,
    ),
    "secret of another kind": (
        tls("tls_certificate_sds_secret_configs: [{name: s}]").replace(
            "  clusters:", f"  secrets: [{_ANYBODY}]\n  clusters:"
        ),
        REFUSED,
    ),
    **_table("secret", _SECRETS, _secret),
    "secret without a name": (tls("validation_context_sds_secret_config: {}"), REFUSED),
    "only a password": (tls("tls_certificates: [{password: {inline_string: a}}]"), TAKEN),
    **_table(
        "transport socket match", _SOCKETS, lambda value: document(cluster=f"transport_socket_matches: [{value}]")
    ),
    "transport socket without type": (
        document(cluster="transport_socket: {name: envoy.transport_sockets.tls}"),
        REFUSED,
    ),
    # what is discovered, and clusters of clusters
    **_table("source of endpoints", _SOURCES, lambda value: _eds(f"eds_cluster_config: {{eds_config: {value}}}")),
    "EDS without anything": (_eds("connect_timeout: 1s"), REFUSED),
    "EDS without a source": (_eds("eds_cluster_config: {}"), REFUSED),
    "EDS settings of a STATIC cluster": (document(cluster=f"eds_cluster_config: {{eds_config: {_NULL}}}"), REFUSED),
    "EDS with endpoints": (
        _NODE + document(kind="type: EDS", cluster=f"eds_cluster_config: {{eds_config: {_NULL}}}"),
        TAKEN,
    ),
    "clusters from a file": (_NODE + document(top=f"dynamic_resources: {{cds_config: {_NULL}}}"), TAKEN),
    "clusters from a missing file": (
        _NODE + document(top="dynamic_resources: {cds_config: {path_config_source: {path: /nonexistent}}}"),
        REFUSED,
    ),
    **_table("aggregate", _AGGREGATES, lambda value: document(more_clusters=f"- {{name: d, {value}}}")),
    "more addresses": (document(endpoint=_MORE % "127.0.0.2"), TAKEN),
    "more addresses by name": (document(endpoint=_MORE % "localhost"), REFUSED),
    "balancer that a STATIC cluster has not": (document(cluster="lb_policy: CLUSTER_PROVIDED"), REFUSED),
    # the rest of the bootstrap
    "runtime": (document(top=_LAYER % "{name: a, static_layer: {a: {b: 1}}}"), TAKEN),
    "runtime with a list": (document(top=_LAYER % "{name: a, static_layer: {a: [1]}}"), REFUSED),
    "runtime layer twice": (document(top=_LAYER % "{name: a, static_layer: {}}, {name: a, static_layer: {}}"), REFUSED),
    "runtime layer without kind": (document(top=_LAYER % "{name: a}"), REFUSED),
    "node": (document(top="node: {id: a, cluster: b}"), TAKEN),
    "local cluster": (document(top="cluster_manager: {local_cluster_name: c}"), TAKEN),
    "local cluster that is missing": (document(top="cluster_manager: {local_cluster_name: d}"), REFUSED),
    "local cluster with priorities": (
        document(top="cluster_manager: {local_cluster_name: c}", locality="priority: 1"),
        REFUSED,
    ),
    "admin with an unknown field": (document(top="admin: {adress: {}}"), REFUSED),
}
"""By name: a document, and whether Envoy takes it."""
