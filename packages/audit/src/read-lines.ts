/** Longer than any line; a file without line feeds must not fill the memory. */
const MAX_LINE = 256 * 1024 * 1024;

/**
 * Whole lines, many at a time. Every export is ASCII: read as Latin-1, which is fast, any other byte
 * stays visible and fails the canonical form.
 */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly string[]> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + Buffer.from(chunk).toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) throw new RangeError('a line is too long to be one of an export');
    yield lines;
  }
  if (rest !== '') yield [rest];
}
