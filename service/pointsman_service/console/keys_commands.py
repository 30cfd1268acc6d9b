"""``python -m pointsman_service keys``: its commands. What they do is in ``pointsman_service.console.keys``, which each
loads after its settings were found good.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from pointsman_service.console.given import JSON, failures_told, settings_to_run
from pointsman_service.limits import LEAST_WEIGHT, MOST_WEIGHT

keys_cli = typer.Typer(
    no_args_is_help=True,
    help="Keys of callers: make, list, rotate and revoke them. Needs PostgreSQL, migrated, and no API.",
    rich_markup_mode=None,
)

_Key = typer.Argument(..., help="Its id, or the name of the one that is in use.")
_Reason = typer.Option(None, help="Why, for the log.")
_Scopes = typer.Option([], help="A right beside those of the preset; may be given several times.")
_TaskTypes = typer.Option([], help="Only this task type; may be given several times.")
_OnQueues = typer.Option([], help="Only this queue; may be given several times.")
_Provided = typer.Argument(
    ...,
    metavar="NAME=WHAT@FILE...",
    help="WHAT: a preset or scopes, by commas, such as workers=tasks:read,metrics:read@/run/secrets/workers_key.",
)
_First = typer.Argument(..., help="Made, for its owner alone to read, unless it holds a key already.")
_ExpiresDays = typer.Option(None, min=0.0, help="Days until it expires.", show_default="never")
_Rate = typer.Option(
    None, help="How fast its caller may submit: tasks in seconds, as 100/60s.", show_default="as POINTSMAN_CALLER_RATE"
)
_Burst = typer.Option(None, min=1, help="How many tasks at once.", show_default="as many as --rate says")
_Quota = typer.Option(None, min=1, help="How many of its tasks may wait.", show_default="as POINTSMAN_CALLER_QUOTA")
_Weight = typer.Option(
    None,
    min=LEAST_WEIGHT,
    max=MOST_WEIGHT,
    help="How many turns its tasks have in a queue where those of others have one.",
    show_default="as POINTSMAN_CALLER_WEIGHTS",
)
_DAY_SECONDS = 86_400.0


@contextmanager
def words_told() -> Iterator[None]:
    """What is wrong with the words of the command is told as typer tells it, and the command exits 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@keys_cli.command(name="create")
def create_key(
    name: str = typer.Argument(..., help="Of its caller: kept with the tasks that it submits, and with what it does."),
    preset: str | None = typer.Option(None, help="submitter, viewer, operator or admin."),
    scope: list[str] = _Scopes,
    task_type: list[str] = _TaskTypes,
    queue: list[str] = _OnQueues,
    expires_days: float | None = _ExpiresDays,
    rate: str | None = _Rate,
    burst: int | None = _Burst,
    quota: int | None = _Quota,
    weight: float | None = _Weight,
    reason: str | None = _Reason,
    as_json: bool = JSON,
) -> None:
    """Make a key, and print it: it is shown this once.

    The key stands alone on standard output, what it is on standard error. Exits 0, 1 when its name is taken or
    PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys
    from pointsman_service.operate.handle_keys import wanted as wanted_key

    with failures_told(), words_told():
        wanted = wanted_key(name, preset, scope, task_type, queue, _seconds(expires_days), rate, burst, quota, weight)
        keys.show_made(asyncio.run(keys.create(settings, wanted, reason)), as_json=as_json)


@keys_cli.command(name="draw")
def draw_key() -> None:
    """Print a key that opens nothing yet: for a file that `keys provide` is given.

    Needs no server. Exits 0.
    """
    from pointsman_service.access.token import new_token

    typer.echo(new_token())


@keys_cli.command(name="first")
def first_key(
    file: Path = _First,
) -> None:
    """Make a key of an admin and write it into a file, where no key of an admin is in use; else do nothing.

    For whatever starts an installation by itself. Exits 0, 1 when another key is called admin or PostgreSQL cannot be
    asked, 2 on a bad setting or a file that holds no key.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys

    with failures_told(), words_told():
        typer.echo(asyncio.run(keys.first(settings, file)))


@keys_cli.command(name="provide")
def provide_keys(wanted: list[str] = _Provided) -> None:
    """Let keys that stand in files open what is said of each; those that do already stay as they are.

    For installations whose secrets are files, such as containers: the file is made once, by `keys draw`, and this
    command runs at each start. Exits 0, 1 when a name is another key's or PostgreSQL cannot be asked, 2 on a bad
    setting or a file that holds no key.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys

    with failures_told(), words_told():
        given = [keys.provided(one) for one in wanted]
        for line in asyncio.run(keys.provide(settings, given)):
            typer.echo(line)


@keys_cli.command(name="list")
def list_keys(as_json: bool = JSON) -> None:
    """Show all keys, the newest first, also those that open nothing more; never the keys themselves.

    Exits 0, 1 when PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys

    with failures_told():
        keys.show_list(asyncio.run(keys.every(settings)), as_json=as_json)


@keys_cli.command(name="limit")
def limit_key(
    key: str = _Key,
    rate: str | None = _Rate,
    burst: int | None = _Burst,
    quota: int | None = _Quota,
    weight: float | None = _Weight,
    reason: str | None = _Reason,
    as_json: bool = JSON,
) -> None:
    """Say how fast the caller of a key may submit, how much, and its share, within two seconds in every process.

    What is left out is no longer said with the key. Exits 0, 1 when there is no such key, it is revoked, or PostgreSQL
    cannot be asked, 2 on a bad setting.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys
    from pointsman_service.limits import rate_of

    with failures_told(), words_told():
        limited = keys.limit(settings, key, rate_of(rate, burst), quota, weight, reason)
        keys.show_one(asyncio.run(limited), as_json=as_json)


@keys_cli.command(name="rotate")
def rotate_key(
    key: str = _Key,
    overlap_hours: float = typer.Option(24.0, min=0.0, help="How much longer the old one opens what it did."),
    expires_days: float | None = typer.Option(
        None, min=0.0, help="Days until the new one expires.", show_default="as long as the old one was to last"
    ),
    reason: str | None = _Reason,
    as_json: bool = JSON,
) -> None:
    """Put another key in the place of one, and print it: it has the same name and the same rights.

    With --overlap-hours 0 the old one opens nothing from now on, as it should be when it leaked. Exits 0, 1 when there
    is no such key, it is revoked or was rotated, or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys

    with failures_told():
        made = asyncio.run(keys.rotate(settings, key, overlap_hours * 3600.0, _seconds(expires_days), reason))
        keys.show_made(made, as_json=as_json)


@keys_cli.command(name="revoke")
def revoke_key(key: str = _Key, reason: str | None = _Reason, as_json: bool = JSON) -> None:
    """Let a key open nothing more, within two seconds in every process. That cannot be undone.

    By name it is the newest; one that a rotation left beside it is told on standard error. Exits 0, 1 when there is no
    such key or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys

    with failures_told():
        keys.show_revoked(*asyncio.run(keys.revoke(settings, key, reason)), as_json=as_json)


@keys_cli.command(name="sign-out")
def sign_out(
    name: str = typer.Argument(..., help="Of the caller: a key, or oidc:… of somebody whom the issuer knows."),
) -> None:
    """End every session of somebody in the dashboard, within two seconds in every process, and print how many.

    Who may sign in again does so. Exits 0, 1 when PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = settings_to_run()
    from pointsman_service.console import keys

    with failures_told():
        typer.echo(asyncio.run(keys.sign_out(settings, name)))


def _seconds(days: float | None) -> float | None:
    return None if days is None else days * _DAY_SECONDS
