-- Why: anyone may check the books without trusting this database. Every credit operation becomes a
-- record in one chain of hashes: a record is a link, and each batch ends in a checkpoint, which is a
-- link too and states what the books said at that moment. Records are copies: they show what an
-- entry was even if somebody changed it afterwards.
--
-- Sealing happens after the fact, by one runner, from one snapshot. It waits for nobody and nobody
-- waits for it: it reads the books, writes only its own tables, and locks no row but audit_state's.
--
-- What can't be skipped or sealed twice (docs/adr/0018): ids become visible out of order, so "greater than
-- the last one" would skip a late committer. Instead, everything visible above a low mark that has
-- no record is sealed, and the mark rises only to an id below which nothing can appear any more:
--   every writer has its transaction id before it draws an entry id (it locks the community first),
--   ids are drawn in order (no sequence cache). So whoever drew an id below one that was visible in
--   a sealer's snapshot has a transaction id below the one that this sealer got after its snapshot.
--   Once every transaction below that has ended, the ids below are as they will ever be.
-- Unique indexes over source_id are the last line against sealing twice; the balances in
-- the checkpoints come from freeside.accounts, so that a record too few or too many shows offline.
--
-- Lock: new tables only. Not breaking. The way down destroys the trail: export it first.

-- Up Migration
SET LOCAL lock_timeout = '5s';

-- One row for each link that is a record. No foreign keys: they would lock rows of the hot path.
CREATE TABLE freeside.audit_records (
  sequence       bigint PRIMARY KEY CHECK (sequence > 0),
  -- entry: a row of ledger_entries; adjustment: one of credit_lot_adjustments, which moves no account.
  source         text NOT NULL CHECK (source IN ('entry', 'adjustment')),
  source_id      bigint NOT NULL CHECK (source_id > 0),
  community_id   uuid NOT NULL,
  kind           text NOT NULL,
  from_account   text,
  to_account     text,
  amount_micro   bigint NOT NULL,
  reservation_id uuid,
  lot_id         uuid,
  recorded_at    timestamptz NOT NULL,
  hash           bytea NOT NULL CHECK (octet_length(hash) = 32),
  CONSTRAINT audit_records_accounts CHECK (
    CASE source WHEN 'entry' THEN from_account IS NOT NULL AND to_account IS NOT NULL AND amount_micro > 0
      ELSE from_account IS NULL AND to_account IS NULL END)
);

-- Two small indexes are cheaper to fill than one over both columns.
CREATE UNIQUE INDEX audit_records_by_entry ON freeside.audit_records (source_id) WHERE source = 'entry';
CREATE UNIQUE INDEX audit_records_by_adjustment ON freeside.audit_records (source_id) WHERE source = 'adjustment';

-- The last link of each batch; `body` is the text that was hashed.
CREATE TABLE freeside.audit_checkpoints (
  sequence   bigint PRIMARY KEY,
  -- The batch: records first_sequence to sequence - 1.
  first_sequence bigint NOT NULL UNIQUE CHECK (first_sequence < sequence),
  body       text NOT NULL,
  hash       bytea NOT NULL CHECK (octet_length(hash) = 32),
  sealed_at  timestamptz NOT NULL
);

-- Signatures come after the commit of their checkpoint: the key is with the worker, not here.
CREATE TABLE freeside.audit_signatures (
  sequence  bigint PRIMARY KEY REFERENCES freeside.audit_checkpoints (sequence),
  kid       text NOT NULL CHECK (kid ~ '^[A-Za-z0-9_-]{1,64}$'),
  signature bytea NOT NULL CHECK (octet_length(signature) = 64),
  signed_at timestamptz NOT NULL DEFAULT now()
);

-- Where sealing stands. Losing it loses nothing but time: the marks could start from 0 again.
CREATE TABLE freeside.audit_state (
  only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  sequence          bigint NOT NULL DEFAULT 0,
  hash              bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(hash) = 32),
  -- Nothing unsealed can be at or below these.
  entries_low       bigint NOT NULL DEFAULT 0,
  adjustments_low   bigint NOT NULL DEFAULT 0,
  -- What the marks rise to once every transaction below noted_xid has ended.
  entries_noted     bigint NOT NULL DEFAULT 0,
  adjustments_noted bigint NOT NULL DEFAULT 0,
  noted_xid         xid8,
  -- First record since whose community no checkpoint has stated balances; NULL when none is owed.
  balances_from     bigint
);
INSERT INTO freeside.audit_state DEFAULT VALUES;

CREATE TRIGGER audit_records_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.audit_records
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER audit_checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.audit_checkpoints
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER audit_signatures_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.audit_signatures
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER audit_state_never_removed BEFORE DELETE OR TRUNCATE ON freeside.audit_state
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();

-- Canonical form: packages/audit writes the same text, and a test compares the two.
CREATE FUNCTION freeside.audit_time(at_time timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN to_char(at_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

CREATE FUNCTION freeside.audit_record_body(
  sequence bigint, source text, source_id bigint, at_time timestamptz, community uuid, kind text,
  from_account text, to_account text, amount bigint, reservation uuid, lot uuid
) RETURNS text LANGUAGE sql STABLE
RETURN '{"type":"record","sequence":"' || sequence || '","source":"' || source || '","id":"' || source_id
  || '","at":"' || freeside.audit_time(at_time) || '","community":"' || community || '","kind":"' || kind
  || '","from":' || COALESCE('"' || from_account || '"', 'null') || ',"to":' || COALESCE('"' || to_account || '"', 'null')
  || ',"amount_micro":"' || amount || '","reservation":' || COALESCE('"' || reservation || '"', 'null')
  || ',"lot":' || COALESCE('"' || lot || '"', 'null') || '}';

CREATE FUNCTION freeside.audit_link(previous bytea, body text) RETURNS bytea
LANGUAGE sql IMMUTABLE
RETURN sha256(convert_to(encode(previous, 'hex') || E'\n' || body, 'UTF8'));

-- The text of audit_link(), written out and in PL/pgSQL: called row by row that is twice as fast.
CREATE FUNCTION freeside.audit_next_link(link bytea, first_previous bytea, body text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN sha256(convert_to(encode(COALESCE(link, first_previous), 'hex') || E'\n' || body, 'UTF8'));
END
$$;

-- Over the rows in order: the hash of each link, from that before the first.
CREATE AGGREGATE freeside.audit_chain(bytea, text) (SFUNC = freeside.audit_next_link, STYPE = bytea);

-- The sealer's own settings would make these joins slow.
CREATE FUNCTION freeside.audit_conservation() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET jit = off AS $$
  SELECT '{"depth":"quick","violations":"' || count(*) || '","drift_micro":"' || COALESCE(sum(abs(q.drift_micro)), 0) || '"}'
  FROM freeside.conservation_quick q WHERE q.drift_micro <> 0
$$;

-- Seals what is visible and has no record, at most `at_most` of each source, and ends the batch with a
-- checkpoint. No row is returned when another sealer is at it. `records` is 0 when nothing waited;
-- `more` says that the limit cut the batch short. Two that overlap: one fails with 40001.
CREATE FUNCTION freeside.seal_audit_batch(at_most integer)
RETURNS TABLE (sequence bigint, records integer, more boolean, violations bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  at_start freeside.audit_state;
  n_entries bigint; n_adjustments bigint; top_entry bigint; top_adjustment bigint;
  head bytea;
  next_state freeside.audit_state;
  strange boolean;
  owed_from bigint;
  is_long boolean;
  now_text text := freeside.audit_time(clock_timestamp());
  conservation text;
  balances text := '';
  body text;
BEGIN
  IF current_setting('transaction_isolation') <> 'repeatable read' THEN
    RAISE EXCEPTION 'seal_audit_batch() needs one snapshot: REPEATABLE READ';
  END IF;
  IF NOT pg_try_advisory_xact_lock(hashtextextended('freeside.audit_seal', 0)) THEN
    RETURN;
  END IF;
  -- Fails with 40001 when another sealer committed after our snapshot was taken.
  SELECT * INTO at_start FROM freeside.audit_state FOR NO KEY UPDATE;

  WITH entries AS (
    -- An entry without its accounts fails the insert below rather than being left out. Lookups row by
    -- row, here and below: a join may be planned badly while statistics are young, a lookup can't.
    SELECT 'entry' AS source, e.id AS source_id, e.community_id, e.kind,
      (SELECT a.kind FROM freeside.accounts a WHERE a.id = e.from_account_id) AS from_account,
      (SELECT a.kind FROM freeside.accounts a WHERE a.id = e.to_account_id) AS to_account,
      e.amount_micro, e.reservation_id, e.lot_id, e.created_at
    FROM freeside.ledger_entries e
    WHERE e.id > at_start.entries_low
      AND (SELECT r.sequence FROM freeside.audit_records r WHERE r.source = 'entry' AND r.source_id = e.id) IS NULL
    ORDER BY e.id LIMIT at_most
  ), adjustments AS (
    SELECT 'adjustment' AS source, d.id AS source_id, d.community_id, d.reason AS kind, NULL::text, NULL::text,
      d.amount_micro, d.reservation_id, d.lot_id, d.created_at
    FROM freeside.credit_lot_adjustments d
    WHERE d.id > at_start.adjustments_low
      AND (SELECT r.sequence FROM freeside.audit_records r WHERE r.source = 'adjustment' AND r.source_id = d.id) IS NULL
    ORDER BY d.id LIMIT at_most
  ), waiting AS (
    SELECT w.*, at_start.sequence + row_number() OVER (ORDER BY w.source DESC, w.source_id) AS place
    FROM (SELECT * FROM entries UNION ALL SELECT * FROM adjustments) w
  ), chained AS (
    SELECT w.*, freeside.audit_chain(at_start.hash, freeside.audit_record_body(w.place, w.source, w.source_id, w.created_at,
      w.community_id, w.kind, w.from_account, w.to_account, w.amount_micro, w.reservation_id, w.lot_id))
      OVER (ORDER BY w.place ROWS UNBOUNDED PRECEDING) AS link
    FROM waiting w
  ), sealed AS (
    INSERT INTO freeside.audit_records AS r (sequence, source, source_id, community_id, kind, from_account, to_account,
      amount_micro, reservation_id, lot_id, recorded_at, hash)
    SELECT c.place, c.source, c.source_id, c.community_id, c.kind, c.from_account, c.to_account,
      c.amount_micro, c.reservation_id, c.lot_id, c.created_at, c.link
    FROM chained c ORDER BY c.place
    RETURNING r.source, r.source_id
  )
  SELECT count(*) FILTER (WHERE s.source = 'entry'), count(*) FILTER (WHERE s.source = 'adjustment'),
    COALESCE(max(s.source_id) FILTER (WHERE s.source = 'entry'), 0),
    COALESCE(max(s.source_id) FILTER (WHERE s.source = 'adjustment'), 0)
  INTO n_entries, n_adjustments, top_entry, top_adjustment
  FROM sealed s;
  records := n_entries + n_adjustments;
  more := n_entries = at_most OR n_adjustments = at_most;
  sequence := at_start.sequence;
  violations := 0;

  next_state := at_start;
  IF pg_snapshot_xmin(pg_current_snapshot()) >= at_start.noted_xid THEN
    -- All that is visible up to there is sealed, unless the limit cut this batch off below.
    IF n_entries < at_most OR top_entry >= at_start.entries_noted THEN
      next_state.entries_low := at_start.entries_noted;
    END IF;
    IF n_adjustments < at_most OR top_adjustment >= at_start.adjustments_noted THEN
      next_state.adjustments_low := at_start.adjustments_noted;
    END IF;
  END IF;
  -- From another server, whose transactions counted further: this database was restored from a dump.
  strange := at_start.noted_xid > pg_current_xact_id();
  IF strange OR (next_state.entries_low = at_start.entries_noted AND next_state.adjustments_low = at_start.adjustments_noted) THEN
    next_state.entries_noted := GREATEST(at_start.entries_noted, CASE WHEN n_entries = at_most THEN top_entry
      ELSE (SELECT max(e.id) FROM freeside.ledger_entries e) END);
    next_state.adjustments_noted := GREATEST(at_start.adjustments_noted, CASE WHEN n_adjustments = at_most THEN top_adjustment
      ELSE (SELECT max(d.id) FROM freeside.credit_lot_adjustments d) END);
    -- Drawn after the snapshot was taken: above that of everybody who drew an id below those.
    IF strange OR next_state.entries_noted > at_start.entries_noted OR next_state.adjustments_noted > at_start.adjustments_noted THEN
      next_state.noted_xid := pg_current_xact_id();
    END IF;
  END IF;

  IF records > 0 THEN
    SELECT r.hash INTO STRICT head FROM freeside.audit_records r WHERE r.sequence = at_start.sequence + records;
    owed_from := COALESCE(at_start.balances_from, at_start.sequence + 1);
    is_long := at_start.sequence - owed_from > 100000;
    -- Only when the sealed records are all there is do they add up to the balances of this snapshot.
    IF NOT more THEN
      SELECT COALESCE(string_agg(c.line, ',' ORDER BY c.community_id), '') INTO balances
      FROM (
        SELECT a.community_id, '{"community":"' || a.community_id || '","accounts":{'
          || string_agg('"' || a.kind || '":"' || a.balance_micro || '"', ',' ORDER BY a.kind COLLATE "C") || '}}' AS line
        -- After a long past has been caught up with, everybody's: fewer rows than all those records.
        FROM (SELECT DISTINCT r.community_id FROM freeside.audit_records r WHERE r.sequence >= owed_from AND NOT is_long
              UNION ALL SELECT m.id FROM freeside.communities m WHERE is_long) touched
        JOIN freeside.accounts a ON a.community_id = touched.community_id
        GROUP BY a.community_id
      ) c;
    END IF;
    sequence := at_start.sequence + records + 1;
    conservation := freeside.audit_conservation();
    violations := (conservation::jsonb ->> 'violations')::bigint;
    body := '{"type":"checkpoint","sequence":"' || sequence || '","at":"' || now_text
      || '","first":"' || at_start.sequence + 1 || '","conservation":' || conservation || ',"balances":[' || balances || ']}';
    head := freeside.audit_link(head, body);
    INSERT INTO freeside.audit_checkpoints (sequence, first_sequence, body, hash, sealed_at)
    VALUES (seal_audit_batch.sequence, at_start.sequence + 1, body, head, clock_timestamp());
    next_state.sequence := sequence;
    next_state.hash := head;
    next_state.balances_from := CASE WHEN more THEN owed_from END;
  END IF;

  IF next_state IS DISTINCT FROM at_start THEN
    UPDATE freeside.audit_state s SET
      sequence = next_state.sequence, hash = next_state.hash,
      entries_low = next_state.entries_low, adjustments_low = next_state.adjustments_low,
      entries_noted = next_state.entries_noted, adjustments_noted = next_state.adjustments_noted,
      noted_xid = next_state.noted_xid, balances_from = next_state.balances_from;
  END IF;
  RETURN NEXT;
END
$$;

-- A signature once; false when the checkpoint has one.
CREATE FUNCTION freeside.sign_audit_checkpoint(of_sequence bigint, with_kid text, with_signature bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
  WITH signed AS (
    INSERT INTO freeside.audit_signatures (sequence, kid, signature) VALUES (of_sequence, with_kid, with_signature)
    ON CONFLICT DO NOTHING RETURNING 1
  )
  SELECT EXISTS (SELECT FROM signed)
$$;

-- How far sealing is behind: when the oldest operation without a record was made. No row of any table
-- but those above the marks is read.
CREATE FUNCTION freeside.audit_oldest_unsealed() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  SELECT min(w.created_at) FROM freeside.audit_state s, LATERAL (
    (SELECT e.created_at FROM freeside.ledger_entries e
     WHERE e.id > s.entries_low
       AND (SELECT r.sequence FROM freeside.audit_records r WHERE r.source = 'entry' AND r.source_id = e.id) IS NULL
     ORDER BY e.id LIMIT 1)
    UNION ALL
    (SELECT d.created_at FROM freeside.credit_lot_adjustments d
     WHERE d.id > s.adjustments_low
       AND (SELECT r.sequence FROM freeside.audit_records r WHERE r.source = 'adjustment' AND r.source_id = d.id) IS NULL
     ORDER BY d.id LIMIT 1)
  ) w
$$;

GRANT SELECT ON freeside.audit_records, freeside.audit_checkpoints, freeside.audit_signatures, freeside.audit_state
TO freeside_app;
REVOKE EXECUTE ON FUNCTION
  freeside.audit_time(timestamptz),
  freeside.audit_record_body(bigint, text, bigint, timestamptz, uuid, text, text, text, bigint, uuid, uuid),
  freeside.audit_link(bytea, text),
  freeside.audit_next_link(bytea, bytea, text),
  freeside.audit_chain(bytea, text),
  freeside.audit_conservation(),
  freeside.seal_audit_batch(integer),
  freeside.sign_audit_checkpoint(bigint, text, bytea),
  freeside.audit_oldest_unsealed()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  freeside.audit_time(timestamptz),
  freeside.seal_audit_batch(integer),
  freeside.sign_audit_checkpoint(bigint, text, bytea),
  freeside.audit_oldest_unsealed()
TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP FUNCTION freeside.audit_oldest_unsealed();
DROP FUNCTION freeside.sign_audit_checkpoint(bigint, text, bytea);
DROP FUNCTION freeside.seal_audit_batch(integer);
DROP FUNCTION freeside.audit_conservation();
DROP AGGREGATE freeside.audit_chain(bytea, text);
DROP FUNCTION freeside.audit_next_link(bytea, bytea, text);
DROP FUNCTION freeside.audit_link(bytea, text);
DROP FUNCTION freeside.audit_record_body(bigint, text, bigint, timestamptz, uuid, text, text, text, bigint, uuid, uuid);
DROP FUNCTION freeside.audit_time(timestamptz);
DROP TABLE freeside.audit_state;
DROP TABLE freeside.audit_signatures;
DROP TABLE freeside.audit_checkpoints;
DROP TABLE freeside.audit_records;
