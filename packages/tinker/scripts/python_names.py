"""
Prints every public name of the installed Python SDK: its exports, its types, and what their objects and its clients can do.

Left out are fields, what comes from pydantic and the standard library, and the aliases `Backcompat...`, which can do what the
clients can.
"""

import inspect

import tinker
from tinker import auth, types


def is_hook(name):
    return name.startswith(("serialize_", "validate_")) or name == "model_config"


def members(cls):
    fields = set(getattr(cls, "model_fields", {}))
    for parent in cls.__mro__:
        if not parent.__module__.startswith("tinker"):
            continue
        for name, member in vars(parent).items():
            if name.startswith("_") or name in fields or is_hook(name):
                continue
            if callable(member) or hasattr(member, "__get__"):
                yield name


def exports(module, names):
    for name in names:
        value = getattr(module, name)
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations":
            yield name, value


names = set()
for module, prefix, exported in [
    (tinker, "", tinker.__all__),
    (types, "types.", [name for name in dir(types) if name not in tinker.__all__]),
    (auth, "auth.", [name for name in auth.__all__ if name not in tinker.__all__]),
]:
    for name, value in exports(module, exported):
        names.add(prefix + name)
        if inspect.isclass(value) and not name.startswith("Backcompat"):
            names.update(f"{prefix}{name}.{member}" for member in members(value))

print("\n".join(sorted(names)))
