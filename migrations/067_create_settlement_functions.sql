-- Why: one call brings any mix of settlements, releases, orphans and progress notes home, set by
-- set, so that a batch of hundreds costs a few statements. Same locks and terms as 066. Not breaking.
-- The text in force: of settle_reservations in 069, of apply_ledger_batch in 070.
--
-- Plans: the functions keep one generic plan of index look-ups. Planning anew costs more than running,
-- and a plan made while a table was small or unanalysed would scan it for the rest of the session. An
-- open reservation is told by its timestamps, because a condition on status would tempt the planner
-- into the partial index of open reservations, which is full of dead entries under load.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE FUNCTION freeside.refuse_unpriced(pool text, version integer) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'pool % has no price in version %', pool, version;
END
$$;

-- actions:
--   settle     a count arrived over a carrier
--   release    nothing reached the client: the whole hold goes back; a charge that finn's report
--              made meanwhile is corrected to zero
--   orphan     nobody reported for five minutes and nothing had begun: given back
--   reconcile  a stream began, went quiet and nobody reported: settled to what was relayed
--   progress   what has been relayed so far; the first note says that streaming began
-- outcomes: finalized | released | orphan_released | streaming | corrected | late_captured |
--   unchanged (already terminal, or a guard held) | unknown (no such reservation)
CREATE FUNCTION freeside.settle_reservations(
  ids uuid[], actions text[], carriers text[], prompts integer[], completions integer[], pools text[],
  models text[], personalities text[], latencies integer[]
) RETURNS TABLE (reservation_id uuid, outcome text, charge_micro bigint, written_off_micro bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  communities uuid[];
  closed_ids uuid[];
  noted_ids uuid[];
  charged bigint;
  allocated bigint;
  item record;
  r freeside.budget_reservations;
  owed bigint;
  -- Outcomes of the rare rest, by reservation.
  results jsonb := '{}';
BEGIN
  -- Duplicates of settled reservations are the common case of the usage consumer: they need no lock.
  SELECT array_agg(DISTINCT b.community_id) INTO communities
  FROM freeside.budget_reservations b
  JOIN unnest(ids, actions, carriers) AS u (id, action, carrier) ON u.id = b.id
  WHERE (b.finalized_at IS NULL AND b.released_at IS NULL)
     OR (b.status = 'orphan_released' AND b.settled_by IS NULL AND u.action = 'settle')
     OR (b.status = 'finalized' AND u.action = 'settle'
         AND freeside.carrier_authority(u.carrier) > freeside.carrier_authority(b.settled_by))
     OR (b.status = 'finalized' AND u.action = 'release');
  PERFORM freeside.lock_communities(communities);

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
           -- LEAST passes over NULL: without the refusal an unpriced pool would charge the whole hold.
           ELSE LEAST(c.hold_micro, COALESCE(
             freeside.price_tokens(p.prompt_price_micro, p.completion_price_micro, c.prompt, c.completion),
             freeside.refuse_unpriced(c.pool, c.price_version)))
      END AS charge
    FROM counted c
    LEFT JOIN freeside.pool_prices p ON p.price_version = c.price_version AND p.pool = c.pool
  ), closed AS (
    UPDATE freeside.budget_reservations b SET
      status = CASE WHEN c.charge > 0 OR c.action = 'reconcile' THEN 'finalized'
                    WHEN c.action = 'orphan' THEN 'orphan_released' ELSE 'released' END,
      finalization_id = CASE WHEN c.charge > 0 OR c.action = 'reconcile' THEN b.id END,
      finalized_at = CASE WHEN c.charge > 0 OR c.action = 'reconcile' THEN now() END,
      released_at = CASE WHEN c.charge = 0 AND c.action <> 'reconcile' THEN now() END,
      settled_by = CASE WHEN c.action <> 'orphan' THEN c.carrier END,
      charge_micro = c.charge
    FROM closing c
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
    COALESCE((SELECT array_agg(c.id) FROM closed c), '{}'), COALESCE((SELECT array_agg(n.id) FROM noted n), '{}')
  INTO charged, allocated, closed_ids, noted_ids;

  IF charged <> allocated THEN
    RAISE EXCEPTION 'the lots cover % of % charged', allocated, charged;
  END IF;

  -- The rare rest, row by row: reservations that were terminal before this call.
  IF cardinality(closed_ids) + cardinality(noted_ids) < cardinality(ids) AND communities IS NOT NULL THEN
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
        IF r.status = 'finalized' AND r.settled_by IN ('usage_event', 'journal', 'reconciliation') THEN
          PERFORM freeside.correct_charge(r, 'not_delivered', 0, 0, NULL, 0);
          results := results || jsonb_build_object(r.id::text, 'corrected');
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
      ELSIF r.status = 'finalized' AND r.finalized_at > now() - interval '72 hours'
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

-- Settlements first, so that what they return can be held in the same breath; one statement, one
-- commit for both. `n` is the member's place in its own list.
CREATE FUNCTION freeside.apply_ledger_batch(
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
BEGIN
  IF cardinality(s_ids) > 0 AND cardinality(h_ids) > 0 THEN
    -- Both halves lock in one go: two goes could meet another replica in the opposite order.
    PERFORM freeside.lock_communities(h_communities || COALESCE(
      (SELECT array_agg(DISTINCT b.community_id) FROM freeside.budget_reservations b WHERE b.id = ANY (s_ids)), '{}'));
  END IF;
  IF cardinality(s_ids) > 0 THEN
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

-- Takes what is left of expired lots out of the available balance; what is on hold stays until its
-- hold ends. Returns what expired.
CREATE FUNCTION freeside.expire_lots(at_most integer)
RETURNS TABLE (community_id uuid, lot_id uuid, expired_micro bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  lot record;
  take bigint;
BEGIN
  PERFORM freeside.lock_communities(ARRAY(
    SELECT DISTINCT l.community_id FROM freeside.credit_lots l WHERE l.remaining_micro > 0 AND l.expires_at <= now()));
  FOR lot IN
    SELECT l.id, l.community_id, l.remaining_micro FROM freeside.credit_lots l
    WHERE l.remaining_micro > 0 AND l.expires_at <= now()
    ORDER BY l.expires_at, l.created_at, l.id LIMIT at_most
  LOOP
    SELECT LEAST(lot.remaining_micro, a.balance_micro) INTO take FROM freeside.accounts a
    WHERE a.community_id = lot.community_id AND a.kind = 'available';
    CONTINUE WHEN take = 0;
    UPDATE freeside.credit_lots l SET remaining_micro = l.remaining_micro - take WHERE l.id = lot.id;
    INSERT INTO freeside.credit_lot_adjustments (lot_id, community_id, amount_micro, reason)
    VALUES (lot.id, lot.community_id, -take, 'expiry');
    PERFORM freeside.post_entry(lot.community_id, 'available', 'expired', take, 'expiry', NULL, lot.id);
    RETURN QUERY SELECT lot.community_id, lot.id, take;
  END LOOP;
END
$$;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP FUNCTION freeside.expire_lots(integer);
DROP FUNCTION freeside.apply_ledger_batch(uuid[], text[], text[], integer[], integer[], text[], text[], text[], integer[], uuid[], uuid[], uuid[], text[], text[], integer[], integer[]);
DROP FUNCTION freeside.settle_reservations(uuid[], text[], text[], integer[], integer[], text[], text[], text[], integer[]);
DROP FUNCTION freeside.refuse_unpriced(text, integer);
