import { expressionOf, type Panel } from './panels.ts';

export interface Line {
  readonly name: string;
  /** Seconds since the epoch, and the value. */
  readonly points: readonly (readonly [number, number])[];
}

export interface Range {
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly stepSeconds: number;
}

interface RangeAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>;
      readonly values: readonly (readonly [number, string])[];
    }[];
  };
}

/** What the panel's own expressions say over the range, named as its legend names them. */
export async function queryPanel(url: string, panel: Panel, range: Range): Promise<Line[]> {
  const answers = (panel.targets ?? []).map(async (target) => {
    const query = new URLSearchParams({
      query: expressionOf(target),
      start: String(range.fromSeconds),
      end: String(range.toSeconds),
      step: String(range.stepSeconds),
    });
    const response = await fetch(`${url}/api/v1/query_range?${query.toString()}`);
    const answer = (await response.json()) as RangeAnswer;
    if (answer.status !== 'success') throw new Error(`${panel.title}: ${answer.error ?? ''}`);
    return answer.data.result.map(({ metric, values }) => ({
      name: nameOf(target.legendFormat, metric, panel.title),
      points: values.map(([at, value]) => [at, Number(value)] as const),
    }));
  });
  return (await Promise.all(answers)).flat();
}

function nameOf(format: string, labels: Readonly<Record<string, string>>, title: string): string {
  if (format === '__auto') return title;
  return format.replace(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '');
}
