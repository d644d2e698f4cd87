-- Why: expire_lots() of 067 looked for the communities to lock and then, in a newer snapshot, for the lots.
-- A lot to which something came back in between belonged to a community that it had not locked, and
-- its balance was read without the lock that every other writer holds.
-- Lock: none but on the function. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION freeside.expire_lots(at_most integer)
RETURNS TABLE (community_id uuid, lot_id uuid, expired_micro bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  lot record;
  take bigint;
  locked uuid[] := ARRAY(
    SELECT DISTINCT l.community_id FROM freeside.credit_lots l WHERE l.remaining_micro > 0 AND l.expires_at <= now());
BEGIN
  PERFORM freeside.lock_communities(locked);
  FOR lot IN
    SELECT l.id, l.community_id, l.remaining_micro FROM freeside.credit_lots l
    WHERE l.remaining_micro > 0 AND l.expires_at <= now() AND l.community_id = ANY (locked)
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

-- The text of 067.
CREATE OR REPLACE FUNCTION freeside.expire_lots(at_most integer)
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
