"""The `engine` command. Each subcommand is a file here, imported only when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import click

from engine.settings import SettingsError

EXIT_TOLD = 2
"""Exit status when the reason was told in a sentence: a wrong setting, a port in use, a server away."""

COMMANDS = {
    "up": ("engine.cli.up", "Start everything on this machine: servers, tables, questions, API, worker, page."),
    "serve": ("engine.cli.nodes:serve", "Run one API node on DATABASE_URL and REDIS_URL."),
    "worker": ("engine.cli.nodes:worker", "Run one worker, which judges submissions."),
    "migrate": ("engine.cli.nodes:migrate", "Bring the tables of Postgres up to date."),
    "packs": ("engine.cli.packs", "Load, check or list question packs."),
    "judge": ("engine.cli.judging", "Judge a submission from a file, or put a judge on trial (judge bench)."),
    "accounts": ("engine.cli.accounts", "Delete an account, for those who ask for it."),
    "evaluations": ("engine.cli.evaluations", "List submissions that are set aside, and let them go on."),
    "settings": ("engine.cli.variables", "List every environment variable with its default and meaning."),
    "try": ("engine.cli.trying", "Play an interview in the terminal, or from a pipe."),
}
"""name -> (module[:attribute, else `command`], what it does)."""


class Told(click.ClickException):
    """An error that is told in a sentence, without a traceback."""

    exit_code = EXIT_TOLD


class Commands(click.Group):
    """Subcommands by name; `--help` lists them without importing one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (where, _) in COMMANDS.items() if _exists(where)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


def _exists(where: str) -> bool:
    return importlib.util.find_spec(where.partition(":")[0]) is not None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="interview-engine", prog_name="engine")
def engine() -> None:
    """An engine for timed mock system-design interviews.

    `engine up` starts all of it on this machine. Settings come from the environment: `engine settings`.
    """


def main() -> None:
    """The console script: what is wrong with the surroundings is told in a sentence, bugs with their traceback."""
    try:
        engine(prog_name="engine")
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_TOLD)
