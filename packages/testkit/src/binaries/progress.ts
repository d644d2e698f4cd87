/** Receives one line of plain text at a time; where it goes is the caller's business. */
export type Progress = (line: string) => void;

export const silent: Progress = () => undefined;
