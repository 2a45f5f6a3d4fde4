"""A table of customers in PostgreSQL, scored where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql as names

from churn import sql
from churn.errors import DataError
from churn.model import Model
from churn.sql import Type

#: PostgreSQL's numbers for the types of numbers, and for truth; all else is read as text.
_NUMBERS = frozenset({20, 21, 23, 700, 701, 1700})
_BOOLEAN = 16

#: What is kept of each customer beside the key, with its type.
KEPT = {
    "churn_probability": "double precision",
    "churn": "boolean",
    "refused": "text",
    "model": "text",
    "scored_at": "timestamptz",
}


@dataclass(frozen=True)
class Scores:
    """How many customers have a probability now, and how many could not be scored."""

    scored: int
    refused: int


def keep_scored(
    model: Model,
    url: str,
    table: str,
    into: str,
    *,
    keys: Sequence[str] = (),
    threshold: float | None = None,
) -> Scores:
    """Score a table into another, in one transaction; safe to run again.

    Each customer's row in ``into`` is the one of the last run, and who is no customer any more has
    none. ``keys`` tell customers apart, where the table has no primary key. A customer the model
    can't score has no probability, and the names of the fields that were not understood.

    :raises DataError: the database can't be reached, or doesn't do it.
    :raises CustomerError: the table lacks columns that the model needs.
    """
    try:
        with psycopg.connect(url) as connection:
            source, target = _identifier(table), _identifier(into)
            columns = _columns(connection, source)
            keys = list(keys) or _primary_key(connection, source)
            if not keys:
                raise DataError(
                    f"{table} has no primary key: say --key COLUMN, which tells rows apart"
                )
            if lost := [key for key in keys if key not in columns]:
                raise DataError(f"{table} has no column {lost[0]!r} to be a key")
            return _scored(connection, model, source, columns, target, keys, threshold)
    except psycopg.Error as error:
        raise DataError(f"the database says: {str(error).strip().partition(chr(10))[0]}") from error


def _scored(
    connection: psycopg.Connection,
    model: Model,
    source: names.Identifier,
    columns: dict[str, Type],
    target: names.Identifier,
    keys: Sequence[str],
    threshold: float | None,
) -> Scores:
    key = names.SQL(", ").join(map(names.Identifier, keys))
    kept = names.SQL(", ").join(map(names.Identifier, KEPT))
    parts = {
        "source": source, "target": target, "key": key, "kept": kept,
        "typed": names.SQL(", ").join(
            names.SQL("NULL::{} AS {}").format(names.SQL(kind), names.Identifier(name))
            for name, kind in KEPT.items()
        ),
        "renewed": names.SQL(", ").join(
            names.SQL("{0} = EXCLUDED.{0}").format(names.Identifier(name)) for name in KEPT
        ),
        "same": names.SQL(" AND ").join(
            names.SQL("s.{0} = t.{0}").format(names.Identifier(name)) for name in keys
        ),
        "model": names.Literal(model.version),
    }  # fmt: skip
    added = sql.free(columns, sql.PROBABILITY, sql.CHURN, sql.REFUSED)
    probability, churn, refused = map(names.Identifier, added)
    select = names.SQL(
        sql.select(
            model, columns, source.as_string(connection), "postgres",
            threshold=threshold, refused=True,
        )
    )  # fmt: skip
    with connection.cursor() as cursor:
        found = cursor.execute("SELECT to_regclass(%s)", [target.as_string(connection)]).fetchone()
        if found is None or found[0] is None:
            make = "CREATE TABLE {target} AS SELECT {key}, {typed} FROM {source} WITH NO DATA"
            cursor.execute(names.SQL(make).format(**parts))
            cursor.execute(
                names.SQL("ALTER TABLE {target} ADD PRIMARY KEY ({key})").format(**parts)
            )
        # one run after the other; readers see the last one until this one is whole
        cursor.execute(names.SQL("LOCK TABLE {target} IN SHARE ROW EXCLUSIVE MODE").format(**parts))
        cursor.execute(
            names.SQL(
                "INSERT INTO {target} ({key}, {kept}) SELECT {key}, {probability}, {churn}, "
                "{refused}, {model}, now() FROM ({select}) AS t "
                "ON CONFLICT ({key}) DO UPDATE SET {renewed}"
            ).format(**parts, probability=probability, churn=churn, refused=refused, select=select)
        )
        cursor.execute(
            names.SQL(
                "DELETE FROM {target} AS t "
                "WHERE NOT EXISTS (SELECT FROM {source} AS s WHERE {same})"
            ).format(**parts)
        )
        counts = names.SQL("SELECT count(churn_probability), count(*) FROM {target}")
        row = cursor.execute(counts.format(**parts)).fetchone()
    scored, rows = row or (0, 0)
    return Scores(scored, rows - scored)


def _identifier(name: str) -> names.Identifier:
    """Return a table's name, perhaps with its schema before a point."""
    return names.Identifier(*name.split("."))


def _columns(connection: psycopg.Connection, source: names.Identifier) -> dict[str, Type]:
    cursor = connection.execute(names.SQL("SELECT * FROM {} LIMIT 0").format(source))
    return {each.name: _kind(each.type_code) for each in cursor.description or ()}


def _kind(type_code: int) -> Type:
    if type_code == _BOOLEAN:
        return "boolean"
    return "number" if type_code in _NUMBERS else "text"


def _primary_key(connection: psycopg.Connection, source: names.Identifier) -> list[str]:
    found = connection.execute(
        "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid "
        "AND attnum = ANY(indkey) WHERE indrelid = %s::regclass AND indisprimary "
        "ORDER BY array_position(indkey::int2[], attnum)",
        [source.as_string(connection)],
    )
    return [name for (name,) in found]
