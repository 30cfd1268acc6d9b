"""``python -m pointsman_service audit``: its commands."""

import asyncio

import typer

from pointsman_service.console.given import JSON, failures_told, settings_to_run

audit_cli = typer.Typer(
    no_args_is_help=True,
    help="What is kept of acts: look whether anybody changed it. Needs PostgreSQL, migrated, and no API.",
    rich_markup_mode=None,
)


@audit_cli.command(name="verify")
def verify_audit(
    head: str | None = typer.Option(None, help="A hash that was told before: it must still be in its place."),
    as_json: bool = JSON,
) -> None:
    """Look through what is kept of acts, and find every entry that was changed, removed or put between.

    Says how many there are and the hash of the last: who keeps that elsewhere can prove later that nothing of before
    was written anew. Exits 0, 1 when something is wrong or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = settings_to_run()
    from pointsman_service.console.audit import show_verdict, verify

    with failures_told():
        verdict = asyncio.run(verify(settings, head))
    show_verdict(verdict, as_json=as_json)
    if verdict.faults:
        raise typer.Exit(1)
