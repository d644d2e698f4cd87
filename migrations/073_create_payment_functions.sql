-- Why: the only way to write payments. Webhook, poll and operator go through apply_payment_decision():
-- it locks the payment's row, sees that the decision was made on what still stands, keeps the vendor's
-- word, moves the status along the table of 065 and writes the books, all in one statement, so that a
-- process may die anywhere and nothing is half done.
--
-- Terms: crypto_receipts = where paid credits come from; bonus = what was added to them; refunded =
-- what was taken back, from the lot itself or, as a debt, from later purchases. These accounts are
-- opened at a community's first purchase.
--
-- Locks: the payment's row first, then the community as in 066; nothing takes them the other way round.
-- ACCESS EXCLUSIVE on accounts and ledger_entries for the moment of replacing two checks by wider ones,
-- unvalidated: what held under the narrow one holds under the wide one. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

ALTER TABLE freeside.accounts
  DROP CONSTRAINT accounts_kind,
  DROP CONSTRAINT accounts_balance_sign,
  ADD CONSTRAINT accounts_kind CHECK (kind IN ('minted', 'absorbed', 'available', 'held', 'spent', 'expired',
    'written_off', 'crypto_receipts', 'bonus', 'refunded')) NOT VALID,
  ADD CONSTRAINT accounts_balance_sign CHECK (
    CASE WHEN kind IN ('minted', 'absorbed', 'crypto_receipts', 'bonus') THEN balance_micro <= 0
         ELSE balance_micro >= 0 END) NOT VALID;
ALTER TABLE freeside.ledger_entries
  DROP CONSTRAINT ledger_entries_kind_check,
  ADD CONSTRAINT ledger_entries_kind_check CHECK (kind IN ('mint', 'hold', 'capture', 'release', 'late_capture',
    'write_off', 'correction', 'expiry', 'bonus', 'refund', 'debt_payment')) NOT VALID;
ALTER TABLE freeside.credit_lot_adjustments
  DROP CONSTRAINT credit_lot_adjustments_reason_check,
  ADD CONSTRAINT credit_lot_adjustments_reason_check CHECK
    (reason IN ('usage_correction', 'expiry', 'refund', 'debt_payment')) NOT VALID;

-- Creates a payment once per community and idempotency key, at the pack's newest version in effect. A
-- second call returns the first payment; is_same tells whether it asked for the same pack.
CREATE FUNCTION freeside.create_payment(
  new_id uuid, of_community uuid, of_user uuid, key text, pack text,
  OUT id uuid, OUT created boolean, OUT is_same boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  chosen freeside.credit_packs;
BEGIN
  SELECT p.* INTO chosen FROM freeside.credit_packs p
  WHERE p.id = pack AND p.version =
    (SELECT max(v.version) FROM freeside.credit_pack_versions v WHERE v.effective_at <= now());
  IF chosen.id IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO freeside.crypto_payments AS c
    (id, community_id, user_id, idempotency_key, pack_version, pack_id, price_micro, credits_micro, bonus_micro)
  SELECT new_id, m.community_id, m.id, key, chosen.version, chosen.id, chosen.price_micro, chosen.credits_micro,
    chosen.bonus_micro
  FROM freeside.community_members m WHERE m.id = of_user AND m.community_id = of_community
  ON CONFLICT (community_id, idempotency_key) DO NOTHING
  RETURNING c.id INTO create_payment.id;
  created := create_payment.id IS NOT NULL;
  is_same := true;
  IF created THEN
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, to_status, source)
    VALUES (create_payment.id, 'created', 'waiting', 'api');
    RETURN;
  END IF;
  SELECT c.id, c.pack_id = pack INTO create_payment.id, is_same FROM freeside.crypto_payments c
  WHERE c.community_id = of_community AND c.idempotency_key = key;
END
$$;

-- Notes the vendor's invoice; the first one stays.
CREATE FUNCTION freeside.record_invoice(of_payment uuid, invoice text, url text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  stands text;
BEGIN
  UPDATE freeside.crypto_payments c
  SET invoice_id = invoice, checkout_url = url, version = c.version + 1, updated_at = now()
  WHERE c.id = of_payment AND c.invoice_id IS NULL;
  IF FOUND THEN
    INSERT INTO freeside.payment_events (crypto_payment_id, kind, source) VALUES (of_payment, 'invoiced', 'api');
  END IF;
  SELECT c.checkout_url INTO stands FROM freeside.crypto_payments c WHERE c.id = of_payment;
  RETURN stands;
END
$$;

-- Keeps a report that moves nothing: it binds to no payment, or can't be read.
CREATE FUNCTION freeside.keep_delivery(
  of_vendor_payment text, from_source text, of_outcome text, told jsonb, hash bytea
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  kept bigint;
BEGIN
  IF of_outcome NOT IN ('unbound', 'malformed') THEN
    RAISE EXCEPTION 'a report that % needs its payment', of_outcome;
  END IF;
  INSERT INTO freeside.payment_deliveries (vendor_payment_id, source, outcome, report, body_hash)
  VALUES (of_vendor_payment, from_source, of_outcome, told, hash)
  RETURNING id INTO kept;
  RETURN kept;
END
$$;

-- Seconds until the vendor may tell of this payment again; 0 when it may now. Counts what was kept, so
-- neither forged posts nor answers of ours in the 500s.
CREATE FUNCTION freeside.delivery_pause(of_vendor_payment text) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
  SELECT COALESCE((
    SELECT GREATEST(1, ceil(extract(epoch FROM d.created_at + interval '1 hour' - now())))::integer
    FROM freeside.payment_deliveries d
    WHERE d.vendor_payment_id = of_vendor_payment AND d.source = 'webhook'
      AND d.created_at > now() - interval '1 hour'
    ORDER BY d.created_at DESC OFFSET 9 LIMIT 1), 0)
$$;

CREATE FUNCTION freeside.open_payment_accounts(of_community uuid) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO freeside.accounts (community_id, kind)
  SELECT of_community, k FROM unnest(ARRAY['crypto_receipts', 'bonus', 'refunded']) AS k
  ON CONFLICT (community_id, kind) DO NOTHING
$$;

-- Under the locks of its caller. The whole pack becomes one lot; debts are paid from it, oldest first.
CREATE FUNCTION freeside.mint_payment(
  p freeside.crypto_payments, mint_event text, from_source text, by_operator text, because text, from_delivery bigint
) RETURNS TABLE (minted_micro bigint, debt_paid_micro bigint) LANGUAGE plpgsql AS $$
DECLARE
  lot uuid;
  debt record;
  share bigint;
  remaining bigint := p.credits_micro + p.bonus_micro;
BEGIN
  PERFORM freeside.open_payment_accounts(p.community_id);
  INSERT INTO freeside.credit_lots (community_id, source, source_ref, original_micro, remaining_micro, expires_at)
  VALUES (p.community_id, 'purchase', 'payment:' || p.id, remaining, remaining, NULL)
  RETURNING id INTO lot;
  PERFORM freeside.post_entry(p.community_id, 'crypto_receipts', 'available', p.credits_micro, 'mint', NULL, lot);
  PERFORM freeside.post_entry(p.community_id, 'bonus', 'available', p.bonus_micro, 'bonus', NULL, lot);
  UPDATE freeside.crypto_payments c
  SET credits_minted_at = now(), credits_mint_event_id = mint_event, lot_id = lot
  WHERE c.id = p.id AND c.credits_minted_at IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'payment % was minted before', p.id USING ERRCODE = 'unique_violation';
  END IF;
  INSERT INTO freeside.payment_events
    (crypto_payment_id, kind, amount_micro, source, operator, reason, delivery_id)
  VALUES (p.id, 'minted', remaining, from_source, by_operator, because, from_delivery);

  minted_micro := remaining;
  debt_paid_micro := 0;
  FOR debt IN
    SELECT d.id, d.crypto_payment_id, d.amount_micro - d.paid_micro AS owed FROM freeside.community_debts d
    WHERE d.community_id = p.community_id AND d.paid_micro < d.amount_micro ORDER BY d.id FOR UPDATE
  LOOP
    EXIT WHEN remaining = 0;
    share := LEAST(debt.owed, remaining);
    remaining := remaining - share;
    debt_paid_micro := debt_paid_micro + share;
    UPDATE freeside.community_debts d SET paid_micro = d.paid_micro + share WHERE d.id = debt.id;
    UPDATE freeside.credit_lots l SET remaining_micro = l.remaining_micro - share WHERE l.id = lot;
    INSERT INTO freeside.credit_lot_adjustments (lot_id, community_id, amount_micro, reason)
    VALUES (lot, p.community_id, -share, 'debt_payment');
    PERFORM freeside.post_entry(p.community_id, 'available', 'refunded', share, 'debt_payment', NULL, lot);
    INSERT INTO freeside.payment_events
      (crypto_payment_id, kind, amount_micro, source, operator, reason, delivery_id)
    VALUES (debt.crypto_payment_id, 'debt_paid', share, from_source, by_operator, because, from_delivery);
  END LOOP;
  RETURN NEXT;
END
$$;

-- Under the locks of its caller. Takes back what is left of the lot and available; the rest is owed.
CREATE FUNCTION freeside.refund_payment(
  p freeside.crypto_payments, from_source text, by_operator text, because text, from_delivery bigint
) RETURNS TABLE (refunded_micro bigint, debt_micro bigint) LANGUAGE plpgsql AS $$
DECLARE
  lot freeside.credit_lots;
BEGIN
  SELECT l.* INTO lot FROM freeside.credit_lots l WHERE l.id = p.lot_id;
  -- What holds have taken is not available: should they give it back, the debt stands all the same.
  SELECT LEAST(lot.remaining_micro, a.balance_micro) INTO refunded_micro FROM freeside.accounts a
  WHERE a.community_id = p.community_id AND a.kind = 'available';
  debt_micro := lot.original_micro - refunded_micro;
  IF refunded_micro > 0 THEN
    UPDATE freeside.credit_lots l SET remaining_micro = l.remaining_micro - refunded_micro WHERE l.id = lot.id;
    INSERT INTO freeside.credit_lot_adjustments (lot_id, community_id, amount_micro, reason)
    VALUES (lot.id, p.community_id, -refunded_micro, 'refund');
    PERFORM freeside.post_entry(p.community_id, 'available', 'refunded', refunded_micro, 'refund', NULL, lot.id);
  END IF;
  UPDATE freeside.crypto_payments c SET credits_refunded_at = now()
  WHERE c.id = p.id AND c.credits_minted_at IS NOT NULL AND c.credits_refunded_at IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'payment % has nothing to refund', p.id USING ERRCODE = 'check_violation';
  END IF;
  INSERT INTO freeside.payment_events
    (crypto_payment_id, kind, amount_micro, source, operator, reason, delivery_id)
  VALUES (p.id, 'refunded', refunded_micro, from_source, by_operator, because, from_delivery);
  IF debt_micro > 0 THEN
    INSERT INTO freeside.community_debts (community_id, crypto_payment_id, amount_micro)
    VALUES (p.community_id, p.id, debt_micro);
    INSERT INTO freeside.payment_events
      (crypto_payment_id, kind, amount_micro, source, operator, reason, delivery_id)
    VALUES (p.id, 'indebted', debt_micro, from_source, by_operator, because, from_delivery);
  END IF;
  RETURN NEXT;
END
$$;

-- Moves a payment along the table and does what its new status means. Under the lock of its caller.
CREATE FUNCTION freeside.advance_payment(
  of_payment uuid, new_status text, vendor_payment text, from_source text, by_operator text, because text,
  from_delivery bigint
) RETURNS TABLE (minted_micro bigint, debt_paid_micro bigint, refunded_micro bigint, debt_micro bigint)
LANGUAGE plpgsql AS $$
DECLARE
  p freeside.crypto_payments;
BEGIN
  SELECT c.* INTO p FROM freeside.crypto_payments c WHERE c.id = of_payment;
  IF NOT EXISTS (SELECT 1 FROM freeside.payment_transitions t
                 WHERE t.from_status = p.status AND t.to_status = new_status) THEN
    RAISE EXCEPTION 'a payment that is % does not become %', p.status, new_status USING ERRCODE = 'check_violation';
  END IF;
  IF new_status IN ('finished', 'refunded') THEN
    PERFORM freeside.lock_communities(ARRAY[p.community_id]);
  END IF;
  -- An operator may have credited it, or taken it back, before the vendor said so.
  IF new_status = 'finished' AND p.credits_minted_at IS NULL THEN
    SELECT m.minted_micro, m.debt_paid_micro INTO minted_micro, debt_paid_micro
    FROM freeside.mint_payment(p, 'nowpayments:' || vendor_payment, from_source, by_operator, because, from_delivery) m;
  END IF;
  IF new_status = 'refunded' AND p.credits_refunded_at IS NULL THEN
    SELECT r.refunded_micro, r.debt_micro INTO refunded_micro, debt_micro
    FROM freeside.refund_payment(p, from_source, by_operator, because, from_delivery) r;
  END IF;
  UPDATE freeside.crypto_payments c SET status = s.status, status_rank = s.status_rank
  FROM freeside.payment_statuses s WHERE s.status = new_status AND c.id = of_payment;
  INSERT INTO freeside.payment_events
    (crypto_payment_id, kind, from_status, to_status, source, operator, reason, delivery_id)
  VALUES (of_payment, 'advanced', p.status, new_status, from_source, by_operator, because, from_delivery);
  RETURN NEXT;
END
$$;

-- One case waits for each deposit and reason, at the furthest status that was told of it: a later one
-- takes the place of the earlier, as a case of its own, so that nobody resolves what they didn't see.
-- False when there was one of that status or beyond, open or resolved.
CREATE FUNCTION freeside.open_review(
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

-- Applies what decide() made of a report, if it was made on the version that stands: otherwise nothing
-- happens, is_applied is false and the caller decides again. pause_seconds above 0: this payment was
-- told of too often, and nothing happened either.
CREATE FUNCTION freeside.apply_payment_decision(
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

-- An operator's word on a payment: mint, ignore or refund, with a name and a reason, for one review or
-- (of_review NULL) for the payment itself. The same guards stand as for the vendor's reports. What is
-- minted for another vendor payment than the one that was credited becomes a payment of its own.
-- outcomes: done | not_found | resolved_before | minted_before | nothing_to_refund
CREATE FUNCTION freeside.resolve_payment(
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

-- As in 068, with the purchases.
CREATE OR REPLACE VIEW freeside.conservation_full AS
SELECT q.community_id, q.equation, q.expected_micro, q.actual_micro, q.drift_micro FROM freeside.conservation_quick q
UNION ALL
SELECT a.community_id, 'balance of ' || a.kind || ' = its entries', COALESCE(e.net, 0), a.balance_micro,
  a.balance_micro - COALESCE(e.net, 0)
FROM freeside.accounts a
LEFT JOIN (
  SELECT m.account_id, sum(m.amount) AS net
  FROM freeside.ledger_entries le
  CROSS JOIN LATERAL (VALUES (le.from_account_id, -le.amount_micro), (le.to_account_id, le.amount_micro)) AS m (account_id, amount)
  GROUP BY m.account_id
) e ON e.account_id = a.id
UNION ALL
SELECT s.community_id, 'minted + crypto receipts + bonus = lots', COALESCE(l.original, 0), s.sources,
  s.sources - COALESCE(l.original, 0)
FROM (SELECT a.community_id, -sum(a.balance_micro) AS sources FROM freeside.accounts a
      WHERE a.kind IN ('minted', 'crypto_receipts', 'bonus') GROUP BY 1) s
LEFT JOIN (SELECT c.community_id, sum(c.original_micro) AS original FROM freeside.credit_lots c GROUP BY 1) l
  ON l.community_id = s.community_id
UNION ALL
SELECT a.community_id, a.kind || ' = payments that were credited',
  COALESCE(CASE a.kind WHEN 'bonus' THEN c.bonus ELSE c.paid END, 0), -a.balance_micro,
  -a.balance_micro - COALESCE(CASE a.kind WHEN 'bonus' THEN c.bonus ELSE c.paid END, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT x.community_id, sum(x.credits_micro) AS paid, sum(x.bonus_micro) AS bonus
           FROM freeside.crypto_payments x WHERE x.credits_minted_at IS NOT NULL GROUP BY 1) c
  ON c.community_id = a.community_id
WHERE a.kind IN ('crypto_receipts', 'bonus')
UNION ALL
SELECT a.community_id, 'refunded = refunds and debts paid', COALESCE(d.taken, 0), a.balance_micro,
  a.balance_micro - COALESCE(d.taken, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT x.community_id, -sum(x.amount_micro) AS taken FROM freeside.credit_lot_adjustments x
           WHERE x.reason IN ('refund', 'debt_payment') GROUP BY 1) d ON d.community_id = a.community_id
WHERE a.kind = 'refunded'
UNION ALL
SELECT a.community_id, 'debts paid = what later purchases gave', COALESCE(d.given, 0), COALESCE(o.paid, 0),
  COALESCE(o.paid, 0) - COALESCE(d.given, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT x.community_id, -sum(x.amount_micro) AS given FROM freeside.credit_lot_adjustments x
           WHERE x.reason = 'debt_payment' GROUP BY 1) d ON d.community_id = a.community_id
LEFT JOIN (SELECT x.community_id, sum(x.paid_micro) AS paid FROM freeside.community_debts x GROUP BY 1) o
  ON o.community_id = a.community_id
WHERE a.kind = 'refunded'
UNION ALL
SELECT p.community_id, 'refund of payment ' || p.id || ' = taken back + owed', p.credits_micro + p.bonus_micro,
  COALESCE(d.taken, 0) + COALESCE(o.amount_micro, 0),
  COALESCE(d.taken, 0) + COALESCE(o.amount_micro, 0) - p.credits_micro - p.bonus_micro
FROM freeside.crypto_payments p
LEFT JOIN (SELECT x.lot_id, -sum(x.amount_micro) AS taken FROM freeside.credit_lot_adjustments x
           WHERE x.reason = 'refund' GROUP BY 1) d ON d.lot_id = p.lot_id
LEFT JOIN freeside.community_debts o ON o.crypto_payment_id = p.id
WHERE p.credits_refunded_at IS NOT NULL
UNION ALL
SELECT a.community_id, 'spent = charges of reservations', COALESCE(r.charged, 0), a.balance_micro,
  a.balance_micro - COALESCE(r.charged, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT b.community_id, sum(b.charge_micro) AS charged FROM freeside.budget_reservations b GROUP BY 1) r
  ON r.community_id = a.community_id
WHERE a.kind = 'spent'
UNION ALL
SELECT a.community_id, 'spent = spend events and corrections', COALESCE(s.charged, 0) + COALESCE(c.corrected, 0), a.balance_micro,
  a.balance_micro - COALESCE(s.charged, 0) - COALESCE(c.corrected, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT e.community_id, sum(e.charge_micro) AS charged FROM freeside.spend_events e GROUP BY 1) s
  ON s.community_id = a.community_id
LEFT JOIN (SELECT e.community_id, sum(e.charge_micro - e.previous_charge_micro) AS corrected
           FROM freeside.spend_corrections e GROUP BY 1) c ON c.community_id = a.community_id
WHERE a.kind = 'spent'
UNION ALL
SELECT l.community_id, 'lot ' || l.id || ' = its allocations and adjustments',
  l.original_micro - COALESCE(al.amount, 0) + COALESCE(ad.amount, 0), l.remaining_micro,
  l.remaining_micro - (l.original_micro - COALESCE(al.amount, 0) + COALESCE(ad.amount, 0))
FROM freeside.credit_lots l
LEFT JOIN (SELECT x.lot_id, sum(x.amount_micro) AS amount FROM freeside.credit_lot_allocations x GROUP BY 1) al ON al.lot_id = l.id
LEFT JOIN (SELECT x.lot_id, sum(x.amount_micro) AS amount FROM freeside.credit_lot_adjustments x GROUP BY 1) ad ON ad.lot_id = l.id;

REVOKE EXECUTE ON FUNCTION
  freeside.create_payment(uuid, uuid, uuid, text, text),
  freeside.record_invoice(uuid, text, text),
  freeside.keep_delivery(text, text, text, jsonb, bytea),
  freeside.delivery_pause(text),
  freeside.open_payment_accounts(uuid),
  freeside.mint_payment(freeside.crypto_payments, text, text, text, text, bigint),
  freeside.refund_payment(freeside.crypto_payments, text, text, text, bigint),
  freeside.advance_payment(uuid, text, text, text, text, text, bigint),
  freeside.open_review(uuid, text, text, text, bigint),
  freeside.apply_payment_decision(uuid, integer, text, jsonb, bytea, text, text, text, timestamptz, text, text, boolean, text),
  freeside.resolve_payment(uuid, bigint, text, text, text, uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  freeside.create_payment(uuid, uuid, uuid, text, text),
  freeside.record_invoice(uuid, text, text),
  freeside.keep_delivery(text, text, text, jsonb, bytea),
  freeside.delivery_pause(text),
  freeside.apply_payment_decision(uuid, integer, text, jsonb, bytea, text, text, text, timestamptz, text, text, boolean, text),
  freeside.resolve_payment(uuid, bigint, text, text, text, uuid)
TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
-- The text of 068.
DROP VIEW freeside.conservation_full;
CREATE VIEW freeside.conservation_full AS
SELECT q.community_id, q.equation, q.expected_micro, q.actual_micro, q.drift_micro FROM freeside.conservation_quick q
UNION ALL
SELECT a.community_id, 'balance of ' || a.kind || ' = its entries', COALESCE(e.net, 0), a.balance_micro,
  a.balance_micro - COALESCE(e.net, 0)
FROM freeside.accounts a
LEFT JOIN (
  SELECT m.account_id, sum(m.amount) AS net
  FROM freeside.ledger_entries le
  CROSS JOIN LATERAL (VALUES (le.from_account_id, -le.amount_micro), (le.to_account_id, le.amount_micro)) AS m (account_id, amount)
  GROUP BY m.account_id
) e ON e.account_id = a.id
UNION ALL
SELECT a.community_id, 'minted = lots', COALESCE(l.original, 0), -a.balance_micro, -a.balance_micro - COALESCE(l.original, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT c.community_id, sum(c.original_micro) AS original FROM freeside.credit_lots c GROUP BY 1) l
  ON l.community_id = a.community_id
WHERE a.kind = 'minted'
UNION ALL
SELECT a.community_id, 'spent = charges of reservations', COALESCE(r.charged, 0), a.balance_micro,
  a.balance_micro - COALESCE(r.charged, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT b.community_id, sum(b.charge_micro) AS charged FROM freeside.budget_reservations b GROUP BY 1) r
  ON r.community_id = a.community_id
WHERE a.kind = 'spent'
UNION ALL
SELECT a.community_id, 'spent = spend events and corrections', COALESCE(s.charged, 0) + COALESCE(c.corrected, 0), a.balance_micro,
  a.balance_micro - COALESCE(s.charged, 0) - COALESCE(c.corrected, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT e.community_id, sum(e.charge_micro) AS charged FROM freeside.spend_events e GROUP BY 1) s
  ON s.community_id = a.community_id
LEFT JOIN (SELECT e.community_id, sum(e.charge_micro - e.previous_charge_micro) AS corrected
           FROM freeside.spend_corrections e GROUP BY 1) c ON c.community_id = a.community_id
WHERE a.kind = 'spent'
UNION ALL
SELECT l.community_id, 'lot ' || l.id || ' = its allocations and adjustments',
  l.original_micro - COALESCE(al.amount, 0) + COALESCE(ad.amount, 0), l.remaining_micro,
  l.remaining_micro - (l.original_micro - COALESCE(al.amount, 0) + COALESCE(ad.amount, 0))
FROM freeside.credit_lots l
LEFT JOIN (SELECT x.lot_id, sum(x.amount_micro) AS amount FROM freeside.credit_lot_allocations x GROUP BY 1) al ON al.lot_id = l.id
LEFT JOIN (SELECT x.lot_id, sum(x.amount_micro) AS amount FROM freeside.credit_lot_adjustments x GROUP BY 1) ad ON ad.lot_id = l.id;
GRANT SELECT ON freeside.conservation_full TO freeside_app;

DROP FUNCTION freeside.resolve_payment(uuid, bigint, text, text, text, uuid);
DROP FUNCTION freeside.apply_payment_decision(uuid, integer, text, jsonb, bytea, text, text, text, timestamptz, text, text, boolean, text);
DROP FUNCTION freeside.open_review(uuid, text, text, text, bigint);
DROP FUNCTION freeside.advance_payment(uuid, text, text, text, text, text, bigint);
DROP FUNCTION freeside.refund_payment(freeside.crypto_payments, text, text, text, bigint);
DROP FUNCTION freeside.mint_payment(freeside.crypto_payments, text, text, text, text, bigint);
DROP FUNCTION freeside.open_payment_accounts(uuid);
DROP FUNCTION freeside.delivery_pause(text);
DROP FUNCTION freeside.keep_delivery(text, text, text, jsonb, bytea);
DROP FUNCTION freeside.record_invoice(uuid, text, text);
DROP FUNCTION freeside.create_payment(uuid, uuid, uuid, text, text);

-- The narrow checks hold for what comes; what purchases have written stays in the books.
ALTER TABLE freeside.credit_lot_adjustments
  DROP CONSTRAINT credit_lot_adjustments_reason_check,
  ADD CONSTRAINT credit_lot_adjustments_reason_check CHECK
    (reason IN ('usage_correction', 'expiry', 'refund')) NOT VALID;
ALTER TABLE freeside.ledger_entries
  DROP CONSTRAINT ledger_entries_kind_check,
  ADD CONSTRAINT ledger_entries_kind_check CHECK (kind IN
    ('mint', 'hold', 'capture', 'release', 'late_capture', 'write_off', 'correction', 'expiry')) NOT VALID;
ALTER TABLE freeside.accounts
  DROP CONSTRAINT accounts_kind,
  DROP CONSTRAINT accounts_balance_sign,
  ADD CONSTRAINT accounts_kind CHECK (kind IN
    ('minted', 'absorbed', 'available', 'held', 'spent', 'expired', 'written_off')) NOT VALID,
  ADD CONSTRAINT accounts_balance_sign CHECK (
    CASE WHEN kind IN ('minted', 'absorbed') THEN balance_micro <= 0 ELSE balance_micro >= 0 END) NOT VALID;
