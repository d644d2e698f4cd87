-- Why: the controller publishes and retires signing keys on its own, as a role that can do nothing else:
-- one table, of which it may change only when a key expires.
-- Lock: ACCESS EXCLUSIVE on nothing; grants take no lock that a query would wait for. Not breaking.
-- Needs the role of bootstrap/roles.sql.

-- Up Migration
SET LOCAL lock_timeout = '5s';
GRANT USAGE ON SCHEMA freeside TO jwks_writer;
GRANT SELECT, INSERT, DELETE, UPDATE (expires_at) ON freeside.s2s_jwks_public_keys TO jwks_writer;

-- Down Migration
SET LOCAL lock_timeout = '5s';
REVOKE ALL ON freeside.s2s_jwks_public_keys FROM jwks_writer;
REVOKE ALL ON SCHEMA freeside FROM jwks_writer;
