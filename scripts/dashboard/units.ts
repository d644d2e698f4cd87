/** A value as Grafana would print it with that unit. */
export function formatValue(value: number, unit: string, decimals?: number): string {
  if (!Number.isFinite(value)) return '–';
  switch (unit) {
    case 'percentunit':
      return `${round(value * 100, decimals ?? (value < 0.1 && value > 0 ? 1 : 0))} %`;
    case 's':
      return seconds(value);
    case 'bytes':
      return `${round(value / 1_048_576, 0)} MiB`;
    case 'reqps':
      return `${round(value, value < 10 ? 2 : 0)} /s`;
    default:
      return short(value);
  }
}

function seconds(value: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) < 0.001) return `${round(value * 1_000_000, 0)} µs`;
  if (Math.abs(value) < 1) return `${round(value * 1000, value < 0.01 ? 1 : 0)} ms`;
  if (Math.abs(value) < 120) return `${round(value, value < 10 ? 1 : 0)} s`;
  return `${round(value / 60, 1)} min`;
}

function short(value: number): string {
  if (Math.abs(value) >= 1000) return `${round(value / 1000, 1)} k`;
  return round(value, value !== 0 && Math.abs(value) < 10 ? 2 : 0);
}

function round(value: number, decimals: number): string {
  return value
    .toFixed(decimals)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');
}
