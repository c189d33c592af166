"""`engine accounts`: what those who run the engine may have to do for people who ask them to."""

from __future__ import annotations

import asyncio

import click

from engine.cli import Told
from engine.cli.servers import check_servers, read_settings, some_servers
from engine.settings import Settings


@click.group("accounts")
def command() -> None:
    """Accounts of candidates."""


@command.command("delete")
@click.argument("email")
@click.confirmation_option(prompt="All of this account's data goes, for good. Go on?")
def delete(email: str) -> None:
    """Delete the account with this address and all that is its owner's, as the owner's own button does."""

    async def run(settings: Settings) -> bool:
        await check_servers(settings)
        from engine import wiring

        return await wiring.delete_account(settings, email)

    with some_servers(read_settings()) as settings:
        if not asyncio.run(run(settings)):
            raise Told("No account has this address.")
    click.echo("The account is deleted.")
