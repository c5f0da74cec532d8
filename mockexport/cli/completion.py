"""`mockexport completion SHELL`: a script on stdout that lets a shell complete commands, options and their words."""

import argparse

from mockexport.cli.arguments import COMMANDS, for_completion
from mockexport.cli.text import put
from mockexport.errors import OptionError

__all__ = ["completion"]


def completion(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        OptionError: the extra is not installed.
    """
    try:
        import shtab
    except ModuleNotFoundError:
        raise OptionError("completion", "needs what is not installed: pip install 'mockexport[completion]'") from None
    parsers = for_completion()
    for action in (action for parser in parsers for action in parser.added):
        if action.metavar in ("FILE", "PATH", "DIR"):
            vars(action)["complete"] = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
    script = shtab.complete(parsers[0], options.shell)
    if options.shell == "zsh":
        # Behind a first word that is no command, the others know the options of the parser before its commands.
        in_place = f"      [[ $line[1] == ({'|'.join(COMMANDS)}) ]] || line[1]=analyze\n"
        script = script.replace("      case $line[1] in\n", in_place + "      case $line[1] in\n", 1)
    put(script + "\n")
    return 0
