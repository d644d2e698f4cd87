-- Why: a payment stood bound to one payment of the vendor while its credits had come from another. What was
-- paid into the one was then never credited, and a refund of the one took the credits of the other.
-- Now what is minted binds: resolve_payment() gives the payment the vendor's number that it mints for, and
-- the number that stood there is another payment of the invoice from then on, whose money is a case of
-- its own. What repeats a payment refers to the first of the row, under a key that no request can
-- send (a blank).
--
-- Besides: a refund that came before its finish counts whatever became of its case; the pause of ten
-- notices an hour holds only for what neither binds nor moves a payment; what a poll hears again is not
-- written down again; a case of money that came is not closed by a later word of none; set_aside_at says
-- that an operator expects no more of a payment, so that nobody asks about it or calls it stuck; and what
-- a number that was replaced was told of is found by an index.
--
-- What 073 says of a single function is not so: webhook, poll and replay come through
-- apply_payment_decision(), an operator through resolve_payment(). What they share are
-- advance_payment(), mint_payment() and refund_payment(), where the guards are.
--
-- Lock: ACCESS EXCLUSIVE on crypto_payments for the column and then, in the order of the functions, SHARE on
-- payment_deliveries for the index: notices wait for as long as that index takes. Not breaking.
--
-- Locks of the functions: the payment's row, then its community, which is what 073 has. But crediting a
-- payment may pay the debt of another one of the community, and the event of that refers to its row: a
-- foreign key asks for FOR KEY SHARE, with the community locked. So the row is locked FOR NO KEY UPDATE,
-- which goes with that, and not FOR UPDATE, which made the two wait for each other. A key of a row
-- changes (a number is bound, a mint's name written) only before it is credited, when it can owe nothing.
-- The vendor waits three seconds, and each of two locks is waited for: one second each.

-- Up Migration
SET LOCAL lock_timeout = '5s';

-- When an operator closed the last case of a payment that was not credited; NULL again with any news.
ALTER TABLE freeside.crypto_payments ADD COLUMN set_aside_at timestamptz;

CREATE INDEX payment_deliveries_by_bound_vendor_payment ON freeside.payment_deliveries (vendor_payment_id, id)
  WHERE crypto_payment_id IS NOT NULL;

-- What was minted before binds as well; the number that stood there is found by what was told of it.
UPDATE freeside.crypto_payments c
SET payment_id = substr(c.credits_mint_event_id, 13), last_seen_updated_at = NULL, version = c.version + 1
WHERE c.credits_mint_event_id ~ '^nowpayments:[0-9]{1,20}$'
  AND c.payment_id IS DISTINCT FROM substr(c.credits_mint_event_id, 13)
  AND NOT EXISTS (SELECT 1 FROM freeside.crypto_payments o WHERE o.payment_id = substr(c.credits_mint_event_id, 13));
UPDATE freeside.crypto_payments c SET idempotency_key = 'repeat ' || c.payment_id, version = c.version + 1
WHERE c.repeats_payment_id IS NOT NULL AND c.idempotency_key = 'repeat:' || c.payment_id;

-- Whether there was a case of that deposit and reason at that status or beyond, open or resolved.
CREATE FUNCTION freeside.is_review_known(of_payment uuid, because text, vendor_payment text, told_status text)
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT 1 FROM freeside.payment_reviews r
    LEFT JOIN freeside.payment_statuses s ON s.status = r.vendor_status
    WHERE r.crypto_payment_id = of_payment AND r.reason = because AND r.vendor_payment_id = vendor_payment
      AND (r.vendor_status = told_status
        OR s.status_rank > (SELECT t.status_rank FROM freeside.payment_statuses t WHERE t.status = told_status)))
$$;

-- Whether a payment of ours, but for that one, is bound to it or was credited for it.
CREATE FUNCTION freeside.is_vendor_payment_taken(vendor_payment text, but_for uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT 1 FROM freeside.crypto_payments c
    WHERE (c.payment_id = vendor_payment OR c.credits_mint_event_id = 'nowpayments:' || vendor_payment)
      AND c.id IS DISTINCT FROM but_for)
$$;

-- One case waits for each deposit and reason, at the furthest status that was told of it: a later one
-- takes the place of the earlier, as a case of its own, so that nobody resolves what they didn't see.
-- Only a refund takes the place of a finish: whatever else comes after it stands beside it.
-- False when there was one of that status or beyond, open or resolved.
CREATE OR REPLACE FUNCTION freeside.open_review(
  of_payment uuid, because text, vendor_payment text, told_status text, from_delivery bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  told_rank smallint := (SELECT s.status_rank FROM freeside.payment_statuses s WHERE s.status = told_status);
BEGIN
  IF freeside.is_review_known(of_payment, because, vendor_payment, told_status) THEN
    RETURN false;
  END IF;
  UPDATE freeside.payment_reviews r
  SET resolution = 'ignore', resolved_by = 'NOWPayments', resolved_reason = 'told of again: ' || told_status,
    resolved_at = now()
  FROM freeside.payment_statuses s
  WHERE r.crypto_payment_id = of_payment AND r.reason = because AND r.vendor_payment_id = vendor_payment
    AND r.resolved_at IS NULL AND s.status = r.vendor_status AND s.status_rank <= told_rank
    AND (r.vendor_status <> 'finished' OR s.status_rank < told_rank);
  INSERT INTO freeside.payment_reviews (crypto_payment_id, reason, vendor_payment_id, vendor_status, delivery_id)
  VALUES (of_payment, because, vendor_payment, told_status, from_delivery);
  RETURN true;
END
$$;

-- Applies what decide() made of a report, if it was made on the version that stands: otherwise nothing
-- happens, is_applied is false and the caller decides again. pause_seconds above 0: this payment was
-- told of too often, and nothing happened either.
CREATE OR REPLACE FUNCTION freeside.apply_payment_decision(
  of_payment uuid, seen_version integer, from_source text, told jsonb, hash bytea,
  vendor_payment text, told_status text, told_currency text, told_updated_at timestamptz,
  decided text, new_status text, binds boolean, review text,
  OUT is_applied boolean, OUT pause_seconds integer, OUT opened_review boolean,
  OUT minted_micro bigint, OUT debt_paid_micro bigint, OUT refunded_micro bigint, OUT debt_micro bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- For each lock: the payment's, the community's. The vendor waits three seconds for our answer.
SET lock_timeout = '1s' AS $$
DECLARE
  p freeside.crypto_payments;
  delivery bigint;
BEGIN
  is_applied := false;
  opened_review := false;
  pause_seconds := 0;
  SELECT c.* INTO p FROM freeside.crypto_payments c WHERE c.id = of_payment FOR NO KEY UPDATE;
  IF p.id IS NULL OR p.version <> seen_version THEN
    RETURN;
  END IF;
  -- The table bounds how often a payment is bound and moved; all else could be told for ever.
  IF from_source = 'webhook' AND new_status IS NULL AND NOT binds THEN
    pause_seconds := freeside.delivery_pause(vendor_payment);
    IF pause_seconds > 0 THEN
      RETURN;
    END IF;
  END IF;
  is_applied := true;
  -- The vendor is asked every few minutes and says the same; its case is there.
  IF from_source = 'poll' AND new_status IS NULL AND NOT binds
     AND freeside.is_review_known(p.id, review, vendor_payment, told_status) THEN
    RETURN;
  END IF;
  INSERT INTO freeside.payment_deliveries
    (crypto_payment_id, vendor_payment_id, source, outcome, report, body_hash)
  VALUES (p.id, vendor_payment, from_source, decided, told, hash)
  RETURNING id INTO delivery;

  IF binds THEN
    UPDATE freeside.crypto_payments c SET payment_id = vendor_payment, pay_currency = told_currency
    WHERE c.id = p.id;
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, source, delivery_id)
    VALUES (p.id, 'bound', from_source, delivery);
  END IF;
  IF new_status IS NOT NULL THEN
    SELECT a.minted_micro, a.debt_paid_micro, a.refunded_micro, a.debt_micro
    INTO minted_micro, debt_paid_micro, refunded_micro, debt_micro
    FROM freeside.advance_payment(p.id, new_status, vendor_payment, from_source, NULL, NULL, delivery) a;
  END IF;
  IF new_status = 'finished' THEN
    UPDATE freeside.payment_reviews r SET resolution = 'ignore', resolved_by = 'NOWPayments',
      resolved_reason = 'the rest came', resolved_at = now()
    WHERE r.crypto_payment_id = p.id AND r.reason = 'partially_paid'
      AND r.vendor_payment_id = vendor_payment AND r.resolved_at IS NULL;
    -- A refund that had overtaken its finish is made up for at once: nobody spends what went back. Also
    -- when an operator has closed its case, as nothing had been credited then.
    UPDATE freeside.payment_reviews r SET resolution = 'refund', resolved_by = 'NOWPayments',
      resolved_reason = 'the refund had overtaken the finish', resolved_at = now()
    WHERE r.crypto_payment_id = p.id AND r.reason = 'refund_before_finish'
      AND r.vendor_payment_id = vendor_payment AND r.resolved_at IS NULL;
    IF EXISTS (SELECT 1 FROM freeside.payment_reviews r WHERE r.crypto_payment_id = p.id
               AND r.reason = 'refund_before_finish' AND r.vendor_payment_id = vendor_payment) THEN
      SELECT a.refunded_micro, a.debt_micro INTO refunded_micro, debt_micro
      FROM freeside.advance_payment(p.id, 'refunded', vendor_payment, from_source, NULL,
        'the refund had overtaken the finish', delivery) a;
    END IF;
  END IF;
  IF review IS NOT NULL THEN
    opened_review := freeside.open_review(p.id, review, vendor_payment, told_status, delivery);
    IF opened_review THEN
      INSERT INTO freeside.payment_events (crypto_payment_id, kind, source, reason, delivery_id)
      VALUES (p.id, 'review_opened', from_source, review, delivery);
    END IF;
  END IF;
  IF binds OR new_status IS NOT NULL OR opened_review THEN
    UPDATE freeside.crypto_payments c SET version = c.version + 1, updated_at = now(), set_aside_at = NULL,
      -- What waits for an operator must not make an older notice that can be applied look stale.
      last_seen_updated_at = CASE WHEN decided = 'review' THEN c.last_seen_updated_at
        WHEN binds THEN told_updated_at ELSE GREATEST(c.last_seen_updated_at, told_updated_at) END
    WHERE c.id = p.id;
  END IF;
END
$$;

-- An operator's word on a payment: mint, ignore or refund, with a name and a reason, for one review or
-- (of_review NULL) for the payment itself. The same guards stand as for the vendor's reports. What is
-- minted for a vendor payment binds to it; on a payment that has its credits, the deposit becomes a
-- payment of its own.
-- outcomes: done | not_found | resolved_before | minted_before | nothing_to_refund
CREATE OR REPLACE FUNCTION freeside.resolve_payment(
  of_payment uuid, of_review bigint, chosen text, by_operator text, because text, new_id uuid,
  OUT outcome text, OUT minted_micro bigint, OUT debt_paid_micro bigint, OUT refunded_micro bigint, OUT debt_micro bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p freeside.crypto_payments;
  v freeside.payment_reviews;
  next_status text;
  vendor_payment text;
BEGIN
  IF chosen NOT IN ('mint', 'ignore', 'refund') OR COALESCE(btrim(by_operator), '') = '' OR COALESCE(btrim(because), '') = '' THEN
    RAISE EXCEPTION 'a resolution needs mint, ignore or refund, an operator and a reason' USING ERRCODE = 'check_violation';
  END IF;
  SELECT c.* INTO p FROM freeside.crypto_payments c WHERE c.id = of_payment FOR NO KEY UPDATE;
  SELECT r.* INTO v FROM freeside.payment_reviews r WHERE r.id = of_review AND r.crypto_payment_id = of_payment;
  IF p.id IS NULL OR (of_review IS NOT NULL AND v.id IS NULL) OR (of_review IS NULL AND chosen = 'ignore') THEN
    outcome := 'not_found';
    RETURN;
  END IF;
  IF v.resolved_at IS NOT NULL THEN
    outcome := 'resolved_before';
    RETURN;
  END IF;
  PERFORM freeside.lock_communities(ARRAY[p.community_id]);
  vendor_payment := COALESCE(v.vendor_payment_id, p.payment_id);
  outcome := 'done';

  IF chosen = 'mint' AND p.credits_minted_at IS NOT NULL THEN
    -- A second deposit of the same customer: credited as a payment of its own, at the same terms.
    IF vendor_payment IS NULL OR freeside.is_vendor_payment_taken(vendor_payment, NULL) THEN
      outcome := 'minted_before';
      RETURN;
    END IF;
    INSERT INTO freeside.crypto_payments AS c (id, community_id, user_id, idempotency_key, pack_version, pack_id,
      price_micro, credits_micro, bonus_micro, repeats_payment_id, payment_id)
    VALUES (new_id, p.community_id, p.user_id, 'repeat ' || vendor_payment, p.pack_version, p.pack_id,
      p.price_micro, p.credits_micro, p.bonus_micro, COALESCE(p.repeats_payment_id, p.id), vendor_payment)
    RETURNING c.* INTO p;
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, to_status, source, operator, reason)
    VALUES (p.id, 'created', 'waiting', 'operator', by_operator, because);
  ELSIF chosen = 'mint' AND vendor_payment IS DISTINCT FROM p.payment_id THEN
    -- What is minted binds: what the vendor says of this deposit later is about these credits, and what
    -- it says of the one that stood here is about another's.
    IF freeside.is_vendor_payment_taken(vendor_payment, p.id) THEN
      outcome := 'minted_before';
      RETURN;
    END IF;
    UPDATE freeside.crypto_payments c SET payment_id = vendor_payment, last_seen_updated_at = NULL,
      pay_currency = (SELECT d.report ->> 'pay_currency' FROM freeside.payment_deliveries d WHERE d.id = v.delivery_id)
    WHERE c.id = p.id
    RETURNING c.* INTO p;
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, source, operator, reason, delivery_id)
    VALUES (p.id, 'bound', 'operator', by_operator, because, v.delivery_id);
  END IF;
  next_status := CASE chosen WHEN 'mint' THEN 'finished' WHEN 'refund' THEN 'refunded' END;
  -- A review may be about another deposit than the one that was credited: sending that one back is the
  -- vendor's business, and takes nothing from the lot of this one.
  IF chosen = 'refund' AND (p.credits_minted_at IS NULL OR p.credits_refunded_at IS NOT NULL
     OR (v.id IS NOT NULL AND p.credits_mint_event_id <> 'nowpayments:' || v.vendor_payment_id)) THEN
    outcome := 'nothing_to_refund';
    RETURN;
  END IF;
  IF EXISTS (SELECT 1 FROM freeside.payment_transitions t WHERE t.from_status = p.status AND t.to_status = next_status) THEN
    SELECT a.minted_micro, a.debt_paid_micro, a.refunded_micro, a.debt_micro
    INTO minted_micro, debt_paid_micro, refunded_micro, debt_micro
    FROM freeside.advance_payment(p.id, next_status, COALESCE(vendor_payment, 'operator:' || p.id), 'operator',
      by_operator, because, v.delivery_id) a;
  ELSIF chosen = 'mint' THEN
    -- Ended without money, as the vendor says; the credits are there all the same.
    SELECT m.minted_micro, m.debt_paid_micro INTO minted_micro, debt_paid_micro
    FROM freeside.mint_payment(p, 'nowpayments:' || COALESCE(vendor_payment, 'operator:' || p.id), 'operator',
      by_operator, because, v.delivery_id) m;
  ELSIF chosen = 'refund' THEN
    SELECT r.refunded_micro, r.debt_micro INTO refunded_micro, debt_micro
    FROM freeside.refund_payment(p, 'operator', by_operator, because, v.delivery_id) r;
  END IF;
  UPDATE freeside.crypto_payments c SET version = c.version + 1, updated_at = now(),
    set_aside_at = CASE WHEN chosen = 'ignore' THEN c.set_aside_at END
  WHERE c.id IN (p.id, of_payment);
  IF v.id IS NOT NULL THEN
    UPDATE freeside.payment_reviews r
    SET resolution = chosen, resolved_by = by_operator, resolved_reason = because, resolved_at = now()
    WHERE r.id = v.id;
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, source, operator, reason, delivery_id)
    VALUES (of_payment, 'review_resolved', 'operator', by_operator, chosen || ': ' || because, v.delivery_id);
  END IF;
  -- Nothing more is expected of a payment whose own case was closed without credits. Not while money is on
  -- its way, by the vendor's own word, and not for what is said of another deposit.
  IF chosen = 'ignore' AND v.vendor_status NOT IN ('waiting', 'confirming', 'confirmed', 'sending') THEN
    UPDATE freeside.crypto_payments c SET set_aside_at = now()
    WHERE c.id = p.id AND c.credits_minted_at IS NULL AND v.vendor_payment_id = COALESCE(c.payment_id, v.vendor_payment_id)
      AND NOT EXISTS (SELECT 1 FROM freeside.payment_reviews r WHERE r.crypto_payment_id = c.id
                      AND r.resolved_at IS NULL AND r.vendor_payment_id = COALESCE(c.payment_id, r.vendor_payment_id));
  END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION
  freeside.is_review_known(uuid, text, text, text),
  freeside.is_vendor_payment_taken(text, uuid)
FROM PUBLIC;

-- Down Migration
SET LOCAL lock_timeout = '5s';

-- The texts of 073. What was bound and renamed on the way up stays: it is as true for them.
CREATE OR REPLACE FUNCTION freeside.open_review(
  of_payment uuid, because text, vendor_payment text, told_status text, from_delivery bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  told_rank smallint := (SELECT s.status_rank FROM freeside.payment_statuses s WHERE s.status = told_status);
BEGIN
  IF EXISTS (
    SELECT 1 FROM freeside.payment_reviews r
    LEFT JOIN freeside.payment_statuses s ON s.status = r.vendor_status
    WHERE r.crypto_payment_id = of_payment AND r.reason = because AND r.vendor_payment_id = vendor_payment
      AND (r.vendor_status = told_status OR s.status_rank > told_rank)
  ) THEN
    RETURN false;
  END IF;
  UPDATE freeside.payment_reviews r
  SET resolution = 'ignore', resolved_by = 'NOWPayments', resolved_reason = 'told of again: ' || told_status,
    resolved_at = now()
  FROM freeside.payment_statuses s
  WHERE r.crypto_payment_id = of_payment AND r.reason = because AND r.vendor_payment_id = vendor_payment
    AND r.resolved_at IS NULL AND s.status = r.vendor_status AND s.status_rank <= told_rank;
  INSERT INTO freeside.payment_reviews (crypto_payment_id, reason, vendor_payment_id, vendor_status, delivery_id)
  VALUES (of_payment, because, vendor_payment, told_status, from_delivery);
  RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION freeside.apply_payment_decision(
  of_payment uuid, seen_version integer, from_source text, told jsonb, hash bytea,
  vendor_payment text, told_status text, told_currency text, told_updated_at timestamptz,
  decided text, new_status text, binds boolean, review text,
  OUT is_applied boolean, OUT pause_seconds integer, OUT opened_review boolean,
  OUT minted_micro bigint, OUT debt_paid_micro bigint, OUT refunded_micro bigint, OUT debt_micro bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
-- The vendor waits three seconds for our answer.
SET lock_timeout = '2s' AS $$
DECLARE
  p freeside.crypto_payments;
  delivery bigint;
BEGIN
  is_applied := false;
  opened_review := false;
  pause_seconds := 0;
  SELECT c.* INTO p FROM freeside.crypto_payments c WHERE c.id = of_payment FOR UPDATE;
  IF p.id IS NULL OR p.version <> seen_version THEN
    RETURN;
  END IF;
  IF from_source = 'webhook' THEN
    pause_seconds := freeside.delivery_pause(vendor_payment);
    IF pause_seconds > 0 THEN
      RETURN;
    END IF;
  END IF;
  is_applied := true;
  INSERT INTO freeside.payment_deliveries
    (crypto_payment_id, vendor_payment_id, source, outcome, report, body_hash)
  VALUES (p.id, vendor_payment, from_source, decided, told, hash)
  RETURNING id INTO delivery;

  IF binds THEN
    UPDATE freeside.crypto_payments c SET payment_id = vendor_payment, pay_currency = told_currency
    WHERE c.id = p.id;
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, source, delivery_id)
    VALUES (p.id, 'bound', from_source, delivery);
  END IF;
  IF new_status IS NOT NULL THEN
    SELECT a.minted_micro, a.debt_paid_micro, a.refunded_micro, a.debt_micro
    INTO minted_micro, debt_paid_micro, refunded_micro, debt_micro
    FROM freeside.advance_payment(p.id, new_status, vendor_payment, from_source, NULL, NULL, delivery) a;
  END IF;
  IF new_status = 'finished' THEN
    UPDATE freeside.payment_reviews r SET resolution = 'ignore', resolved_by = 'NOWPayments',
      resolved_reason = 'the rest came', resolved_at = now()
    WHERE r.crypto_payment_id = p.id AND r.reason = 'partially_paid'
      AND r.vendor_payment_id = vendor_payment AND r.resolved_at IS NULL;
    -- A refund that had overtaken its finish is made up for at once: nobody spends what went back.
    UPDATE freeside.payment_reviews r SET resolution = 'refund', resolved_by = 'NOWPayments',
      resolved_reason = 'the refund had overtaken the finish', resolved_at = now()
    WHERE r.crypto_payment_id = p.id AND r.reason = 'refund_before_finish'
      AND r.vendor_payment_id = vendor_payment AND r.resolved_at IS NULL;
    IF FOUND THEN
      SELECT a.refunded_micro, a.debt_micro INTO refunded_micro, debt_micro
      FROM freeside.advance_payment(p.id, 'refunded', vendor_payment, from_source, NULL,
        'the refund had overtaken the finish', delivery) a;
    END IF;
  END IF;
  IF review IS NOT NULL THEN
    opened_review := freeside.open_review(p.id, review, vendor_payment, told_status, delivery);
    IF opened_review THEN
      INSERT INTO freeside.payment_events (crypto_payment_id, kind, source, reason, delivery_id)
      VALUES (p.id, 'review_opened', from_source, review, delivery);
    END IF;
  END IF;
  IF binds OR new_status IS NOT NULL OR opened_review THEN
    UPDATE freeside.crypto_payments c SET version = c.version + 1, updated_at = now(),
      -- What waits for an operator must not make an older notice that can be applied look stale.
      last_seen_updated_at = CASE WHEN decided = 'review' THEN c.last_seen_updated_at
        WHEN binds THEN told_updated_at ELSE GREATEST(c.last_seen_updated_at, told_updated_at) END
    WHERE c.id = p.id;
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION freeside.resolve_payment(
  of_payment uuid, of_review bigint, chosen text, by_operator text, because text, new_id uuid,
  OUT outcome text, OUT minted_micro bigint, OUT debt_paid_micro bigint, OUT refunded_micro bigint, OUT debt_micro bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  p freeside.crypto_payments;
  v freeside.payment_reviews;
  next_status text;
  vendor_payment text;
BEGIN
  IF chosen NOT IN ('mint', 'ignore', 'refund') OR COALESCE(btrim(by_operator), '') = '' OR COALESCE(btrim(because), '') = '' THEN
    RAISE EXCEPTION 'a resolution needs mint, ignore or refund, an operator and a reason' USING ERRCODE = 'check_violation';
  END IF;
  SELECT c.* INTO p FROM freeside.crypto_payments c WHERE c.id = of_payment FOR UPDATE;
  SELECT r.* INTO v FROM freeside.payment_reviews r WHERE r.id = of_review AND r.crypto_payment_id = of_payment;
  IF p.id IS NULL OR (of_review IS NOT NULL AND v.id IS NULL) OR (of_review IS NULL AND chosen = 'ignore') THEN
    outcome := 'not_found';
    RETURN;
  END IF;
  IF v.resolved_at IS NOT NULL THEN
    outcome := 'resolved_before';
    RETURN;
  END IF;
  PERFORM freeside.lock_communities(ARRAY[p.community_id]);
  vendor_payment := COALESCE(v.vendor_payment_id, p.payment_id);
  outcome := 'done';

  IF chosen = 'mint' AND p.credits_minted_at IS NOT NULL THEN
    -- A second deposit of the same customer: credited as a payment of its own, at the same terms.
    IF vendor_payment IS NULL OR 'nowpayments:' || vendor_payment = p.credits_mint_event_id
       OR vendor_payment = p.payment_id
       OR EXISTS (SELECT 1 FROM freeside.crypto_payments c WHERE c.payment_id = vendor_payment
                  OR c.credits_mint_event_id = 'nowpayments:' || vendor_payment) THEN
      outcome := 'minted_before';
      RETURN;
    END IF;
    INSERT INTO freeside.crypto_payments AS c (id, community_id, user_id, idempotency_key, pack_version, pack_id,
      price_micro, credits_micro, bonus_micro, repeats_payment_id, payment_id)
    VALUES (new_id, p.community_id, p.user_id, 'repeat:' || vendor_payment, p.pack_version, p.pack_id,
      p.price_micro, p.credits_micro, p.bonus_micro, p.id, vendor_payment)
    RETURNING c.* INTO p;
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, to_status, source, operator, reason)
    VALUES (p.id, 'created', 'waiting', 'operator', by_operator, because);
  END IF;
  next_status := CASE chosen WHEN 'mint' THEN 'finished' WHEN 'refund' THEN 'refunded' END;
  -- A review may be about another deposit than the one that was credited: sending that one back is the
  -- vendor's business, and takes nothing from the lot of this one.
  IF chosen = 'refund' AND (p.credits_minted_at IS NULL OR p.credits_refunded_at IS NOT NULL
     OR (v.id IS NOT NULL AND p.credits_mint_event_id <> 'nowpayments:' || v.vendor_payment_id)) THEN
    outcome := 'nothing_to_refund';
    RETURN;
  END IF;
  IF EXISTS (SELECT 1 FROM freeside.payment_transitions t WHERE t.from_status = p.status AND t.to_status = next_status) THEN
    SELECT a.minted_micro, a.debt_paid_micro, a.refunded_micro, a.debt_micro
    INTO minted_micro, debt_paid_micro, refunded_micro, debt_micro
    FROM freeside.advance_payment(p.id, next_status, COALESCE(vendor_payment, 'operator:' || p.id), 'operator',
      by_operator, because, v.delivery_id) a;
  ELSIF chosen = 'mint' THEN
    -- Ended without money, as the vendor says; the credits are there all the same.
    SELECT m.minted_micro, m.debt_paid_micro INTO minted_micro, debt_paid_micro
    FROM freeside.mint_payment(p, 'nowpayments:' || COALESCE(vendor_payment, 'operator:' || p.id), 'operator',
      by_operator, because, v.delivery_id) m;
  ELSIF chosen = 'refund' THEN
    SELECT r.refunded_micro, r.debt_micro INTO refunded_micro, debt_micro
    FROM freeside.refund_payment(p, 'operator', by_operator, because, v.delivery_id) r;
  END IF;
  UPDATE freeside.crypto_payments c SET version = c.version + 1, updated_at = now() WHERE c.id IN (p.id, of_payment);
  IF v.id IS NOT NULL THEN
    UPDATE freeside.payment_reviews r
    SET resolution = chosen, resolved_by = by_operator, resolved_reason = because, resolved_at = now()
    WHERE r.id = v.id;
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, source, operator, reason, delivery_id)
    VALUES (of_payment, 'review_resolved', 'operator', by_operator, chosen || ': ' || because, v.delivery_id);
  END IF;
END
$$;

DROP FUNCTION freeside.is_vendor_payment_taken(text, uuid);
DROP FUNCTION freeside.is_review_known(uuid, text, text, text);
DROP INDEX freeside.payment_deliveries_by_bound_vendor_payment;
ALTER TABLE freeside.crypto_payments DROP COLUMN set_aside_at;
