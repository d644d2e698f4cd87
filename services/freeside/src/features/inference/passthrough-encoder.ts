import { formatErrorEvent, type Problem } from '@arrakis/contracts';
import type { StreamEncoder } from './stream-encoder.ts';

/** Our own API speaks finn's events: its bytes go on unchanged. */
export class PassthroughEncoder implements StreamEncoder {
  onToken(): void {
    // Its bytes say it all.
  }

  onDone(): void {
    // Its bytes say it all.
  }

  onError(): void {
    // Its bytes say it all.
  }

  take(bytes: Buffer): Buffer {
    return bytes;
  }

  failure(error: Problem): string {
    return formatErrorEvent(error);
  }
}
