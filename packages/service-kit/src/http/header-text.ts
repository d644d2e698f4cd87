/** What Node refuses in a header value: anything but tab, visible ASCII and Latin-1. */
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/;
const UNSENDABLE_ALL = new RegExp(UNSENDABLE, 'g');

export function isHeaderText(value: string): boolean {
  return !UNSENDABLE.test(value);
}

/** The value with every character that cannot travel in a header replaced. */
export function headerText(value: string): string {
  return isHeaderText(value) ? value : value.replace(UNSENDABLE_ALL, '?');
}
