import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { faultsOf, poolModels } from '../gates/inference.ts';
import { CRITICAL_ALERTS, withViolations } from './alert-rules.domain.ts';
import {
  balanceFaults,
  fallFaults,
  parseBalance,
  parseReceipt,
  receiptFaults,
} from './books.domain.ts';
import { judge } from './finn-door.ts';
import { readStream } from './freeside.client.ts';
import { replicasOf, type SliceView } from './replicas.domain.ts';
import { previousRevision } from './revisions.domain.ts';

describe('a streamed answer', () => {
  const stream = [
    'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}',
    'data: {"choices":[{"delta":{"content":"Sand."},"finish_reason":null}],"usage":null}',
    'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}',
    'data: {"choices":[],"usage":{"completion_tokens":2}}',
    'data: [DONE]',
  ];
  const read = (lines: readonly string[]) => ({
    status: 200,
    requestId: 'r',
    poolUsed: 'cheap',
    ...readStream(lines.join('\n\n')),
  });
  const faults = (lines: readonly string[]) =>
    faultsOf({ pool: 'cheap', model: 'x@cheap' }, read(lines));

  it('is whole with text, end and usage', () => {
    expect(read(stream)).toMatchObject({ deltas: 1, completionTokens: 2, finishReason: 'stop' });
    expect(faults(stream)).toEqual([]);
  });

  it.each<[string, readonly number[], string]>([
    ['without its end', [4], 'the stream has no end'],
    ['without its usage', [3], 'no tokens were counted'],
    ['without text', [1], 'no text came'],
  ])('is none %s', (_, left, fault) => {
    expect(faults(stream.filter((_line, at) => !left.includes(at)))).toContain(fault);
  });

  it('is none when it broke off, or another pool answered', () => {
    expect(
      faults([...stream.slice(0, 2), 'data: {"error":{"code":"inference_failed"}}']),
    ).toContain('broke off with inference_failed');
    expect(faultsOf({ pool: 'flagship', model: 'x' }, read(stream))).toEqual([
      'cheap answered instead',
    ]);
    expect(faultsOf({ pool: 'cheap', model: 'x' }, { ...read(stream), status: 503 })).toEqual([
      '503',
    ]);
  });

  it('is asked of each pool once, cheapest first', () => {
    const models = ['b', 'b@standard', 'b@cheap', 'a@cheap', 'a@nonsense'].map((id) => ({ id }));
    expect(poolModels(models)).toEqual([
      { pool: 'cheap', model: 'b@cheap' },
      { pool: 'standard', model: 'b@standard' },
    ]);
    expect(poolModels('nothing')).toEqual([]);
  });
});

describe('the books', () => {
  const balance = {
    available: '5',
    held: '1',
    spent: '3',
    expired: '1',
    refunded: '2',
    minted: '12',
  };
  const receipt = {
    requestId: 'r',
    status: 'finalized',
    hold: '9',
    charge: '4',
    writtenOff: '0',
    completionTokens: 2,
  };
  const faults = (changes: object) => receiptFaults(parseReceipt({ ...receipt, ...changes })!);

  it('balance when everything minted is somewhere', () => {
    expect(balanceFaults(parseBalance(balance)!)).toEqual([]);
    expect(balanceFaults(parseBalance({ ...balance, spent: '4' })!)).toHaveLength(1);
    expect(parseBalance({ ...balance, spent: 3 })).toBeUndefined();
    expect(parseBalance({ ...balance, held: undefined })).toBeUndefined();
  });

  it('fell by no less than the receipts charge', () => {
    expect(fallFaults(4n, 4n)).toEqual([]);
    expect(fallFaults(4n, 9n)).toEqual([]);
    expect(fallFaults(4n, 3n)).toEqual(['receipts say 4, the balance fell by 3']);
  });

  it('accept a receipt that charges something within its hold', () => {
    expect(faults({})).toEqual([]);
    expect(faults({ charge: '9' })).toEqual([]);
    expect(faults({ charge: '10' })).toEqual(['receipt r charges more than was held']);
    expect(faults({ charge: '0' })).toEqual(['receipt r charges nothing']);
    expect(faults({ writtenOff: '1' })).toEqual(['receipt r was not paid in full']);
    expect(faults({ completionTokens: null })).toEqual(['receipt r counts no tokens']);
    expect(faults({ status: 'released' })).toHaveLength(1);
    expect(parseReceipt({ ...receipt, charge: '-1' })).toBeUndefined();
  });
});

describe("finn's door", () => {
  const answer = (expected: 200 | 401, status: number | null) =>
    Object.keys(judge({ finn: 'f', of: 'x', expected, status }));

  it.each<[200 | 401, number | null, string[]]>([
    [401, 401, []],
    [200, 200, []],
    [401, 200, ['wrong']],
    [200, 401, ['wrong']],
    [401, 503, ['unclear']],
    [401, null, ['unclear']],
    [200, 404, ['unclear']],
  ])('expected %s, answered %s', (expected, status, keys) => {
    expect(answer(expected, status)).toEqual(keys);
  });
});

describe('the alert for the books', () => {
  it('is asked with a violation in the place of its metric', () => {
    const series = 'label_replace(vector(1), "depth", "quick", "", "")';
    expect(withViolations('max by (depth) (freeside_conservation_violations) > 0', 1)).toBe(
      `max by (depth) (${series}) > 0`,
    );
    expect(withViolations('freeside_conservation_violations{depth="quick"} > 0', 1)).toBe(
      `${series} > 0`,
    );
  });

  it('that watches something else is not asked at all', () => {
    expect(withViolations('vector(1) > 0', 1)).toBeUndefined();
    expect(withViolations('my_freeside_conservation_violations > 0', 1)).toBeUndefined();
    expect(withViolations('freeside_conservation_violations_total > 0', 1)).toBeUndefined();
  });

  it('is among the critical alerts of the rule file, which are all expected', async () => {
    const file = join(import.meta.dirname, '../../../../ops/prometheus/rules.yaml');
    const rules = (await readFile(file, 'utf8')).split('- alert: ').slice(1);
    const critical = rules
      .filter((rule) => rule.includes('severity: critical'))
      .map((rule) => rule.split('\n')[0]!.trim());
    expect([...new Set(critical)].sort()).toEqual([...CRITICAL_ALERTS].sort());
  });
});

describe('replicas in a cluster', () => {
  const endpoint = { address: '10.0.0.1', pod: 'finn-1', isReady: true, isTerminating: false };
  const slice: SliceView = {
    component: 'finn',
    ports: [
      { name: 'http', port: 3001 },
      { name: 'admin', port: 9302 },
    ],
    endpoints: [endpoint],
  };

  it('are reached one by one', () => {
    const other = { ...endpoint, address: 'fd00::2', pod: 'finn-2' };
    expect(replicasOf([{ ...slice, endpoints: [endpoint, other] }, slice], ['finn'])).toEqual({
      adminUrls: ['http://10.0.0.1:9302', 'http://[fd00::2]:9302'],
      finnUrls: ['http://10.0.0.1:3001', 'http://[fd00::2]:3001'],
      missing: [],
      from: 'cluster',
    });
  });

  it('that are not ready are missed, those that leave are not', () => {
    const unready = { ...endpoint, pod: 'finn-2', address: '10.0.0.2', isReady: false };
    const leaving = { ...unready, pod: 'finn-3', isTerminating: true };
    const view = replicasOf([{ ...slice, endpoints: [endpoint, unready, leaving] }], ['finn']);
    expect(view.missing).toEqual(['finn-2 is not ready']);
  });

  it('of a component that nobody knows are missed', () => {
    expect(replicasOf([slice], ['finn', 'freeside-api']).missing).toEqual([
      'freeside-api has no ready replica',
    ]);
  });

  it('behind one Service a port are found once', () => {
    const http = { ...slice, ports: [{ name: 'http', port: 4001 }] };
    const admin = { ...slice, ports: [{ name: 'admin', port: 4302 }] };
    expect(replicasOf([http, admin], ['finn'])).toMatchObject({
      adminUrls: ['http://10.0.0.1:4302'],
      finnUrls: ['http://10.0.0.1:4001'],
    });
  });

  it('use the known port where a Service names none', () => {
    const worker = { ...slice, component: 'freeside-worker', ports: [] };
    expect(replicasOf([worker], ['freeside-worker']).adminUrls).toEqual(['http://10.0.0.1:9301']);
  });
});

describe('the previous revision', () => {
  const of = (...numbers: number[]) => numbers.map((number) => ({ number, patch: {} }));

  it('is the newest before the current one', () => {
    expect(previousRevision(of(1, 4, 2, 3), 4)?.number).toBe(3);
    expect(previousRevision(of(1, 5), 5)?.number).toBe(1);
  });

  it('is none after the first', () => {
    expect(previousRevision(of(1), 1)).toBeUndefined();
    expect(previousRevision(of(0), 1)).toBeUndefined();
    expect(previousRevision([], 0)).toBeUndefined();
  });
});
