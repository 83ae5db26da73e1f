"""The MySQL schema: Alembic migrations in ``versions``, run by ``python -m setup.schema``.

Raw SQL that MariaDB 10.11 and MySQL 8.4 both take. DDL commits implicitly, so every statement can
be repeated (``IF NOT EXISTS``): a migration that was killed half way is simply run again.
"""
