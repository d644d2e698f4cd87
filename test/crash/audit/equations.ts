import type { Community, Verdict } from '../types.ts';
import { isOverdrawn, sumOf, type Books, type Settled } from './books.ts';
import { Findings } from './findings.ts';

export const ENTRIES = 'entries sum to zero, and each balance is the sum of its entries';
export const CONSERVATION =
  'what was granted and bought = balances + held + spent + expired + refunded, per community and in total';
export const OVERDRAFT = 'no account is overdrawn';
export const LOTS = 'lots agree with accounts and with what was taken from them';
export const VIEWS = 'conservation_full shows no drift';
export const TERMINAL = 'every hold ended in exactly one terminal state, and moved its money once';

/** Where credits are that were granted or bought. */
const STANDS_THERE = ['available', 'held', 'spent', 'expired', 'refunded'] as const;
const TERMINAL_STATES = new Set(['finalized', 'released', 'orphan_released']);

/** The sums, added up again here from the rows and not by the views that our worker asks. */
export function auditEquations(
  books: Books,
  settled: ReadonlyMap<string, Settled>,
  communities: readonly Community[],
): Verdict[] {
  return [
    auditEntries(books),
    auditConservation(books, communities),
    auditOverdrafts(books),
    auditLots(books),
    auditViews(books),
    auditTerminal(settled),
  ];
}

function auditEntries(books: Books): Verdict {
  const findings = new Findings(ENTRIES);
  const nets = new Map<string, bigint>();
  const add = (account: string, amount: bigint): void =>
    void nets.set(account, (nets.get(account) ?? 0n) + amount);
  for (const entry of books.entries) {
    const { from_kind: from, to_kind: to, community_id: community } = entry;
    const isOwn = entry.from_community === community && entry.to_community === community;
    if (from === null || to === null || !isOwn) {
      findings.violated(`an entry of ${community} moves what is not its own`, {
        communityId: community,
      });
      continue;
    }
    add(`${community}/${from}`, -entry.amount_micro);
    add(`${community}/${to}`, entry.amount_micro);
  }
  const total = sumOf([...nets.values()], (net) => net);
  if (total !== 0n) findings.violated(`all entries together make ${total}`);
  for (const { community_id: communityId, kind, balance_micro: balance } of books.accounts) {
    const net = nets.get(`${communityId}/${kind}`) ?? 0n;
    if (net === balance) continue;
    findings.violated(`${kind} of ${communityId} is ${balance}, its entries make ${net}`, {
      communityId,
    });
  }
  return findings.verdict(`${books.entries.length} entries, ${books.accounts.length} accounts`);
}

function auditConservation(books: Books, communities: readonly Community[]): Verdict {
  const findings = new Findings(CONSERVATION);
  const byCommunity = Map.groupBy(books.accounts, (account) => account.community_id);
  let total = 0n;
  let minted = 0n;
  for (const { id: communityId, slug, fundedMicro } of communities) {
    const balances = new Map(
      (byCommunity.get(communityId) ?? []).map((row) => [row.kind, row.balance_micro]),
    );
    const of = (kind: string): bigint => balances.get(kind) ?? 0n;
    const there = sumOf(STANDS_THERE, of);
    const given = -of('minted') - of('crypto_receipts') - of('bonus');
    minted += given;
    total += there + of('written_off') + of('absorbed');
    if (given !== there || -of('minted') !== fundedMicro) {
      const sums = STANDS_THERE.map((kind) => `${kind} ${of(kind)}`).join(' + ');
      findings.violated(
        `${slug}: funded ${fundedMicro}, minted ${-of('minted')}, with purchases ${given}, but ${sums} = ${there}`,
        { communityId },
      );
    }
    if (-of('absorbed') !== of('written_off')) {
      findings.violated(`${slug}: absorbed ${-of('absorbed')}, written off ${of('written_off')}`, {
        communityId,
      });
    }
  }
  if (total !== minted) findings.violated(`in total ${total} of ${minted}`);
  return findings.verdict(`${minted} granted or bought for ${communities.length} communities`);
}

function auditOverdrafts(books: Books): Verdict {
  const findings = new Findings(OVERDRAFT);
  for (const { community_id: communityId, kind, balance_micro: balance } of books.accounts) {
    if (isOverdrawn({ kind, balance_micro: balance }))
      findings.violated(`${kind} of ${communityId} is ${balance}`, { communityId });
  }
  return findings.verdict(`${books.accounts.length} accounts`);
}

function auditLots(books: Books): Verdict {
  const findings = new Findings(LOTS);
  const remaining = new Map<string, bigint>();
  for (const lot of books.lots) {
    const communityId = lot.community_id;
    remaining.set(communityId, (remaining.get(communityId) ?? 0n) + lot.remaining_micro);
    const expected = lot.original_micro - lot.allocated_micro + lot.adjusted_micro;
    if (lot.remaining_micro === expected && expected >= 0n) continue;
    findings.violated(`lot ${lot.id} has ${lot.remaining_micro}, should have ${expected}`, {
      communityId,
    });
  }
  for (const [communityId, accounts] of Map.groupBy(books.accounts, (row) => row.community_id)) {
    const unspent = sumOf(
      accounts.filter(({ kind }) => kind === 'available' || kind === 'held'),
      (row) => row.balance_micro,
    );
    if (unspent === (remaining.get(communityId) ?? 0n)) continue;
    findings.violated(
      `${communityId} has ${unspent} unspent and ${remaining.get(communityId) ?? 0n} in lots`,
      { communityId },
    );
  }
  return findings.verdict(`${books.lots.length} lots`);
}

function auditViews(books: Books): Verdict {
  const findings = new Findings(VIEWS);
  for (const { community_id: communityId, equation, drift } of books.drift) {
    findings.violated(`${communityId}: ${equation}: off by ${drift}`, { communityId });
  }
  return findings.verdict('every row balances');
}

/** In and out of `held` exactly once, whole; what came out went where the state says. */
function auditTerminal(settled: ReadonlyMap<string, Settled>): Verdict {
  const findings = new Findings(TERMINAL);
  const states = new Map<string, number>();
  for (const { reservation, entries, spends } of settled.values()) {
    const { id: reservationId, community_id: communityId, status } = reservation;
    states.set(status, (states.get(status) ?? 0) + 1);
    const broken = { communityId, reservationId };
    if (!TERMINAL_STATES.has(status)) findings.violated(`${reservationId} is ${status}`, broken);
    const moved = (kind: string): bigint =>
      sumOf(
        entries.filter((entry) => entry.kind === kind),
        (entry) => entry.amount_micro,
      );
    const { hold_micro: hold } = reservation;
    const out = moved('capture') + moved('release');
    if (moved('hold') !== hold || (TERMINAL_STATES.has(status) && out !== hold)) {
      findings.violated(
        `${reservationId} held ${hold}, moved ${moved('hold')} in and ${out} out`,
        broken,
      );
    }
    if (spends.length > 1) {
      findings.violated(`${reservationId} has ${spends.length} spend events`, broken);
    }
  }
  const figures = [...states].map(([status, count]) => `${count} ${status}`).join(', ');
  return findings.verdict(figures);
}
