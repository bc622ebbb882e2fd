"""Make Envoy's schema part of the package: one compressed descriptor set, taken from `xds-protos` at build time.

`xds-protos` must never be a dependency at run time (it shares packages with other distributions), so its generated
modules are not imported either, not even here: the serialized descriptors are read out of their source.
"""

from __future__ import annotations

import ast
import importlib
import lzma
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OUTPUT = "ambassador_lib/policy/envoy_v3.binpb.xz"
ROOTS = ("envoy/config/bootstrap/v3/bootstrap.proto", "validate/validate.proto")
# Everything that an `Any` may hold: what we do not support must still be told apart from what does not exist.
ANY = re.compile(r"envoy/(config|extensions|type)/.*/v3(alpha)?/[^/]+_pb2\.py")

THROWN = "PyObject_CallFunctionObjArgs(_m, type, value, traceback, NULL)"
THROWN_ALONE = "PyObject_CallOneArg(_m, value)"


class DescriptorSetHook(BuildHookInterface[Any]):
    """Writes the descriptor set into the source tree, so that editable and offline installs have it too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        output = Path(self.root, OUTPUT)
        try:
            distribution = metadata.distribution("xds-protos")
        except metadata.PackageNotFoundError:
            if not output.exists():  # a wheel made from our sdist finds the file there
                raise RuntimeError(f"xds-protos is needed to make {OUTPUT}") from None
        else:
            output.write_bytes(lzma.compress(descriptor_set(distribution), preset=9 | lzma.PRESET_EXTREME))
        build_data["artifacts"].append(OUTPUT)
        if any(metadata.distributions(name="hatch-mypyc")):  # in compiled wheels only
            mend_mypyc()


def mend_mypyc() -> None:
    """Have compiled coroutines throw an exception into what they await by the one argument that is not deprecated.

    mypyc 2.4.1 (https://github.com/mypyc/mypyc/issues/1214) hands over three, of which Python 3.12 warns; where
    warnings are errors, nothing that is awaited would be cancelled. This hook runs before mypyc's, in the same
    environment, which is the build's own.
    """
    source = Path(str(metadata.distribution("mypy").locate_file("mypyc/lib-rt/misc_ops.c")))
    code = source.read_text(encoding="utf-8")
    if THROWN not in code and THROWN_ALONE not in code:
        raise RuntimeError("this mypyc throws in a way that hatch_build.py does not know")
    source.write_text(code.replace(THROWN, THROWN_ALONE), encoding="utf-8")


def descriptor_set(distribution: metadata.Distribution) -> bytes:
    """Return a serialized `FileDescriptorSet`, every file after the files it imports."""
    from google.protobuf import descriptor_pb2

    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name in found:
            return
        file = descriptor_pb2.FileDescriptorProto.FromString(_serialized(distribution, name))
        for dependency in file.dependency:
            add(dependency)
        found[name] = file

    extensions = (str(path) for path in distribution.files or () if ANY.fullmatch(str(path)))
    for name in (*ROOTS, *sorted(path.removesuffix("_pb2.py") + ".proto" for path in extensions)):
        add(name)
    return descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString(deterministic=True)


def _serialized(distribution: metadata.Distribution, name: str) -> bytes:
    module = name.removesuffix(".proto") + "_pb2"
    if name.startswith("google/protobuf/"):  # the well-known types come with protobuf itself
        descriptor: bytes = importlib.import_module(module.replace("/", ".")).DESCRIPTOR.serialized_pb
        return descriptor
    source = Path(str(distribution.locate_file(f"{module}.py"))).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
            literal: bytes = ast.literal_eval(node.args[0])
            return literal
    raise RuntimeError(f"{name}: no descriptor in {module}.py")
