import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { InvoiceRequest } from './invoice-request.ts';
import type { VendorPayment } from './vendor-payment.ts';

export interface Invoice extends InvoiceRequest {
  readonly id: string;
  readonly createdAt: Date;
}

interface Pages {
  readonly invoices: readonly Invoice[];
  readonly payments: readonly VendorPayment[];
}

/** What the fake knows; with a file it knows it after a restart, too. */
export class VendorBook {
  readonly #file: string | undefined;
  readonly invoices = new Map<string, Invoice>();
  readonly payments: VendorPayment[] = [];

  /** @throws when the file is there and can't be read. */
  constructor(file: string | undefined) {
    this.#file = file;
    if (file === undefined || !existsSync(file)) return;
    const { invoices, payments } = JSON.parse(readFileSync(file, 'utf8'), reviveDates) as Pages;
    for (const invoice of invoices) this.invoices.set(invoice.id, invoice);
    this.payments.push(...payments);
  }

  /** After each change; under its own name only once it is whole. */
  save(): void {
    if (this.#file === undefined) return;
    const pages: Pages = { invoices: [...this.invoices.values()], payments: this.payments };
    const partial = `${this.#file}.partial`;
    writeFileSync(partial, JSON.stringify(pages), { mode: 0o600 });
    renameSync(partial, this.#file);
  }
}

function reviveDates(name: string, value: unknown): unknown {
  return name.endsWith('At') && typeof value === 'string' ? new Date(value) : value;
}
