-- Why: two things. First, reports that come late. A journal that showed nothing closed a hold for good,
-- so that the final count of that answer was ignored; a release after an orphan's end was ignored, so
-- that a client who got nothing was charged; a late capture was never corrected; a correction left the
-- tokens of the key's day as they were.
--
-- Second, speed. PostgreSQL is what limits the ledger, and a pair of hold and settlement spent its time
-- on rows that prove nothing new. Now one statement less here, one index less there; what is decided,
-- and in which order, stays.
--
-- Foreign keys: hold_reservations() has just read the key and the account that it writes about, under
--   their lock, and neither can go meanwhile (accounts and api_key_usage refer to them); a spend event
--   is made from its reservation's own row. The triggers that looked all three up again, row by row, go.
-- Indexes: finalization_id equals the primary key by a CHECK; nobody reads reservations by community;
--   the order of lots leaves `remaining` out, so that drawing from a lot no longer makes an index entry.
-- Functions: only apply_ledger_batch() is an entrance. It takes the locks, once, and answers what has
--   been told before without going through the settlement at all. Its text in force is in 070.
-- Lock: ACCESS EXCLUSIVE on budget_reservations, spend_events and credit_lots, for moments. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

ALTER TABLE freeside.budget_reservations
  DROP CONSTRAINT budget_reservations_community_id_fkey,
  DROP CONSTRAINT budget_reservations_api_key_id_fkey,
  DROP CONSTRAINT budget_reservations_finalization_id_key;
ALTER TABLE freeside.spend_events DROP CONSTRAINT spend_events_budget_reservation_id_fkey;
DROP INDEX freeside.budget_reservations_by_community;

CREATE INDEX credit_lots_in_order ON freeside.credit_lots (community_id, expires_at NULLS LAST, created_at, id);
DROP INDEX freeside.credit_lots_open;
DROP INDEX freeside.credit_lots_by_community;

-- As in 066, with fewer statements. Under the lock of its caller.
CREATE OR REPLACE FUNCTION freeside.hold_reservations(
  ids uuid[], communities uuid[], keys uuid[], nfts text[], pools text[], prompts integer[], max_tokens integer[]
) RETURNS TABLE (
  reservation_id uuid, decision text, required_micro bigint, available_micro bigint, version integer,
  prompt_price_micro bigint, completion_price_micro bigint,
  rpm integer, rpm_used integer, rpm_resets_at timestamptz, tpd bigint, tpd_used bigint, tpd_resets_at timestamptz
)
LANGUAGE plpgsql AS $$
DECLARE
  at_time    timestamptz;
  today      date;
  day_end    timestamptz;
  prices     integer;
  price_pool text[]; price_prompt bigint[]; price_completion bigint[];
  a_community uuid[]; a_available_id bigint[]; a_held_id bigint[]; a_balance bigint[]; a_before bigint[];
  k_id uuid[]; k_community uuid[]; k_active boolean[]; k_rpm integer[]; k_tpd bigint[];
  k_minute timestamptz[]; k_requests integer[]; k_tokens bigint[]; k_touched boolean[];
  a integer; k integer; p integer; need bigint; tokens bigint; verdict text;
  ok_index integer[] := '{}'; ok_amount bigint[] := '{}'; ok_account integer[] := '{}';
BEGIN
  -- The lock again, now for what it returns: of a locked row one sees what its last writer left.
  SELECT array_agg(l.community_id), array_agg(l.id), array_agg(l.held_id), array_agg(l.balance_micro)
  INTO a_community, a_available_id, a_held_id, a_balance
  FROM (
    SELECT av.community_id, av.id, av.balance_micro,
      (SELECT he.id FROM freeside.accounts he WHERE he.community_id = av.community_id AND he.kind = 'held') AS held_id
    FROM freeside.accounts av
    WHERE av.community_id = ANY (communities) AND av.kind = 'available'
    ORDER BY av.id FOR NO KEY UPDATE
  ) l;
  a_before := a_balance;
  -- Read after the lock: the wait may have crossed midnight.
  at_time := clock_timestamp();
  today := (at_time AT TIME ZONE 'UTC')::date;
  day_end := (today + 1)::timestamp AT TIME ZONE 'UTC';

  SELECT max(pp.price_version), array_agg(pp.pool), array_agg(pp.prompt_price_micro), array_agg(pp.completion_price_micro)
  INTO prices, price_pool, price_prompt, price_completion
  FROM freeside.pool_prices pp
  WHERE pp.price_version = (SELECT max(v.version) FROM freeside.price_versions v WHERE v.effective_at <= at_time);

  -- A window that has passed counts as empty.
  SELECT array_agg(key.id), array_agg(key.community_id), array_agg(key.is_active),
         array_agg(key.rate_limit_rpm), array_agg(key.rate_limit_tpd),
         array_agg(CASE WHEN u.minute_started > at_time - interval '1 minute' THEN u.minute_started ELSE at_time END),
         array_agg(CASE WHEN u.minute_started > at_time - interval '1 minute' THEN u.minute_requests ELSE 0 END),
         array_agg(CASE WHEN u.day = today THEN u.day_tokens ELSE 0 END),
         array_agg(false)
  INTO k_id, k_community, k_active, k_rpm, k_tpd, k_minute, k_requests, k_tokens, k_touched
  FROM freeside.api_keys key
  JOIN freeside.api_key_usage u ON u.key_id = key.id
  WHERE key.id = ANY (keys);

  FOR i IN 1 .. cardinality(ids) LOOP
    a := array_position(a_community, communities[i]);
    k := array_position(k_id, keys[i]);
    p := array_position(price_pool, pools[i]);
    IF p IS NULL THEN
      RAISE EXCEPTION 'pool % has no price in version %', pools[i], prices;
    END IF;
    tokens := prompts[i]::bigint + max_tokens[i];
    -- freeside.price_tokens(), written out: a call costs more than all the rest of this loop.
    need := GREATEST(1, (price_prompt[p] * prompts[i] + price_completion[p] * max_tokens[i] + 999999) / 1000000);
    verdict := CASE
      WHEN a IS NULL OR k IS NULL OR NOT k_active[k] OR k_community[k] <> communities[i] THEN 'invalid_api_key'
      WHEN k_requests[k] >= k_rpm[k] THEN 'rate_limited'
      WHEN k_tokens[k] + tokens > k_tpd[k] THEN 'token_limit_reached'
      WHEN a_balance[a] < need THEN 'insufficient_credits'
      ELSE 'accepted'
    END;
    IF verdict = 'accepted' THEN
      a_balance[a] := a_balance[a] - need;
      k_requests[k] := k_requests[k] + 1;
      k_tokens[k] := k_tokens[k] + tokens;
      k_touched[k] := true;
      ok_index := array_append(ok_index, i);
      ok_amount := array_append(ok_amount, need);
      ok_account := array_append(ok_account, a);
    END IF;
    reservation_id := ids[i];
    decision := verdict;
    required_micro := need;
    available_micro := a_balance[a];
    version := prices;
    prompt_price_micro := price_prompt[p];
    completion_price_micro := price_completion[p];
    rpm := k_rpm[k];
    rpm_used := k_requests[k];
    rpm_resets_at := k_minute[k] + interval '1 minute';
    tpd := k_tpd[k];
    tpd_used := k_tokens[k];
    tpd_resets_at := day_end;
    RETURN NEXT;
  END LOOP;

  IF cardinality(ok_index) = 0 THEN
    RETURN;
  END IF;

  WITH accepted AS MATERIALIZED (
    SELECT o.i, o.amount, o.a FROM unnest(ok_index, ok_amount, ok_account) AS o (i, amount, a)
  ), reserved AS (
    INSERT INTO freeside.budget_reservations
      (id, community_id, api_key_id, nft_id, pool, price_version, prompt_tokens, max_tokens, hold_micro, limit_day, created_at)
    SELECT ids[o.i], communities[o.i], keys[o.i], nfts[o.i], pools[o.i], prices, prompts[o.i], max_tokens[o.i],
           o.amount, today, at_time
    FROM accepted o
  ), entered AS (
    INSERT INTO freeside.ledger_entries
      (community_id, from_account_id, to_account_id, amount_micro, kind, reservation_id, created_at)
    SELECT communities[o.i], a_available_id[o.a], a_held_id[o.a], o.amount, 'hold', ids[o.i], at_time
    FROM accepted o
  ), counted AS (
    UPDATE freeside.api_key_usage u
    SET minute_started = n.minute, minute_requests = n.requests, day = today, day_tokens = n.tokens
    FROM unnest(k_id, k_minute, k_requests, k_tokens, k_touched) AS n (id, minute, requests, tokens, touched)
    WHERE u.key_id = n.id AND n.touched
  )
  UPDATE freeside.accounts acc SET balance_micro = acc.balance_micro + d.delta
  FROM (
    SELECT m.id, m.delta
    FROM unnest(a_available_id, a_held_id, a_before, a_balance) AS b (available_id, held_id, before, after)
    CROSS JOIN LATERAL (VALUES (b.available_id, b.after - b.before), (b.held_id, b.before - b.after)) AS m (id, delta)
    WHERE m.delta <> 0
  ) d
  WHERE acc.id = d.id;
END
$$;

-- A count for a hold that was released as an orphan: charged from what is available now, within the
-- hold; the rest is written off. The status stays: terminal states absorb.
CREATE OR REPLACE FUNCTION freeside.capture_late(
  r freeside.budget_reservations, carrier text, prompt integer, completion integer, pool_used text,
  model text, personality text, latency integer, owed bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  paid bigint;
BEGIN
  SELECT LEAST(owed, a.balance_micro) INTO paid FROM freeside.accounts a
  WHERE a.community_id = r.community_id AND a.kind = 'available';
  INSERT INTO freeside.spend_events (budget_reservation_id, community_id, kind, carrier, pool_used, model,
    personality_id, price_version, prompt_tokens, completion_tokens, charge_micro, written_off_micro, latency_ms)
  VALUES (r.id, r.community_id, 'late_capture', carrier, pool_used, model, personality, r.price_version,
    prompt, completion, paid, owed - paid, latency);
  INSERT INTO freeside.credit_lot_allocations (reservation_id, lot_id, amount_micro)
  SELECT r.id, d.lot_id, d.drawn_micro FROM freeside.draw_lots(r.community_id, paid) d;
  PERFORM freeside.post_entry(r.community_id, 'available', 'spent', paid, 'late_capture', r.id, NULL);
  PERFORM freeside.post_entry(r.community_id, 'absorbed', 'written_off', owed - paid, 'write_off', r.id, NULL);
  UPDATE freeside.budget_reservations b SET charge_micro = paid, settled_by = carrier WHERE b.id = r.id;
  UPDATE freeside.api_key_usage u SET day_tokens = u.day_tokens + LEAST(r.prompt_tokens::bigint + r.max_tokens, prompt::bigint + completion)
  WHERE u.key_id = r.api_key_id AND u.day = r.limit_day;
END
$$;

-- A count of higher authority for a hold that was charged, or settled to nothing: the difference
-- moves, in money and in the tokens of the key's day; the originals stay.
CREATE OR REPLACE FUNCTION freeside.correct_charge(
  r freeside.budget_reservations, carrier text, prompt integer, completion integer, pool_used text, owed bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  more bigint := GREATEST(0, owed - r.charge_micro);
  back bigint := GREATEST(0, r.charge_micro - owed);
  paid bigint;
  lot record;
  missing bigint := back;
  share bigint;
  more_tokens bigint;
BEGIN
  SELECT LEAST(more, a.balance_micro) INTO paid FROM freeside.accounts a
  WHERE a.community_id = r.community_id AND a.kind = 'available';
  -- What a late capture or earlier corrections wrote off isn't written off again.
  more := GREATEST(paid, more
    - (SELECT COALESCE(sum(e.written_off_micro), 0) FROM freeside.spend_events e WHERE e.budget_reservation_id = r.id)
    - (SELECT COALESCE(sum(c.written_off_micro), 0) FROM freeside.spend_corrections c WHERE c.budget_reservation_id = r.id));

  -- The tokens of the day: what this count uses, less what the count that stood until now has used.
  -- Nothing without an answer, never more than was held for.
  SELECT sum(t.sign * LEAST(r.prompt_tokens::bigint + r.max_tokens, t.prompt + t.completion)) INTO more_tokens
  FROM (
    (SELECT -1 AS sign, s.prompt_tokens::bigint AS prompt, s.completion_tokens AS completion FROM (
       SELECT e.prompt_tokens, e.completion_tokens, 0 AS n FROM freeside.spend_events e WHERE e.budget_reservation_id = r.id
       UNION ALL
       SELECT c.prompt_tokens, c.completion_tokens, c.id FROM freeside.spend_corrections c WHERE c.budget_reservation_id = r.id
     ) s ORDER BY s.n DESC LIMIT 1)
    UNION ALL
    SELECT 1, prompt, completion
  ) t WHERE t.completion > 0;
  UPDATE freeside.api_key_usage u SET day_tokens = GREATEST(0, u.day_tokens + COALESCE(more_tokens, 0))
  WHERE u.key_id = r.api_key_id AND u.day = r.limit_day;

  INSERT INTO freeside.spend_corrections (budget_reservation_id, community_id, carrier, prompt_tokens,
    completion_tokens, pool_used, previous_charge_micro, charge_micro, written_off_micro)
  VALUES (r.id, r.community_id, carrier, prompt, completion, pool_used, r.charge_micro,
    r.charge_micro + paid - back, more - paid);

  INSERT INTO freeside.credit_lot_adjustments (lot_id, community_id, reservation_id, amount_micro, reason)
  SELECT d.lot_id, r.community_id, r.id, -d.drawn_micro, 'usage_correction'
  FROM freeside.draw_lots(r.community_id, paid) d;
  PERFORM freeside.post_entry(r.community_id, 'available', 'spent', paid, 'correction', r.id, NULL);
  PERFORM freeside.post_entry(r.community_id, 'absorbed', 'written_off', more - paid, 'write_off', r.id, NULL);

  -- Given back to the lots that paid, last-expiring first.
  FOR lot IN
    SELECT l.id, t.net FROM (
      SELECT s.lot_id, sum(s.amount)::bigint AS net FROM (
        SELECT al.lot_id, al.amount_micro AS amount FROM freeside.credit_lot_allocations al WHERE al.reservation_id = r.id
        UNION ALL
        SELECT ad.lot_id, -ad.amount_micro FROM freeside.credit_lot_adjustments ad WHERE ad.reservation_id = r.id
      ) s GROUP BY s.lot_id
    ) t JOIN freeside.credit_lots l ON l.id = t.lot_id
    WHERE t.net > 0 AND back > 0
    ORDER BY l.expires_at DESC NULLS FIRST, l.created_at DESC, l.id DESC
  LOOP
    EXIT WHEN missing = 0;
    share := LEAST(missing, lot.net);
    missing := missing - share;
    UPDATE freeside.credit_lots l SET remaining_micro = l.remaining_micro + share WHERE l.id = lot.id;
    INSERT INTO freeside.credit_lot_adjustments (lot_id, community_id, reservation_id, amount_micro, reason)
    VALUES (lot.id, r.community_id, r.id, share, 'usage_correction');
  END LOOP;
  IF missing > 0 THEN
    RAISE EXCEPTION 'reservation % gives back more than its lots paid: % missing', r.id, missing;
  END IF;
  PERFORM freeside.post_entry(r.community_id, 'spent', 'available', back, 'correction', r.id, NULL);

  UPDATE freeside.budget_reservations b
  SET charge_micro = r.charge_micro + paid - back, settled_by = carrier
  WHERE b.id = r.id;
END
$$;

-- actions:
--   settle     a count arrived over a carrier
--   release    nothing reached the client: the whole hold goes back; a charge that finn's report
--              made meanwhile is corrected to zero, and a later report charges nothing
--   orphan     nobody reported for five minutes and nothing had begun: given back
--   reconcile  a stream began, went quiet and nobody reported: settled to what was relayed
--   progress   what has been relayed so far; the first note says that streaming began
-- outcomes: finalized | released | orphan_released | streaming | corrected | late_captured |
--   unchanged (already terminal, or a guard held) | unknown (no such reservation)
-- Under the lock of its caller.
CREATE OR REPLACE FUNCTION freeside.settle_reservations(
  ids uuid[], actions text[], carriers text[], prompts integer[], completions integer[], pools text[],
  models text[], personalities text[], latencies integer[]
) RETURNS TABLE (reservation_id uuid, outcome text, charge_micro bigint, written_off_micro bigint)
LANGUAGE plpgsql AS $$
DECLARE
  closed_ids uuid[];
  closed_states text[];
  closed_charges bigint[];
  noted_ids uuid[];
  charged bigint;
  allocated bigint;
  item record;
  r freeside.budget_reservations;
  owed bigint;
  -- Outcomes of the rare rest, by reservation.
  results jsonb := '{}';
BEGIN
  WITH input AS (
    SELECT DISTINCT ON (u.id) u.*
    FROM unnest(ids, actions, carriers, prompts, completions, pools) WITH ORDINALITY
      AS u (id, action, carrier, prompt, completion, pool, ord)
    ORDER BY u.id, array_position(ARRAY['settle', 'release', 'reconcile', 'orphan', 'progress'], u.action), u.ord
  ), counted AS (
    SELECT b.id, b.community_id, b.api_key_id, b.limit_day, b.hold_micro, b.price_version, i.action, i.ord,
      b.prompt_tokens::bigint + b.max_tokens AS hold_tokens,
      CASE WHEN i.action = 'reconcile' THEN 'reconciliation' WHEN i.action = 'release' THEN 'not_delivered' ELSE i.carrier END AS carrier,
      -- The journal of a killed finn may lag what the relay saw: the larger is the proven one.
      CASE WHEN i.action = 'reconcile' THEN b.relayed_prompt_tokens
           WHEN i.carrier = 'journal' THEN GREATEST(i.prompt, b.relayed_prompt_tokens) ELSE i.prompt END AS prompt,
      CASE WHEN i.action = 'reconcile' THEN b.relayed_completion_tokens
           WHEN i.carrier = 'journal' THEN GREATEST(i.completion, b.relayed_completion_tokens) ELSE i.completion END AS completion,
      COALESCE(CASE WHEN i.action = 'reconcile' THEN b.relayed_pool ELSE i.pool END, b.pool) AS pool
    FROM input i
    JOIN freeside.budget_reservations b ON b.id = i.id
    WHERE b.finalized_at IS NULL AND b.released_at IS NULL AND CASE i.action
      WHEN 'progress' THEN false
      WHEN 'orphan' THEN b.status = 'reserved' AND b.created_at < now() - interval '5 minutes'
      WHEN 'reconcile' THEN b.status = 'streaming' AND COALESCE(b.progress_at, b.created_at) < now() - interval '2 minutes'
      ELSE true END
  ), closing AS (
    SELECT c.*,
      CASE WHEN c.action IN ('release', 'orphan') OR c.completion = 0 THEN 0
           -- LEAST and GREATEST pass over NULL: without the refusal an unpriced pool would cost 1.
           WHEN p.pool IS NULL THEN freeside.refuse_unpriced(c.pool, c.price_version)
           -- freeside.price_tokens(), written out: a call a row costs more than its row.
           ELSE LEAST(c.hold_micro, GREATEST(1,
             (p.prompt_price_micro * c.prompt + p.completion_price_micro * c.completion + 999999) / 1000000))
      END AS charge
    FROM counted c
    LEFT JOIN freeside.pool_prices p ON p.price_version = c.price_version AND p.pool = c.pool
  ), ending AS (
    -- Who can only tell what is proven finalizes even at zero, so that a better count may correct it.
    SELECT c.*, c.charge > 0 OR c.action = 'reconcile' OR c.carrier IS NOT DISTINCT FROM 'journal' AS finalizes
    FROM closing c
  ), closed AS (
    UPDATE freeside.budget_reservations b SET
      status = CASE WHEN c.finalizes THEN 'finalized' WHEN c.action = 'orphan' THEN 'orphan_released' ELSE 'released' END,
      finalization_id = CASE WHEN c.finalizes THEN b.id END,
      finalized_at = CASE WHEN c.finalizes THEN now() END,
      released_at = CASE WHEN NOT c.finalizes THEN now() END,
      settled_by = CASE WHEN c.action <> 'orphan' THEN c.carrier END,
      charge_micro = c.charge
    FROM ending c
    WHERE b.id = c.id
    RETURNING c.*, b.status
  ), captured AS (
    SELECT c.id, c.community_id, c.charge,
      (sum(c.charge) OVER (PARTITION BY c.community_id ORDER BY c.ord))::bigint AS upto
    FROM closed c WHERE c.charge > 0
  ), lots AS (
    SELECT l.id, l.community_id, l.remaining_micro,
      (sum(l.remaining_micro) OVER (PARTITION BY l.community_id ORDER BY l.expires_at NULLS LAST, l.created_at, l.id))::bigint AS upto
    FROM freeside.credit_lots l
    WHERE l.remaining_micro > 0 AND l.community_id IN (SELECT captured.community_id FROM captured)
  ), allocations AS (
    -- Charges and lots laid end to end on one line each: a lot pays where the two overlap.
    INSERT INTO freeside.credit_lot_allocations (reservation_id, lot_id, amount_micro)
    SELECT c.id, l.id, LEAST(c.upto, l.upto) - GREATEST(c.upto - c.charge, l.upto - l.remaining_micro)
    FROM captured c
    JOIN lots l ON l.community_id = c.community_id AND l.upto > c.upto - c.charge AND l.upto - l.remaining_micro < c.upto
    RETURNING credit_lot_allocations.lot_id, credit_lot_allocations.amount_micro
  ), drawn AS (
    UPDATE freeside.credit_lots l SET remaining_micro = l.remaining_micro - d.amount
    FROM (SELECT al.lot_id, sum(al.amount_micro)::bigint AS amount FROM allocations al GROUP BY al.lot_id) d
    WHERE l.id = d.lot_id
  ), events AS (
    INSERT INTO freeside.spend_events (budget_reservation_id, community_id, kind, carrier, pool_used, model,
      personality_id, price_version, prompt_tokens, completion_tokens, charge_micro, latency_ms)
    SELECT c.id, c.community_id, 'capture', c.carrier, c.pool, models[c.ord], personalities[c.ord], c.price_version,
      c.prompt, c.completion, c.charge, latencies[c.ord]
    FROM closed c WHERE c.status = 'finalized'
  ), entries AS (
    INSERT INTO freeside.ledger_entries (community_id, from_account_id, to_account_id, amount_micro, kind, reservation_id)
    SELECT c.community_id, he.id, CASE m.kind WHEN 'capture' THEN sp.id ELSE av.id END, m.amount, m.kind, c.id
    FROM closed c
    JOIN freeside.accounts he ON he.community_id = c.community_id AND he.kind = 'held'
    JOIN freeside.accounts sp ON sp.community_id = c.community_id AND sp.kind = 'spent'
    JOIN freeside.accounts av ON av.community_id = c.community_id AND av.kind = 'available'
    CROSS JOIN LATERAL (VALUES ('capture', c.charge), ('release', c.hold_micro - c.charge)) AS m (kind, amount)
    WHERE m.amount > 0
  ), balances AS (
    UPDATE freeside.accounts acc SET balance_micro = acc.balance_micro + d.delta
    FROM (
      SELECT c.community_id, m.kind, sum(m.delta)::bigint AS delta
      FROM closed c
      CROSS JOIN LATERAL (VALUES ('held', -c.hold_micro), ('spent', c.charge), ('available', c.hold_micro - c.charge)) AS m (kind, delta)
      GROUP BY c.community_id, m.kind
    ) d
    WHERE acc.community_id = d.community_id AND acc.kind = d.kind AND d.delta <> 0
  ), daily AS (
    -- What the worst case took from the key's day and the answer didn't use.
    UPDATE freeside.api_key_usage u SET day_tokens = GREATEST(0, u.day_tokens - d.unused)
    FROM (
      SELECT c.api_key_id, c.limit_day,
        sum(GREATEST(0, c.hold_tokens - CASE WHEN c.charge > 0 THEN c.prompt + c.completion ELSE 0 END))::bigint AS unused
      FROM closed c GROUP BY c.api_key_id, c.limit_day
    ) d
    WHERE u.key_id = d.api_key_id AND u.day = d.limit_day
  ), noted AS (
    UPDATE freeside.budget_reservations b SET
      status = 'streaming',
      relayed_prompt_tokens = GREATEST(b.relayed_prompt_tokens, i.prompt),
      relayed_completion_tokens = GREATEST(b.relayed_completion_tokens, i.completion),
      relayed_pool = COALESCE(i.pool, b.relayed_pool),
      progress_at = now()
    FROM input i
    WHERE i.action = 'progress' AND b.id = i.id AND b.finalized_at IS NULL AND b.released_at IS NULL
    RETURNING b.id
  )
  SELECT COALESCE((SELECT sum(c.charge) FROM closed c), 0), COALESCE((SELECT sum(al.amount_micro) FROM allocations al), 0),
    k.ids, k.states, k.charges, COALESCE((SELECT array_agg(n.id) FROM noted n), '{}')
  INTO charged, allocated, closed_ids, closed_states, closed_charges, noted_ids
  FROM (SELECT COALESCE(array_agg(c.id ORDER BY c.ord), '{}') AS ids, array_agg(c.status ORDER BY c.ord) AS states,
          array_agg(c.charge ORDER BY c.ord) AS charges FROM closed c) k;

  IF charged <> allocated THEN
    RAISE EXCEPTION 'the lots cover % of % charged', allocated, charged;
  END IF;

  IF cardinality(closed_ids) = cardinality(ids) THEN
    -- The usual case: each is told once and was open.
    RETURN QUERY SELECT k.id, k.state, k.charge, 0::bigint
    FROM unnest(closed_ids, closed_states, closed_charges) AS k (id, state, charge);
    RETURN;
  END IF;

  -- The rare rest, row by row: reservations that were terminal before this call.
  IF cardinality(closed_ids) + cardinality(noted_ids) < cardinality(ids) THEN
    FOR item IN
      SELECT u.* FROM unnest(ids, actions, carriers, prompts, completions, pools) WITH ORDINALITY
        AS u (id, action, carrier, prompt, completion, pool, ord)
      WHERE u.action IN ('settle', 'release') AND u.id <> ALL (closed_ids)
      ORDER BY u.ord
    LOOP
      SELECT b.* INTO r FROM freeside.budget_reservations b WHERE b.id = item.id;
      CONTINUE WHEN r.id IS NULL OR r.status NOT IN ('orphan_released', 'finalized');
      IF item.action = 'release' THEN
        -- Only finn's own reports can be wrong about what reached the client.
        IF r.settled_by IN ('usage_event', 'journal', 'reconciliation') THEN
          PERFORM freeside.correct_charge(r, 'not_delivered', 0, 0, NULL, 0);
          results := results || jsonb_build_object(r.id::text, 'corrected');
        ELSIF r.settled_by IS NULL THEN
          -- Given back as an orphan before this word came.
          UPDATE freeside.budget_reservations b SET settled_by = 'not_delivered' WHERE b.id = r.id;
        END IF;
        CONTINUE;
      END IF;
      SELECT CASE WHEN item.completion = 0 THEN 0 ELSE LEAST(r.hold_micro,
          freeside.price_tokens(p.prompt_price_micro, p.completion_price_micro, item.prompt, item.completion)) END
      INTO owed FROM freeside.pool_prices p
      WHERE p.price_version = r.price_version AND p.pool = COALESCE(item.pool, r.pool);
      IF owed IS NULL THEN
        PERFORM freeside.refuse_unpriced(COALESCE(item.pool, r.pool), r.price_version);
      END IF;
      IF r.status = 'orphan_released' AND r.settled_by IS NULL THEN
        IF owed > 0 THEN
          PERFORM freeside.capture_late(r, item.carrier, item.prompt, item.completion, COALESCE(item.pool, r.pool),
            models[item.ord], personalities[item.ord], latencies[item.ord], owed);
          results := results || jsonb_build_object(r.id::text, 'late_captured');
        END IF;
      ELSIF COALESCE(r.finalized_at, r.released_at) > now() - interval '72 hours'
        AND freeside.carrier_authority(item.carrier) > freeside.carrier_authority(r.settled_by)
        -- A journal proves a lower bound; it never takes back what the relay has shown.
        AND (item.carrier <> 'journal' OR item.completion > r.relayed_completion_tokens) THEN
        PERFORM freeside.correct_charge(r, item.carrier, item.prompt, item.completion, item.pool, owed);
        results := results || jsonb_build_object(r.id::text, 'corrected');
      END IF;
    END LOOP;
  END IF;

  RETURN QUERY
  SELECT u.id,
    CASE
      WHEN b.id IS NULL THEN 'unknown'
      WHEN u.id = ANY (closed_ids) THEN b.status
      WHEN u.id = ANY (noted_ids) THEN 'streaming'
      ELSE COALESCE(results ->> u.id::text, 'unchanged')
    END,
    b.charge_micro,
    CASE WHEN results ? u.id::text THEN
      COALESCE((SELECT sum(e.written_off_micro) FROM freeside.spend_events e WHERE e.budget_reservation_id = u.id), 0)::bigint
      + COALESCE((SELECT sum(c.written_off_micro) FROM freeside.spend_corrections c WHERE c.budget_reservation_id = u.id), 0)::bigint
    ELSE 0 END
  FROM unnest(ids) WITH ORDINALITY AS u (id, ord)
  LEFT JOIN freeside.budget_reservations b ON b.id = u.id
  ORDER BY u.ord;
END
$$;

-- The one entrance: takes every lock, then settles, then holds, so that what settlements return can be
-- held in the same breath. One statement, one commit.
CREATE OR REPLACE FUNCTION freeside.apply_ledger_batch(
  s_ids uuid[], s_actions text[], s_carriers text[], s_prompts integer[], s_completions integer[], s_pools text[],
  s_models text[], s_personalities text[], s_latencies integer[],
  h_ids uuid[], h_communities uuid[], h_keys uuid[], h_nfts text[], h_pools text[], h_prompts integer[], h_max_tokens integer[]
) RETURNS TABLE (
  operation text, n bigint, outcome text, charge_micro bigint, written_off_micro bigint,
  required_micro bigint, available_micro bigint, version integer, prompt_price_micro bigint, completion_price_micro bigint,
  rpm integer, rpm_used integer, rpm_resets_at timestamptz, tpd bigint, tpd_used bigint, tpd_resets_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  s_communities uuid[];
BEGIN
  SELECT array_agg(DISTINCT b.community_id) INTO s_communities
  FROM unnest(s_ids, s_actions, s_carriers) AS u (id, action, carrier)
  JOIN freeside.budget_reservations b ON b.id = u.id
  WHERE (b.finalized_at IS NULL AND b.released_at IS NULL)
     OR (b.status = 'orphan_released' AND b.settled_by IS NULL AND u.action = 'settle')
     OR (b.status IN ('finalized', 'orphan_released') AND u.action = 'settle'
         AND freeside.carrier_authority(u.carrier) > freeside.carrier_authority(b.settled_by))
     OR (b.status IN ('finalized', 'orphan_released') AND u.action = 'release');
  -- Both halves lock in one go: two goes could meet another replica in the opposite order.
  PERFORM 1 FROM freeside.accounts a
  WHERE a.community_id = ANY (h_communities || s_communities) AND a.kind = 'available'
  ORDER BY a.id FOR NO KEY UPDATE;
  IF cardinality(s_ids) > 0 AND s_communities IS NULL THEN
    -- Every one has been told before: what the usage consumer mostly brings. No lock, nothing to write.
    RETURN QUERY
    SELECT 'settlement', u.ord, CASE WHEN b.id IS NULL THEN 'unknown' ELSE 'unchanged' END, b.charge_micro, 0::bigint,
      NULL::bigint, NULL::bigint, NULL::integer, NULL::bigint, NULL::bigint,
      NULL::integer, NULL::integer, NULL::timestamptz, NULL::bigint, NULL::bigint, NULL::timestamptz
    FROM unnest(s_ids) WITH ORDINALITY AS u (id, ord)
    LEFT JOIN freeside.budget_reservations b ON b.id = u.id;
  ELSIF cardinality(s_ids) > 0 THEN
    RETURN QUERY
    SELECT 'settlement', row_number() OVER (), s.outcome, s.charge_micro, s.written_off_micro,
      NULL::bigint, NULL::bigint, NULL::integer, NULL::bigint, NULL::bigint,
      NULL::integer, NULL::integer, NULL::timestamptz, NULL::bigint, NULL::bigint, NULL::timestamptz
    FROM freeside.settle_reservations(s_ids, s_actions, s_carriers, s_prompts, s_completions, s_pools,
      s_models, s_personalities, s_latencies) s;
  END IF;
  IF cardinality(h_ids) > 0 THEN
    RETURN QUERY
    SELECT 'hold', row_number() OVER (), h.decision, NULL::bigint, NULL::bigint,
      h.required_micro, h.available_micro, h.version, h.prompt_price_micro, h.completion_price_micro,
      h.rpm, h.rpm_used, h.rpm_resets_at, h.tpd, h.tpd_used, h.tpd_resets_at
    FROM freeside.hold_reservations(h_ids, h_communities, h_keys, h_nfts, h_pools, h_prompts, h_max_tokens) h;
  END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION
  freeside.settle_reservations(uuid[], text[], text[], integer[], integer[], text[], text[], text[], integer[])
FROM freeside_app;

-- Down Migration
-- The functions stay: they keep the contract of 066 and 067.
SET LOCAL lock_timeout = '5s';
CREATE INDEX credit_lots_open ON freeside.credit_lots (community_id, expires_at NULLS LAST, created_at, id)
  WHERE remaining_micro > 0;
CREATE INDEX credit_lots_by_community ON freeside.credit_lots (community_id);
DROP INDEX freeside.credit_lots_in_order;
CREATE INDEX budget_reservations_by_community ON freeside.budget_reservations (community_id, created_at);
ALTER TABLE freeside.spend_events ADD CONSTRAINT spend_events_budget_reservation_id_fkey
  FOREIGN KEY (budget_reservation_id) REFERENCES freeside.budget_reservations (id);
ALTER TABLE freeside.budget_reservations
  ADD CONSTRAINT budget_reservations_community_id_fkey FOREIGN KEY (community_id) REFERENCES freeside.communities (id),
  ADD CONSTRAINT budget_reservations_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES freeside.api_keys (id),
  ADD CONSTRAINT budget_reservations_finalization_id_key UNIQUE (finalization_id);
