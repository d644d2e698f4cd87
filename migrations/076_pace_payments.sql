-- Why: three things about how often payments are made and the vendor is asked.
--
-- create_payment() of 073 looked for the pack first: a repeated key whose pack had left the newest version
-- was told that there is no such pack, although it was bought. The key is looked up first now.
--
-- Each new key wrote a row that stays for good and called the vendor with the platform's only API key,
-- as often as anybody liked. Twenty checkouts of an hour that nobody has opened are enough for a
-- community: then pause_seconds says when the oldest of them is an hour old. Checkouts that begin at
-- the same moment don't see each other and may exceed it by as many as there are at once; a lock would
-- make buyers of a community wait for each other to save a few rows.
--
-- When the vendor may be asked next was in the memory of each replica, so that one replica heard "not
-- within five minutes" and the other asked within seconds. It is here now, by this database's clock,
-- with the payment that was asked about last, so that each gets its turn whichever replica goes on.
--
-- Lock: none but on the function; one new table. Not breaking: callers name the columns that they read.

-- Up Migration
SET LOCAL lock_timeout = '5s';

-- One row. Read and written by whoever holds the advisory lock of the reconciliation; no book of money.
CREATE TABLE freeside.payment_poll_pace (
  is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  due_at        timestamptz NOT NULL DEFAULT '-infinity',
  sweep_due_at  timestamptz NOT NULL DEFAULT '-infinity',
  -- Answers of 429 since the last round that came to its end.
  busy_in_a_row integer NOT NULL DEFAULT 0 CHECK (busy_in_a_row >= 0),
  -- Of those with a number at the vendor; the next round goes on after it. Payments are never removed.
  asked_last    uuid
);
INSERT INTO freeside.payment_poll_pace DEFAULT VALUES;
GRANT SELECT, UPDATE (due_at, sweep_due_at, busy_in_a_row, asked_last) ON freeside.payment_poll_pace
  TO freeside_app;

-- Its row type grows by a column, which no replacement may do.
DROP FUNCTION freeside.create_payment(uuid, uuid, uuid, text, text);

-- Creates a payment once per community and idempotency key, at the pack's newest version in effect. A
-- second call returns the first payment; is_same tells whether it asked for the same pack. id is NULL
-- when there is no such pack, and when pause_seconds is above 0.
CREATE FUNCTION freeside.create_payment(
  new_id uuid, of_community uuid, of_user uuid, key text, pack text,
  OUT id uuid, OUT created boolean, OUT is_same boolean, OUT pause_seconds integer
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen freeside.credit_packs;
BEGIN
  created := false;
  pause_seconds := 0;
  SELECT c.id, c.pack_id = pack INTO create_payment.id, is_same FROM freeside.crypto_payments c
  WHERE c.community_id = of_community AND c.idempotency_key = key;
  IF FOUND THEN
    RETURN;
  END IF;
  SELECT p.* INTO chosen FROM freeside.credit_packs p
  WHERE p.id = pack AND p.version =
    (SELECT max(v.version) FROM freeside.credit_pack_versions v WHERE v.effective_at <= now());
  IF chosen.id IS NULL THEN
    RETURN;
  END IF;
  SELECT GREATEST(1, ceil(extract(epoch FROM c.created_at + interval '1 hour' - now())))::integer
  INTO pause_seconds FROM freeside.crypto_payments c
  WHERE c.community_id = of_community AND c.created_at > now() - interval '1 hour'
    AND c.status = 'waiting' AND c.payment_id IS NULL
  ORDER BY c.created_at DESC OFFSET 19 LIMIT 1;
  IF FOUND THEN
    RETURN;
  END IF;
  pause_seconds := 0;
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
  -- The same key, at the same moment.
  SELECT c.id, c.pack_id = pack INTO create_payment.id, is_same FROM freeside.crypto_payments c
  WHERE c.community_id = of_community AND c.idempotency_key = key;
END
$$;
REVOKE EXECUTE ON FUNCTION freeside.create_payment(uuid, uuid, uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION freeside.create_payment(uuid, uuid, uuid, text, text) TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';

DROP TABLE freeside.payment_poll_pace;

-- The text of 073.
DROP FUNCTION freeside.create_payment(uuid, uuid, uuid, text, text);
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
REVOKE EXECUTE ON FUNCTION freeside.create_payment(uuid, uuid, uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION freeside.create_payment(uuid, uuid, uuid, text, text) TO freeside_app;
