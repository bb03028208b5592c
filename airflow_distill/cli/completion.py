"""`airflow-distill completion SHELL`: print a script that completes commands, words and flags.

The script is made from the parsers when it is printed, so it holds no list of its own, and completing starts no Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from airflow_distill.cli.terminal import say_text

NOTES = """examples:
  source <(airflow-distill completion bash)            # in ~/.bashrc
  source <(airflow-distill completion zsh)             # in ~/.zshrc, after compinit
  airflow-distill completion fish > ~/.config/fish/completions/airflow-distill.fish
"""

SHELLS = ("bash", "zsh", "fish")


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the argument."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = NOTES
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    say_text({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](dict(words())))
    return 0


def words() -> Iterator[tuple[str, list[str]]]:
    """Yield (what was typed so far, what may follow) for the program, each command and each of its words."""
    from airflow_distill.cli.main import COMMANDS, build_parser

    yield "", [*COMMANDS, "--help", "--version"]
    for command in COMMANDS:
        for action in build_parser(command)._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from _below(command, action.choices[command])


def _below(typed: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    inner: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner += action.choices
            for word, below in action.choices.items():
                yield from _below(f"{typed} {word}", below)
        elif action.choices and not action.option_strings:
            inner += map(str, action.choices)
    yield typed, [*inner, *flags]


def _bash(told: dict[str, list[str]]) -> str:
    cases = "\n".join(
        f'    "{typed}") next="{" ".join(follow)}" ;;' for typed, follow in sorted(told.items())
    )
    return f"""_airflow_distill() {{
  local typed="" next="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) ;; *) case "$typed" in "") typed="$word" ;; *\\ *) ;; *) typed="$typed $word" ;; esac ;; esac
  done
  while :; do
    case "$typed" in
{cases}
    esac
    [[ -n "$next" || "$typed" != *\\ * ]] && break
    typed="${{typed% *}}"
  done
  COMPREPLY=($(compgen -W "$next" -- "${{COMP_WORDS[COMP_CWORD]}}"))
  [[ ${{#COMPREPLY[@]}} -eq 0 ]] && COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o filenames -F _airflow_distill airflow-distill
"""


def _zsh(told: dict[str, list[str]]) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(told)


def _fish(told: dict[str, list[str]]) -> str:
    lines = []
    for typed, follow in sorted(told.items()):
        when = (
            "__fish_use_subcommand"
            if not typed
            else "; and ".join(f"__fish_seen_subcommand_from {word}" for word in typed.split())
        )
        plain = " ".join(word for word in follow if not word.startswith("--"))
        if plain:
            lines.append(f"complete -c airflow-distill -n '{when}' -a '{plain}'")
        lines += [
            f"complete -c airflow-distill -n '{when}' -l {flag[2:]}"
            for flag in follow
            if flag.startswith("--")
        ]
    return "\n".join(lines) + "\n"
