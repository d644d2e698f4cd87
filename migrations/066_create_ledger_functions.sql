-- Why: the only way to write the books. Each function is owned by the migrator and runs with its
-- rights; freeside_app may call them and nothing else, so no query of a service can bend a balance.
--
-- Locks: every function first locks the `available` account of each community it touches, in id
-- order. That row is the community's mutex: whoever holds it may write the community's other rows
-- (accounts, reservations, lots, counters), so there is one order of locks and no deadlock.
-- Statements after the lock see what the previous holder committed (READ COMMITTED, VOLATILE).
--
-- Terms: hold = reservation's worst case; capture = what was charged of it; release = what went
-- back; late capture = charged from the available balance after the hold had been released;
-- write-off = owed but not covered, borne by the platform (absorbed -> written_off).
-- Not breaking. hold_reservations, capture_late and correct_charge: the text in force is in 069.

-- Up Migration
SET LOCAL lock_timeout = '5s';

-- Summed first, rounded up once, at least one micro-credit. Same rule as priceTokens() in TypeScript.
CREATE FUNCTION freeside.price_tokens(
  prompt_price_micro bigint, completion_price_micro bigint, prompt_tokens bigint, completion_tokens bigint
) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN GREATEST(1, (prompt_price_micro * prompt_tokens + completion_price_micro * completion_tokens + 999999) / 1000000);

-- A count may be corrected by one of higher authority; equals are the same count come twice.
CREATE FUNCTION freeside.carrier_authority(carrier text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE carrier WHEN 'reconciliation' THEN 1 WHEN 'journal' THEN 2 WHEN 'not_delivered' THEN 4 ELSE 3 END;

CREATE FUNCTION freeside.lock_communities(communities uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM freeside.accounts a
  WHERE a.community_id = ANY (communities) AND a.kind = 'available'
  ORDER BY a.id FOR NO KEY UPDATE;
END
$$;

CREATE FUNCTION freeside.account_id(of_community uuid, of_kind text) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT id FROM freeside.accounts WHERE community_id = of_community AND kind = of_kind
$$;

-- One entry with both balances; for the paths that are rare enough to go row by row.
CREATE FUNCTION freeside.post_entry(
  of_community uuid, from_kind text, to_kind text, amount bigint, entry_kind text, for_reservation uuid, for_lot uuid
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF amount = 0 THEN
    RETURN;
  END IF;
  INSERT INTO freeside.ledger_entries
    (community_id, from_account_id, to_account_id, amount_micro, kind, reservation_id, lot_id)
  VALUES (of_community, freeside.account_id(of_community, from_kind), freeside.account_id(of_community, to_kind),
    amount, entry_kind, for_reservation, for_lot);
  UPDATE freeside.accounts SET balance_micro = balance_micro - amount
  WHERE community_id = of_community AND kind = from_kind;
  UPDATE freeside.accounts SET balance_micro = balance_micro + amount
  WHERE community_id = of_community AND kind = to_kind;
END
$$;

-- Mints a lot once per source_ref; a second call returns the first lot and minted = false.
CREATE FUNCTION freeside.mint_lot(
  of_community uuid, amount bigint, lot_source text, lot_source_ref text, lot_expires_at timestamptz
) RETURNS TABLE (lot_id uuid, minted boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  lot freeside.credit_lots;
BEGIN
  PERFORM freeside.lock_communities(ARRAY[of_community]);
  INSERT INTO freeside.credit_lots (community_id, source, source_ref, original_micro, remaining_micro, expires_at)
  VALUES (of_community, lot_source, lot_source_ref, amount, amount, lot_expires_at)
  ON CONFLICT (source_ref) DO NOTHING
  RETURNING * INTO lot;
  IF lot.id IS NULL THEN
    SELECT * INTO lot FROM freeside.credit_lots l WHERE l.source_ref = lot_source_ref;
    IF lot.community_id <> of_community OR lot.original_micro <> amount THEN
      RAISE EXCEPTION 'source_ref % minted another amount or community before', lot_source_ref
        USING ERRCODE = 'unique_violation';
    END IF;
    RETURN QUERY SELECT lot.id, false;
    RETURN;
  END IF;
  PERFORM freeside.post_entry(of_community, 'minted', 'available', amount, 'mint', NULL, lot.id);
  RETURN QUERY SELECT lot.id, true;
END
$$;

-- Decides holds in order, each on its own: key, requests a minute, tokens a day, money. A refused
-- member burns nothing. Prices are those of the newest version in effect.
CREATE FUNCTION freeside.hold_reservations(
  ids uuid[], communities uuid[], keys uuid[], nfts text[], pools text[], prompts integer[], max_tokens integer[]
) RETURNS TABLE (
  reservation_id uuid, decision text, required_micro bigint, available_micro bigint, version integer,
  prompt_price_micro bigint, completion_price_micro bigint,
  rpm integer, rpm_used integer, rpm_resets_at timestamptz, tpd bigint, tpd_used bigint, tpd_resets_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
  PERFORM freeside.lock_communities(communities);
  -- Read after the lock: the wait may have crossed midnight.
  at_time := clock_timestamp();
  today := (at_time AT TIME ZONE 'UTC')::date;
  day_end := (today + 1)::timestamp AT TIME ZONE 'UTC';

  SELECT max(v.version) INTO prices FROM freeside.price_versions v WHERE v.effective_at <= at_time;
  SELECT array_agg(pp.pool), array_agg(pp.prompt_price_micro), array_agg(pp.completion_price_micro)
  INTO price_pool, price_prompt, price_completion
  FROM freeside.pool_prices pp WHERE pp.price_version = prices;

  SELECT array_agg(av.community_id ORDER BY av.id), array_agg(av.id ORDER BY av.id),
         array_agg(he.id ORDER BY av.id), array_agg(av.balance_micro ORDER BY av.id)
  INTO a_community, a_available_id, a_held_id, a_balance
  FROM freeside.accounts av
  JOIN freeside.accounts he ON he.community_id = av.community_id AND he.kind = 'held'
  WHERE av.community_id = ANY (communities) AND av.kind = 'available';
  a_before := a_balance;

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
    need := freeside.price_tokens(price_prompt[p], price_completion[p], prompts[i], max_tokens[i]);
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

  INSERT INTO freeside.budget_reservations
    (id, community_id, api_key_id, nft_id, pool, price_version, prompt_tokens, max_tokens, hold_micro, limit_day, created_at)
  SELECT ids[o.i], communities[o.i], keys[o.i], nfts[o.i], pools[o.i], prices, prompts[o.i], max_tokens[o.i],
         o.amount, today, at_time
  FROM unnest(ok_index, ok_amount) AS o (i, amount);

  INSERT INTO freeside.ledger_entries
    (community_id, from_account_id, to_account_id, amount_micro, kind, reservation_id, created_at)
  SELECT communities[o.i], a_available_id[o.a], a_held_id[o.a], o.amount, 'hold', ids[o.i], at_time
  FROM unnest(ok_index, ok_amount, ok_account) AS o (i, amount, a);

  UPDATE freeside.accounts acc SET balance_micro = acc.balance_micro + d.delta
  FROM (
    SELECT m.id, m.delta
    FROM unnest(a_available_id, a_held_id, a_before, a_balance) AS b (available_id, held_id, before, after)
    CROSS JOIN LATERAL (VALUES (b.available_id, b.after - b.before), (b.held_id, b.before - b.after)) AS m (id, delta)
    WHERE m.delta <> 0
  ) d
  WHERE acc.id = d.id;

  UPDATE freeside.api_key_usage u
  SET minute_started = n.minute, minute_requests = n.requests, day = today, day_tokens = n.tokens
  FROM unnest(k_id, k_minute, k_requests, k_tokens, k_touched) AS n (id, minute, requests, tokens, touched)
  WHERE u.key_id = n.id AND n.touched;
END
$$;

-- Draws `amount` from the community's lots, first-expiring-first; each lot's share is returned.
CREATE FUNCTION freeside.draw_lots(of_community uuid, amount bigint)
RETURNS TABLE (lot_id uuid, drawn_micro bigint) LANGUAGE plpgsql AS $$
DECLARE
  lot record;
  missing bigint := amount;
BEGIN
  FOR lot IN
    SELECT l.id, l.remaining_micro FROM freeside.credit_lots l
    WHERE l.community_id = of_community AND l.remaining_micro > 0
    ORDER BY l.expires_at NULLS LAST, l.created_at, l.id
  LOOP
    EXIT WHEN missing = 0;
    lot_id := lot.id;
    drawn_micro := LEAST(missing, lot.remaining_micro);
    missing := missing - drawn_micro;
    UPDATE freeside.credit_lots l SET remaining_micro = l.remaining_micro - drawn_micro WHERE l.id = lot.id;
    RETURN NEXT;
  END LOOP;
  IF missing > 0 THEN
    RAISE EXCEPTION 'the lots of community % do not cover its balance: % missing', of_community, missing;
  END IF;
END
$$;

-- A count for a hold that was released as an orphan: charged from what is available now, within the
-- hold; the rest is written off. The status stays: terminal states absorb.
CREATE FUNCTION freeside.capture_late(
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
  UPDATE freeside.api_key_usage u SET day_tokens = u.day_tokens + prompt + completion
  WHERE u.key_id = r.api_key_id AND u.day = r.limit_day;
END
$$;

-- A count of higher authority for a settled hold: the difference moves, the originals stay.
CREATE FUNCTION freeside.correct_charge(
  r freeside.budget_reservations, carrier text, prompt integer, completion integer, pool_used text, owed bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  more bigint := GREATEST(0, owed - r.charge_micro);
  back bigint := GREATEST(0, r.charge_micro - owed);
  paid bigint;
  lot record;
  missing bigint := back;
  share bigint;
BEGIN
  SELECT LEAST(more, a.balance_micro) INTO paid FROM freeside.accounts a
  WHERE a.community_id = r.community_id AND a.kind = 'available';
  -- What earlier corrections wrote off isn't written off again.
  more := GREATEST(paid, more - (SELECT COALESCE(sum(c.written_off_micro), 0) FROM freeside.spend_corrections c
    WHERE c.budget_reservation_id = r.id));

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

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP FUNCTION freeside.correct_charge(freeside.budget_reservations, text, integer, integer, text, bigint);
DROP FUNCTION freeside.capture_late(freeside.budget_reservations, text, integer, integer, text, text, text, integer, bigint);
DROP FUNCTION freeside.draw_lots(uuid, bigint);
DROP FUNCTION freeside.hold_reservations(uuid[], uuid[], uuid[], text[], text[], integer[], integer[]);
DROP FUNCTION freeside.mint_lot(uuid, bigint, text, text, timestamptz);
DROP FUNCTION freeside.post_entry(uuid, text, text, bigint, text, uuid, uuid);
DROP FUNCTION freeside.account_id(uuid, text);
DROP FUNCTION freeside.lock_communities(uuid[]);
DROP FUNCTION freeside.carrier_authority(text);
DROP FUNCTION freeside.price_tokens(bigint, bigint, bigint, bigint);
