import { registerHooks } from 'node:module';
import { SOURCE_EDITS, applyEdit } from './source-edits.ts';

/**
 * Loaded into a service before its own code (`node --import`), changes one place of one source file
 * as it is read. The product has no switch for this, and its files stay as they are.
 */
const name = process.env.CRASH_SABOTAGE ?? '';
const edit = SOURCE_EDITS[name];
if (edit === undefined) throw new Error(`no sabotage of a source file is called ${name}`);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.endsWith(edit.file)) return loaded;
    const { source } = loaded;
    if (source === undefined) throw new Error(`${url} was loaded without text`);
    const text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString();
    return { ...loaded, source: applyEdit(text, edit) };
  },
});
