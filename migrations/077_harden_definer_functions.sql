-- Why: two things that callers of functions with the migrator's rights could do and should not.
--
-- seal_audit_batch(NULL) sealed everything (LIMIT NULL is no limit), and its `more` was neither true nor
-- false: the checkpoint stated no balances, and which communities were owed theirs was forgotten, so
-- that every later checkpoint left communities out and no export verified any more. Without a limit
-- it now does nothing. The other functions of the trail refuse NULL by the constraints of their tables.
--
-- With search_path = pg_catalog, names of types and tables are still looked up in pg_temp first. Whoever
-- may make temporary objects could make a type named `text` whose check runs his own code with the
-- migrator's rights. Our roles may not (bootstrap grants them CONNECT alone), but a database that was
-- made in another way allows it to everybody. Last in the path, pg_temp is asked when nothing else has the
-- name. Every function of the schema that runs with its owner's rights, whichever migration wrote it.
--
-- Lock: none but on the functions' own rows. Not breaking: no text, grant or signature changes.

-- Up Migration
SET LOCAL lock_timeout = '5s';

ALTER FUNCTION freeside.seal_audit_batch(integer) STRICT;

DO $$
DECLARE
  definer regprocedure;
BEGIN
  FOR definer IN
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'freeside'::regnamespace AND p.prosecdef ORDER BY p.oid
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', definer);
  END LOOP;
END
$$;

-- Down Migration
SET LOCAL lock_timeout = '5s';

-- The path of 005 to 074; the three functions of 075 and 076 had pg_temp in it before.
DO $$
DECLARE
  definer regprocedure;
BEGIN
  FOR definer IN
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'freeside'::regnamespace AND p.prosecdef
      AND p.proname NOT IN ('apply_payment_decision', 'resolve_payment', 'create_payment')
    ORDER BY p.oid
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog', definer);
  END LOOP;
END
$$;

ALTER FUNCTION freeside.seal_audit_batch(integer) CALLED ON NULL INPUT;
