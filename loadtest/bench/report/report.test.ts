import { describe, expect, it } from 'vitest';
import { toSvg } from './chart.ts';
import type { BenchDocument } from './document.ts';
import { judge } from './goals.ts';
import { medians, type Metrics, type Row } from './row.ts';
import { tablesOf, toMarkdown } from './tables.ts';

function row(lane: Row['lane'], setting: string, metrics: Metrics): Row {
  return { lane, setting, contestant: 'arrakis', metrics, rounds: [metrics] };
}

const rows = [
  row('unary-closed', '64 connections', { cpuMicros: 812, perSecond: 1700, othersPercent: 7 }),
  row('unary-open', '200 requests/s', { addedLatencyP50Ms: 2.5, addedLatencyP99Ms: 11 }),
];
const document: BenchDocument = {
  ...{ format: 1, date: '2026-01-02T03:04:05Z', kind: 'partial', rounds: 3, rows },
  machine: { cpu: 'Some <CPU>', cores: 2, memoryGib: 8 },
  versions: { node: '24' },
};

describe('goals', () => {
  it('are met, missed or not measured, and never met without a figure', () => {
    const outcome = (text: string) => judge(rows).find((goal) => goal.text.startsWith(text));
    expect(outcome('CPU of all processes a request, 64')).toMatchObject({ isMet: false });
    expect(outcome('added latency, 200 requests/s, p99')).toMatchObject({ isMet: true });
    const held = '512 streams, a token each 20 ms';
    for (const [together, isMet] of [[511, false] as const, [512, true] as const]) {
      const few = [row('stream-held', held, { gapP99Ms: 30, together })];
      const goal = judge(few).find(({ text }) => text.includes('gap p99'));
      expect(goal?.isMet).toBe(isMet);
    }
    const unmeasured = judge([]);
    expect(unmeasured.length).toBeGreaterThan(10);
    expect(unmeasured.filter(({ isMet }) => isMet)).toEqual([]);
  });
});

describe('a report', () => {
  it('shows lanes that were measured, and every goal', () => {
    const tables = tablesOf(rows);
    expect(tables.map(({ title }) => title)).toEqual([
      'Goals',
      'Plain answers, closed loop',
      'Plain answers, open loop',
    ]);
    expect(toMarkdown(tables[1]!)).toContain('| 64 connections | arrakis | 1,700 | 812 | 7.00 |');
  });

  it('draws what was measured, on axes from zero, with machine and date', () => {
    const svg = toSvg(document);
    expect(svg).toContain('Some &lt;CPU>');
    expect(svg).toContain('2026-01-02 03:04 UTC');
    expect(svg).toContain('>0 ms</text>');
    expect(svg).toContain('Added latency, plain answers, 200 requests/s');
    expect(svg).not.toContain('Added time to first token');
    expect(svg).not.toContain('NaN');
  });

  it('takes the median of each number over the rounds that have it', () => {
    expect(medians([{ a: 3 }, { a: 1, b: 5 }, { a: 2 }])).toEqual({ a: 2, b: 5 });
  });
});
