"""Packages whose public names are imported when they are first used.

Stage: beneath the ``__init__`` of both packages. A session that compiles one system need not wait
for the rooms of all others.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def on_first_use(package: str, homes: Mapping[str, str]) -> None:
    """Let the names of a package be found in their modules when they are asked for.

    Some names are those of modules too, such as ``numeric.certify``. As attributes of the package
    they are always the public object, whether or not the module was imported before.

    Args:
        package: name of a package that is being imported.
        homes: public name -> module that defines it.
    """

    class Package(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name not in homes:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            found = getattr(import_module(homes[name]), name)
            self.__dict__[name] = found
            return found

        def __setattr__(self, name: str, value: Any) -> None:
            if name in homes and isinstance(value, ModuleType):
                return  # the import system binds a module that has a public name
            super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *homes})

    sys.modules[package].__class__ = Package
