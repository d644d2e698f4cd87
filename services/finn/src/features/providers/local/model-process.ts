import { getPriority, setPriority } from 'node:os';
import type { Llama, LlamaContextSequence, LlamaModel, Token } from 'node-llama-cpp';
import type { LocalModel } from './catalogue.domain.ts';
import { chatml, CHATML_PARTS_PER_MESSAGE } from './chat-template.domain.ts';
import type { FromModel, ToModel } from './protocol.ts';
import { TokenText } from './token-text.ts';

/**
 * Entry of the process that runs the model: llama.cpp can neither be stopped in the middle of a
 * computation nor crash without taking its process along, so the process is not finn's.
 */

/** Two or more spin against each other on a small machine and are a hundred times slower. */
const THREADS = 1;
/** Prompt tokens per computation: an abort waits for one, and so does everything else here. */
const BATCH_TOKENS = 64;
/** Tokens that come faster than this share a message. */
const BATCH_WINDOW_MS = 10;
/** finn's streams come first where cores are scarce. */
const PRIORITY = 5;

type Run = Extract<ToModel, { type: 'run' }>;

interface Loaded {
  readonly path: string;
  readonly model: LlamaModel;
  readonly sequence: LlamaContextSequence;
}

let llama: Llama | undefined;
let loaded: Loaded | undefined;
let abortedId: number | undefined;
let gate: { readonly opened: Promise<void>; open(): void } | undefined;
let work: Promise<void> = Promise.resolve();

function send(message: FromModel): void {
  process.send?.(message);
}

/** @param onStep called between steps, each of which may take seconds: finn kills who is silent */
async function load(path: string, settings: LocalModel, onStep: () => void): Promise<Loaded> {
  if (loaded?.path === path) return loaded;
  // Imported here: the bindings cost half a second, and only this process may hold them.
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
  llama ??= await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.disabled,
    maxThreads: THREADS,
  });
  onStep();
  await loaded?.model.dispose();
  loaded = undefined;
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  onStep();
  const context = await model.createContext({
    contextSize: settings.contextTokens,
    batchSize: BATCH_TOKENS,
    threads: THREADS,
    sequences: 1,
  });
  loaded = { path, model, sequence: context.getSequence() };
  onStep();
  await warmUp(loaded);
  return loaded;
}

/**
 * The file is only mapped so far: a first computation reads it in, which takes seconds on a busy
 * machine. The probe at the start waits for it instead of the first caller.
 */
async function warmUp({ model, sequence }: Loaded): Promise<void> {
  await sequence.evaluateWithoutGeneratingNewTokens(model.tokenize('Hello', false));
  await sequence.eraseContextTokenRanges([{ start: 0, end: sequence.nextTokenIndex }]);
}

/** Never up: that takes a privilege, and whoever started finn at a lower priority meant it. */
function yieldToFinn(): void {
  try {
    if (getPriority() < PRIORITY) setPriority(PRIORITY);
  } catch {
    // A sandbox may forbid even this: the model then competes with finn, and still answers.
  }
}

interface Prompt {
  readonly tokens: Token[];
  /** How many of them are the first system message: the agent's, not the caller's. */
  readonly systemTokens: number;
}

function tokenize(model: LlamaModel, run: Run): Prompt {
  const parts = chatml(run.messages).map((part) =>
    'control' in part ? model.tokenize(part.control, true) : model.tokenize(part.text, false),
  );
  const system = run.messages[0]?.role === 'system' ? parts.slice(0, CHATML_PARTS_PER_MESSAGE) : [];
  return { tokens: parts.flat(), systemTokens: system.flat().length };
}

async function answer(run: Run): Promise<void> {
  const isWorking = (): void => send({ type: 'working', id: run.id });
  const { model, sequence } = await load(run.modelPath, run.model, isWorking);
  const prompt = tokenize(model, run);
  const promptTokens = prompt.tokens.length;
  const room = run.model.contextTokens - promptTokens;
  if (room < 1) {
    send({ type: 'refused', id: run.id, promptTokens });
    return;
  }
  send({ type: 'prompt', id: run.id, promptTokens });
  const limit = Math.min(run.maxTokens, room);
  const texts = new TokenText<Token>((tokens) => model.detokenize(tokens));
  const deltas = new DeltaBatch(run.id);
  let completionTokens = 0;
  const last = await evaluatePrompt(sequence, prompt, run.id);
  for await (const token of sequence.evaluate(last, run.model.sampling)) {
    if (abortedId === run.id) break;
    completionTokens += 1;
    const delta = texts.push(token);
    if (delta !== undefined) deltas.add(delta.text, delta.tokens);
    if (completionTokens >= limit) break;
    if (gate !== undefined) {
      deltas.flush();
      await gate.opened;
    }
  }
  deltas.flush();
  if (abortedId === run.id) {
    send({ type: 'aborted', id: run.id });
    return;
  }
  const finishReason = completionTokens >= limit ? 'length' : 'stop';
  send({ type: 'end', id: run.id, promptTokens, completionTokens, finishReason });
}

/**
 * Evaluates all but the last part, so that an abort needn't wait for a long prompt, and returns
 * that part.
 *
 * What the last call left is reused as far as both begin with the same agent's system message,
 * which saves most of the time to the first token; nothing of a caller's own words stays, not
 * even as a faster answer to someone who guesses them.
 */
async function evaluatePrompt(
  sequence: LlamaContextSequence,
  { tokens, systemTokens }: Prompt,
  id: number,
): Promise<Token[]> {
  const same = sequence.compareContextTokens(tokens).firstDifferentIndex;
  const reused = Math.min(same, systemTokens);
  await sequence.eraseContextTokenRanges([{ start: reused, end: sequence.nextTokenIndex }]);
  let from = sequence.nextTokenIndex;
  while (tokens.length - from > BATCH_TOKENS && abortedId !== id) {
    await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(from, from + BATCH_TOKENS));
    from += BATCH_TOKENS;
    send({ type: 'working', id });
  }
  return tokens.slice(from, from + BATCH_TOKENS);
}

/** Joins the deltas of a few milliseconds into one message. */
class DeltaBatch {
  readonly #id: number;
  #text = '';
  #tokens = 0;
  #lastSentMs = 0;

  constructor(id: number) {
    this.#id = id;
  }

  add(text: string, tokens: number): void {
    this.#text += text;
    this.#tokens += tokens;
    if (performance.now() - this.#lastSentMs >= BATCH_WINDOW_MS) this.flush();
  }

  flush(): void {
    if (this.#tokens === 0) return;
    send({ type: 'delta', id: this.#id, text: this.#text, tokens: this.#tokens });
    this.#text = '';
    this.#tokens = 0;
    this.#lastSentMs = performance.now();
  }
}

function enqueue(id: number, task: () => Promise<void>): void {
  work = work.then(task).catch(() => {
    // The reason may quote paths or texts; finn logs which model, and the code says enough.
    send({ type: 'unavailable', id });
  });
}

function closeGate(): void {
  if (gate !== undefined) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  gate = { opened: promise, open: () => resolve(undefined) };
}

function openGate(): void {
  gate?.open();
  gate = undefined;
}

function handle(message: ToModel): void {
  switch (message.type) {
    case 'load':
      enqueue(message.id, async () => {
        await load(message.modelPath, message.model, () =>
          send({ type: 'working', id: message.id }),
        );
        send({ type: 'loaded', id: message.id });
      });
      return;
    case 'run':
      openGate();
      enqueue(message.id, () => answer(message));
      return;
    case 'abort':
      abortedId = message.id;
      openGate();
      return;
    case 'pause':
      closeGate();
      return;
    case 'resume':
      openGate();
  }
}

yieldToFinn();
process.on('message', (message) => handle(message as ToModel));
// A Ctrl-C reaches the whole process group, while finn still wants to end its streams.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
// finn is gone. Nothing here is worth saving, and an orderly exit waits for the computation.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
