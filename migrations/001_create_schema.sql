-- Why: one schema for everything freeside owns; services reach it through roles of least privilege.
-- The roles are made by migrations/bootstrap/roles.sql, because roles belong to the whole server.
-- Lock: none that anyone waits for. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE SCHEMA freeside;
GRANT USAGE ON SCHEMA freeside TO freeside_app, loa_finn_ro;

-- Append-only tables call this from a statement trigger, so that TRUNCATE is refused too.
CREATE FUNCTION freeside.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %.% is refused: the table is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP FUNCTION freeside.refuse_change();
DROP SCHEMA freeside;
