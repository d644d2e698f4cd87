export type Labels = Readonly<Record<string, string>>;
/** By name of the series: a histogram has three. */
export type Series = ReadonlyMap<string, readonly Labels[]>;

/** The series of one or more processes in Prometheus's text format, without their values. */
export function parseExposition(pages: readonly { text: string; target: Labels }[]): Series {
  const series = new Map<string, Labels[]>();
  for (const { text, target } of pages) {
    for (const line of text.split('\n')) {
      const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line);
      if (found === null) continue;
      const [, name = '', body = ''] = found;
      const own = [...body.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(
        ([, label = '', value = '']) => [label, value] as const,
      );
      const labels = { ...Object.fromEntries(own), ...target };
      series.set(name, [...(series.get(name) ?? []), labels]);
    }
  }
  return series;
}
