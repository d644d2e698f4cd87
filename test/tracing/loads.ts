import { registerHooks } from 'node:module';

/** Imported before a service, notes on its stderr which OpenTelemetry modules it loads. */
registerHooks({
  load(url, context, next) {
    const name = /node_modules\/(@opentelemetry\/[^/]+)\//.exec(url)?.[1];
    if (name !== undefined) process.stderr.write(`loads ${name}\n`);
    return next(url, context);
  },
});
