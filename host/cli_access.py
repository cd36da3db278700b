"""The commands about keys, and those that need none: pairing, the keys that are kept, and the emergency with the magnet at the pump."""

from __future__ import annotations

import click

from . import units
from .keystore import ROLE_NAMES, Keystore
from .present import show_flow
from .terminal import Session, emit_json, json_option, notice, show_table


@click.command()
@click.option("--role", type=click.Choice(ROLE_NAMES), help="Whose key to replace  [default: that of `thecal --role`].")
@json_option
@click.pass_obj
def pair(session: Session, role: str | None, as_json: bool) -> None:
    """Give the pump a new key for a role; hold the magnet over the pump.

    The key goes to the pump in the clear: do it where nobody listens. It is kept in the keys file, and the old key is worth nothing from
    then on. A lost key or a lost programmer needs no more than this: the magnet is the way back.
    """
    with session.pump() as pump:
        done = pump.pair(role)
        lasting = pump.keys.lasting
    if not lasting:
        notice("this simulated pump ends here and its key with it; set THECAL_KEYS to keep keys of simulated pumps")
    if as_json:
        return emit_json("thecal.pair/1", {"ok": True, **done.to_dict()})
    return click.echo("pump %d is paired: new %s key in %s; roles with a key of their own: %s" % (
        done.serial, done.role, done.kept_in, ", ".join(done.paired)))


keys = click.Group("keys", help="The keys that this programmer keeps. No command shows one.")


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """Pumps and roles that there is a key for."""
    store = Keystore.from_environment()
    found = store.listing()
    if as_json:
        return emit_json("thecal.keys/1", {
            "kept_in": store.where, "keys": [{"serial": serial, "role": role, "unproved": unproved} for serial, role, unproved in found]})
    if not found:
        return click.echo("no key in %s" % store.where)
    return show_table(("pump", "role", ""), [(str(serial), role, "new key not proved yet" if unproved else "") for serial, role, unproved in found])


@keys.command("forget")
@click.argument("serial", type=click.IntRange(min=0))
@json_option
def forget_keys(serial: int, as_json: bool) -> None:
    """Drop all keys of pump SERIAL. A paired pump then needs the magnet again."""
    store = Keystore.from_environment()
    roles = store.forget(serial)
    if as_json:
        return emit_json("thecal.keys-forget/1", {"ok": True, "serial": serial, "roles": roles})
    return click.echo("forgot the keys of pump %d: %s" % (serial, ", ".join(roles)))


emergency = click.Group("emergency", help="Without a key: with the magnet at the pump anyone may see the card, and reduce delivery for 24 h. Never raise it.")


@emergency.command()
@json_option
@click.pass_obj
def card(session: Session, as_json: bool) -> None:
    """Drug, dose, fill and alarms: what to know of a pump and a patient never seen before."""
    with session.pump() as pump:
        found = pump.card()
    if as_json:
        return emit_json("thecal.card/1", found.to_dict())
    return show_table(("", ""), found.rows())


def _reduce(session: Session, action: str, as_json: bool) -> None:
    with session.pump() as pump:
        done = pump.reduce(action)
    if as_json:
        emit_json("thecal.reduce/1", {"ok": True, **done.to_dict()})
    else:
        click.echo("%s: the pump delivers %s and sounds its alarm; it takes its program up again by itself at %s (pump clock), or at a clinician's "
                   "resume or program" % (action, show_flow(done.rate_nl_day), units.pump_time_text(done.until_s)))


@emergency.command()
@json_option
@click.pass_obj
def fallback(session: Session, as_json: bool) -> None:
    """Deliver the program's fallback rate for 24 h: too much drug, but none at all would be dangerous too."""
    _reduce(session, "fallback", as_json)


@emergency.command()
@json_option
@click.pass_obj
def stop(session: Session, as_json: bool) -> None:
    """Stop delivery for 24 h. Mind withdrawal: baclofen and clonidine stopped abruptly are dangerous."""
    _reduce(session, "stop", as_json)


def add_to(group: click.Group) -> None:
    """Put these commands into the `thecal` group."""
    for command in (pair, keys, emergency):
        group.add_command(command)
