export { ATTRIBUTES, SPAN_NAMES } from './allowlist.domain.ts';
export { activeSpan, continueTrace, inSpan, type ActiveSpan } from './spans.ts';
export { startTracing } from './tracing.ts';
