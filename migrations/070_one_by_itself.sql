-- Why: where little is going on, a batch is one hold or one settlement, and the set-based functions spend
-- more on arrays, joins and sorts than on its rows. One member by itself now takes plain statements on single
-- rows: a quarter less work, with the same decision, rows and answer. From two on the set pays.
--
-- Whether a settlement's reservation is still open is read under the lock, by settle_one() itself: another
-- replica may have ended it while this one waited. Then nothing is applied there, and the member goes to
-- settle_reservations(), which knows corrections and late captures; so do the actions of the jobs.
--
-- Lock: none on tables. Not breaking: signature, rights and answers of the entrance stay.

-- Up Migration
SET LOCAL lock_timeout = '5s';

-- hold_reservations() for one. Under the lock of its caller.
CREATE FUNCTION freeside.hold_one(
  id uuid, community uuid, key uuid, nft text, pool text, prompt integer, max_tokens integer,
  OUT decision text, OUT required_micro bigint, OUT available_micro bigint, OUT version integer,
  OUT prompt_price_micro bigint, OUT completion_price_micro bigint,
  OUT rpm integer, OUT rpm_used integer, OUT rpm_resets_at timestamptz,
  OUT tpd bigint, OUT tpd_used bigint, OUT tpd_resets_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
  -- Its caller has the lock by now, the wait for which may have crossed midnight.
  at_time timestamptz := clock_timestamp();
  today date := (at_time AT TIME ZONE 'UTC')::date;
  tokens bigint := prompt::bigint + max_tokens;
  available_id bigint;
  held_id bigint;
  key_community uuid;
  key_active boolean;
  minute timestamptz;
BEGIN
  SELECT v.version, p.prompt_price_micro, p.completion_price_micro
  INTO version, prompt_price_micro, completion_price_micro
  FROM (SELECT max(pv.version) AS version FROM freeside.price_versions pv WHERE pv.effective_at <= at_time) v
  LEFT JOIN freeside.pool_prices p ON p.price_version = v.version AND p.pool = hold_one.pool;
  IF prompt_price_micro IS NULL THEN
    PERFORM freeside.refuse_unpriced(pool, version);
  END IF;

  SELECT av.id, av.balance_micro, he.id INTO available_id, available_micro, held_id
  FROM freeside.accounts av JOIN freeside.accounts he ON he.community_id = av.community_id AND he.kind = 'held'
  WHERE av.community_id = community AND av.kind = 'available';

  -- A window that has passed counts as empty.
  SELECT k.community_id, k.is_active, k.rate_limit_rpm, k.rate_limit_tpd,
    CASE WHEN u.minute_started > at_time - interval '1 minute' THEN u.minute_started ELSE at_time END,
    CASE WHEN u.minute_started > at_time - interval '1 minute' THEN u.minute_requests ELSE 0 END,
    CASE WHEN u.day = today THEN u.day_tokens ELSE 0 END
  INTO key_community, key_active, rpm, tpd, minute, rpm_used, tpd_used
  FROM freeside.api_keys k JOIN freeside.api_key_usage u ON u.key_id = k.id
  WHERE k.id = key;

  -- freeside.price_tokens(), written out: a call costs more than its sum.
  required_micro := GREATEST(1, (prompt_price_micro * prompt + completion_price_micro * max_tokens + 999999) / 1000000);
  rpm_resets_at := minute + interval '1 minute';
  tpd_resets_at := (today + 1)::timestamp AT TIME ZONE 'UTC';
  decision := CASE
    WHEN available_id IS NULL OR key_community IS NULL OR NOT key_active OR key_community <> community THEN 'invalid_api_key'
    WHEN rpm_used >= rpm THEN 'rate_limited'
    WHEN tpd_used + tokens > tpd THEN 'token_limit_reached'
    WHEN available_micro < required_micro THEN 'insufficient_credits'
    ELSE 'accepted'
  END;
  IF decision <> 'accepted' THEN
    RETURN;
  END IF;
  available_micro := available_micro - required_micro;
  rpm_used := rpm_used + 1;
  tpd_used := tpd_used + tokens;

  INSERT INTO freeside.budget_reservations
    (id, community_id, api_key_id, nft_id, pool, price_version, prompt_tokens, max_tokens, hold_micro, limit_day, created_at)
  VALUES (id, community, key, nft, pool, version, prompt, max_tokens, required_micro, today, at_time);
  INSERT INTO freeside.ledger_entries
    (community_id, from_account_id, to_account_id, amount_micro, kind, reservation_id, created_at)
  VALUES (community, available_id, held_id, required_micro, 'hold', id, at_time);
  UPDATE freeside.api_key_usage u
  SET minute_started = minute, minute_requests = rpm_used, day = today, day_tokens = tpd_used
  WHERE u.key_id = key;
  UPDATE freeside.accounts a
  SET balance_micro = a.balance_micro + CASE a.kind WHEN 'held' THEN required_micro ELSE -required_micro END
  WHERE a.id IN (available_id, held_id);
END
$$;

-- settle_reservations() for one whose reservation is open and whose action is settle, release or progress.
-- For any other reservation it does nothing and the outcome is NULL. Under the lock of its caller.
CREATE FUNCTION freeside.settle_one(
  of_id uuid, action text, carrier text, prompt integer, completion integer, used_pool text,
  model text, personality text, latency integer, OUT outcome text, OUT charge_micro bigint
) LANGUAGE plpgsql AS $$
DECLARE
  r record;
  back bigint;
  finalizes boolean;
  missing bigint;
  share bigint;
BEGIN
  charge_micro := 0;
  IF action = 'progress' THEN
    UPDATE freeside.budget_reservations b SET
      status = 'streaming',
      relayed_prompt_tokens = GREATEST(b.relayed_prompt_tokens, prompt),
      relayed_completion_tokens = GREATEST(b.relayed_completion_tokens, completion),
      relayed_pool = COALESCE(used_pool, b.relayed_pool),
      progress_at = now()
    WHERE b.id = of_id AND b.finalized_at IS NULL AND b.released_at IS NULL
    RETURNING b.status INTO outcome;
    RETURN;
  END IF;

  SELECT b.community_id, b.api_key_id, b.price_version, b.limit_day, b.hold_micro,
    b.prompt_tokens::bigint + b.max_tokens AS hold_tokens, b.relayed_prompt_tokens, b.relayed_completion_tokens,
    COALESCE(used_pool, b.pool) AS pool, p.prompt_price_micro AS prompt_price, p.completion_price_micro AS completion_price
  INTO r
  FROM freeside.budget_reservations b
  LEFT JOIN freeside.pool_prices p ON p.price_version = b.price_version AND p.pool = COALESCE(used_pool, b.pool)
  WHERE b.id = of_id AND b.finalized_at IS NULL AND b.released_at IS NULL;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  IF action = 'release' THEN
    carrier := 'not_delivered';
  ELSE
    IF carrier = 'journal' THEN
      -- The journal of a killed finn may lag what the relay saw: the larger is the proven one.
      prompt := GREATEST(prompt, r.relayed_prompt_tokens);
      completion := GREATEST(completion, r.relayed_completion_tokens);
    END IF;
    IF completion IS DISTINCT FROM 0 THEN
      IF r.prompt_price IS NULL THEN
        PERFORM freeside.refuse_unpriced(r.pool, r.price_version);
      END IF;
      charge_micro := LEAST(r.hold_micro, GREATEST(1, (r.prompt_price * prompt + r.completion_price * completion + 999999) / 1000000));
    END IF;
  END IF;
  back := r.hold_micro - charge_micro;
  -- Who can only tell what is proven finalizes even at zero, so that a better count may correct it.
  finalizes := charge_micro > 0 OR carrier IS NOT DISTINCT FROM 'journal';
  outcome := CASE WHEN finalizes THEN 'finalized' ELSE 'released' END;

  UPDATE freeside.budget_reservations b SET
    status = outcome,
    finalization_id = CASE WHEN finalizes THEN b.id END,
    finalized_at = CASE WHEN finalizes THEN now() END,
    released_at = CASE WHEN NOT finalizes THEN now() END,
    settled_by = carrier,
    charge_micro = settle_one.charge_micro
  WHERE b.id = of_id;

  -- The lots pay first-expiring-first, nearly always one.
  missing := charge_micro;
  WHILE missing > 0 LOOP
    WITH lot AS (
      SELECT l.id, LEAST(missing, l.remaining_micro) AS share FROM freeside.credit_lots l
      WHERE l.community_id = r.community_id AND l.remaining_micro > 0
      ORDER BY l.expires_at NULLS LAST, l.created_at, l.id LIMIT 1
    ), drawn AS (
      UPDATE freeside.credit_lots l SET remaining_micro = l.remaining_micro - lot.share FROM lot WHERE l.id = lot.id
    )
    INSERT INTO freeside.credit_lot_allocations (reservation_id, lot_id, amount_micro)
    SELECT of_id, lot.id, lot.share FROM lot
    RETURNING amount_micro INTO share;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the lots cover % of % charged', charge_micro - missing, charge_micro;
    END IF;
    missing := missing - share;
  END LOOP;

  IF finalizes THEN
    INSERT INTO freeside.spend_events (budget_reservation_id, community_id, kind, carrier, pool_used, model,
      personality_id, price_version, prompt_tokens, completion_tokens, charge_micro, latency_ms)
    VALUES (of_id, r.community_id, 'capture', carrier, r.pool, model, personality, r.price_version,
      prompt, completion, charge_micro, latency);
  END IF;

  WITH moved AS (
    UPDATE freeside.accounts a SET balance_micro = a.balance_micro
      + CASE a.kind WHEN 'held' THEN -r.hold_micro WHEN 'spent' THEN charge_micro ELSE back END
    WHERE a.community_id = r.community_id
      AND (a.kind = 'held' OR a.kind = 'spent' AND charge_micro > 0 OR a.kind = 'available' AND back > 0)
    RETURNING a.id, a.kind
  )
  INSERT INTO freeside.ledger_entries (community_id, from_account_id, to_account_id, amount_micro, kind, reservation_id)
  SELECT r.community_id, held.id, m.id, CASE m.kind WHEN 'spent' THEN charge_micro ELSE back END,
    CASE m.kind WHEN 'spent' THEN 'capture' ELSE 'release' END, of_id
  FROM moved held JOIN moved m ON m.kind <> 'held'
  WHERE held.kind = 'held'
  ORDER BY m.kind DESC;

  -- What the worst case took from the key's day and the answer didn't use.
  UPDATE freeside.api_key_usage u
  SET day_tokens = GREATEST(0, u.day_tokens
    - GREATEST(0, r.hold_tokens - CASE WHEN charge_micro > 0 THEN prompt::bigint + completion ELSE 0 END))
  WHERE u.key_id = r.api_key_id AND u.day = r.limit_day;
END
$$;

-- As in 069, but for one member by itself.
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
  IF cardinality(s_ids) > 0 THEN
    SELECT array_agg(DISTINCT b.community_id) INTO s_communities
    FROM unnest(s_ids, s_actions, s_carriers) AS u (id, action, carrier)
    JOIN freeside.budget_reservations b ON b.id = u.id
    WHERE (b.finalized_at IS NULL AND b.released_at IS NULL)
       OR (b.status = 'orphan_released' AND b.settled_by IS NULL AND u.action = 'settle')
       OR (b.status IN ('finalized', 'orphan_released') AND u.action = 'settle'
           AND freeside.carrier_authority(u.carrier) > freeside.carrier_authority(b.settled_by))
       OR (b.status IN ('finalized', 'orphan_released') AND u.action = 'release');
  END IF;
  -- Both halves lock in one go: two goes could meet another replica in the opposite order.
  PERFORM 1 FROM freeside.accounts a
  WHERE a.community_id = ANY (h_communities || s_communities) AND a.kind = 'available'
  ORDER BY a.id FOR NO KEY UPDATE;
  IF cardinality(s_ids) = 1 AND s_communities IS NOT NULL AND s_actions[1] IN ('settle', 'release', 'progress') THEN
    SELECT s.outcome, s.charge_micro INTO outcome, charge_micro
    FROM freeside.settle_one(s_ids[1], s_actions[1], s_carriers[1], s_prompts[1], s_completions[1], s_pools[1],
      s_models[1], s_personalities[1], s_latencies[1]) s;
  END IF;
  IF outcome IS NOT NULL THEN
    operation := 'settlement';
    n := 1;
    written_off_micro := 0;
    RETURN NEXT;
  ELSIF cardinality(s_ids) > 0 AND s_communities IS NULL THEN
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
  IF cardinality(h_ids) = 1 THEN
    RETURN QUERY
    SELECT 'hold', 1::bigint, h.decision, NULL::bigint, NULL::bigint,
      h.required_micro, h.available_micro, h.version, h.prompt_price_micro, h.completion_price_micro,
      h.rpm, h.rpm_used, h.rpm_resets_at, h.tpd, h.tpd_used, h.tpd_resets_at
    FROM freeside.hold_one(h_ids[1], h_communities[1], h_keys[1], h_nfts[1], h_pools[1], h_prompts[1], h_max_tokens[1]) h;
  ELSIF cardinality(h_ids) > 1 THEN
    RETURN QUERY
    SELECT 'hold', row_number() OVER (), h.decision, NULL::bigint, NULL::bigint,
      h.required_micro, h.available_micro, h.version, h.prompt_price_micro, h.completion_price_micro,
      h.rpm, h.rpm_used, h.rpm_resets_at, h.tpd, h.tpd_used, h.tpd_resets_at
    FROM freeside.hold_reservations(h_ids, h_communities, h_keys, h_nfts, h_pools, h_prompts, h_max_tokens) h;
  END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION
  freeside.hold_one(uuid, uuid, uuid, text, text, integer, integer),
  freeside.settle_one(uuid, text, text, integer, integer, text, text, text, integer)
FROM PUBLIC;

-- Down Migration
SET LOCAL lock_timeout = '5s';
-- The text of 069.
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

DROP FUNCTION freeside.settle_one(uuid, text, text, integer, integer, text, text, text, integer);
DROP FUNCTION freeside.hold_one(uuid, uuid, uuid, text, text, integer, integer);
