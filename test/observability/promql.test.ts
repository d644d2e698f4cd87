import { describe, expect, it } from 'vitest';
import { namesIn, valuesSpelledOut } from './support/promql.ts';

const metricsIn = (expression: string) => namesIn(expression).selectors.map(({ metric }) => metric);

describe('the reader of PromQL', () => {
  it('finds metrics among functions, aggregations and numbers', () => {
    const expression =
      'histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{le="0.5"}[5m]))) > 1e3 and on () b:c:rate5m == 2';
    expect(metricsIn(expression)).toEqual(['a_bucket', 'b:c:rate5m']);
    expect(namesIn(expression).groupingLabels).toEqual(['job', 'le']);
  });

  it('finds them behind a grouping that comes last, an offset and a bare name', () => {
    expect(
      metricsIn('sum(a{x!="1"} offset 5m) by (x) / ignoring (y) group_left (z) b or c'),
    ).toEqual(['a', 'b', 'c']);
    expect(metricsIn('max by (instance) (a / b)')).toEqual(['a', 'b']);
  });

  it('reads every kind of matcher', () => {
    const [selector] = namesIn(`up{job=~"a|b",path!~'/x.*', code="\\"q\\"", z!="1"}`).selectors;
    expect(selector?.matchers).toEqual([
      { label: 'job', operator: '=~', value: 'a|b' },
      { label: 'path', operator: '!~', value: '/x.*' },
      { label: 'code', operator: '=', value: '"q"' },
      { label: 'z', operator: '!=', value: '1' },
    ]);
  });

  it('tells values that are spelled out from patterns', () => {
    const values = (operator: '=' | '=~', value: string) =>
      valuesSpelledOut({ label: 'l', operator, value });
    expect(values('=~', 'done_event|5..|/v1/chat/completions')).toEqual([
      'done_event',
      '/v1/chat/completions',
    ]);
    expect(values('=', '2.5')).toEqual(['2.5']);
  });

  it.each(['{job="x"}', 'a{', 'a{b}', 'a $ b'])('refuses %j', (expression) => {
    expect(() => namesIn(expression)).toThrow(SyntaxError);
  });
});
