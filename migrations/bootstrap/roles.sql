-- Roles of the platform; run once per server by an administrator, safe to run again.
-- Passwords are set apart from this file (scripts/database.ts, or the operator's secret store).
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'migrator') THEN
    CREATE ROLE migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'freeside_app') THEN
    CREATE ROLE freeside_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'jwks_writer') THEN
    CREATE ROLE jwks_writer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'loa_finn_ro') THEN
    CREATE ROLE loa_finn_ro LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
  END IF;
END
$$;
ALTER ROLE loa_finn_ro SET default_transaction_read_only = on;
ALTER ROLE loa_finn_ro SET statement_timeout = '5s';
ALTER ROLE jwks_writer SET statement_timeout = '5s';
ALTER ROLE freeside_app SET statement_timeout = '15s';
ALTER ROLE freeside_app SET idle_in_transaction_session_timeout = '30s';
