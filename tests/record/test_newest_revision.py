"""A start that finds the tables up to date does without Alembic: by the file's number, which must be true."""

from __future__ import annotations

from alembic.script import ScriptDirectory

from engine.record.engine import alembic_config, newest_revision


def test_the_last_files_number_is_alembics_head() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [newest_revision()]


def test_every_file_is_named_by_its_revision() -> None:
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions():
        assert script.path.rpartition("/")[2].startswith(f"{script.revision}_")
