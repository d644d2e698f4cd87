import { describe, expect, it } from 'vitest';
import { answerText } from '../lib/directive.ts';
import { lastEvents, plainAnswer, tokenEvent, wholeStream } from '../provider/answers.ts';
import { checkPlainAnswer, StreamCheck, WrongAnswerError } from './answer-check.ts';

const TOKENS = 16;

function follow(...parts: readonly string[]): number {
  const check = new StreamCheck(TOKENS);
  const pieces = parts.map((part) => check.take(Buffer.from(part)));
  check.finish();
  return pieces.reduce((sum, one) => sum + one, 0);
}

const events = Array.from({ length: TOKENS }, (_, index) => tokenEvent(index));

describe('the check of a stream', () => {
  it('takes what the provider sends, wherever the bytes are cut', () => {
    const whole = wholeStream(TOKENS).toString();
    expect(follow(whole)).toBe(TOKENS);
    expect(follow(...Array.from(whole))).toBe(TOKENS);
  });

  it('takes tokens that a gateway has joined', () => {
    const joined = tokenEvent(0).replace('" w0"', `"${answerText(TOKENS)}"`);
    expect(follow(joined, lastEvents(TOKENS))).toBe(1);
  });

  it.each([
    ['a lost token', [...events.slice(0, 4), ...events.slice(5), lastEvents(TOKENS)]],
    ['a doubled token', [...events.slice(0, 4), ...events.slice(3), lastEvents(TOKENS)]],
    ['two tokens swapped', [tokenEvent(1), tokenEvent(0), ...events.slice(2), lastEvents(TOKENS)]],
    ['one token too many', [...events, tokenEvent(TOKENS), lastEvents(TOKENS)]],
    ['an answer that is cut', events.slice(0, 9)],
    ['no usage', [...events, lastEvents(TOKENS).replace(/data: .*usage.*\n\n/, '')]],
    ['wrong usage', [...events, lastEvents(TOKENS + 1)]],
    ['no finish reason', [...events, lastEvents(TOKENS).replace('"stop"', 'null')]],
    ['no [DONE]', [...events, lastEvents(TOKENS).replace('data: [DONE]\n\n', '')]],
    ['an event without its end', [...events, lastEvents(TOKENS).slice(0, -1)]],
    ['nothing', []],
  ])('refuses %s', (_what, parts) => {
    expect(() => follow(...parts)).toThrow(WrongAnswerError);
  });
});

describe('the check of a plain answer', () => {
  const right = plainAnswer(TOKENS).toString();

  it('takes what the provider sends', () => {
    expect(() => checkPlainAnswer(right, TOKENS)).not.toThrow();
  });

  it.each([
    ['a lost token', right.replace(' w7', '')],
    ['another count', right.replace('"completion_tokens":16', '"completion_tokens":15')],
    ['another end', right.replace('"finish_reason":"stop"', '"finish_reason":"length"')],
    ['an error', '{"error":{"message":"no"}}'],
  ])('refuses %s', (_what, body) => {
    expect(() => checkPlainAnswer(body, TOKENS)).toThrow(WrongAnswerError);
  });
});
