"""A parser whose options fall back to the environment, and whose help says the most important of many first."""

import argparse
import os
from collections.abc import Collection
from typing import Any, NoReturn

from mockexport.cli.words import one_of
from mockexport.shown import shown

__all__ = ["Command", "FromEnvironment", "Several"]


class Several(argparse.Action):
    """Collects what a repeated option says; the first one said replaces what the environment says."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        so_far = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [values] if so_far is self.default else [*so_far, values])


class FromEnvironment(str):
    """A text from the environment: what the command line says goes before it, contradictions included."""

    __slots__ = ()


class Command(argparse.ArgumentParser):
    """A parser whose options fall back to the environment: to variables that begin with `variables`.

    Its help tells the options in `first` alone, if there are any, unless it is to tell `everything`. `problems` are
    those with its variables: no concern of other commands, nor of --help and --version.
    """

    variables = "MOCKEXPORT_"

    def __init__(self, *, first: Collection[str] = (), everything: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self._first = () if everything else first
        self.problems: list[str] = []
        self.known_variables: list[str] = []
        self.added: list[argparse.Action] = []
        self.taking: set[str] = set()  # options that take a value
        self._group: argparse._ActionsContainer = self

    def group(self, title: str) -> None:
        """Put the options that follow under a title of their own."""
        self._group = self.add_argument_group(title)

    def option(self, *names: str, **settings: Any) -> None:
        """Add an option; its default is taken from the environment if it is set there."""
        long_name = next(name for name in names if name.startswith("--"))
        variable = self.variables + long_name[2:].upper().replace("-", "_")
        self.known_variables.append(variable)
        if settings.get("action") != "store_true":
            self.taking.update(names)
        if "choices" in settings:
            settings["type"] = one_of(settings["choices"])
        text = os.environ.get(variable)
        if text:
            if settings.get("action") == "store_true":
                settings["default"] = self._truth(variable, text)
            elif settings.get("action") is Several:
                settings["default"] = [line for line in text.splitlines() if line.strip()]
            else:
                if "choices" in settings and text not in settings["choices"]:
                    self.problems.append(f"{variable}: {text!a} is none of {', '.join(settings['choices'])}")
                else:
                    settings["default"] = FromEnvironment(text)  # argparse converts and checks a default that is text
        if self._first and long_name not in self._first:
            settings["help"] = argparse.SUPPRESS
        self.added.append(self._group.add_argument(*names, **settings))

    def positional(self, name: str, **settings: Any) -> None:
        """Add what is said without an option's name."""
        self.added.append(self._group.add_argument(name, **settings))

    def error(self, message: str) -> NoReturn:
        """End with a usage error, which repeats what was said: a secret excepted."""
        super().error(shown(message))

    def known_options(self) -> list[str]:
        """Return the options there are, by all their names."""
        return [*self._option_string_actions]

    def _truth(self, variable: str, text: str) -> bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() not in ("0", "false", "no", "off"):
            self.problems.append(f"{variable}: {text!a} is neither true nor false")
        return False
