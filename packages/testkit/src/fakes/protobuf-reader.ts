const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** The fields of one protobuf message by number, without knowing its type. */
export class ProtobufReader {
  readonly #fields = new Map<number, (bigint | Buffer)[]>();
  readonly #bytes: Buffer;
  #offset = 0;

  /** @throws Error when the bytes are not a message. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    while (this.#offset < bytes.length) {
      const tag = this.#varint();
      const number = Number(tag >> 3n);
      const values = this.#fields.get(number) ?? [];
      values.push(this.#value(Number(tag & 7n)));
      this.#fields.set(number, values);
    }
  }

  has(field: number): boolean {
    return this.#fields.has(field);
  }

  /** Of a repeated or length-delimited field, in order. */
  messages(field: number): Buffer[] {
    return (this.#fields.get(field) ?? []).map((value) => {
      if (!Buffer.isBuffer(value)) throw new Error(`field ${String(field)} is no message`);
      return value;
    });
  }

  text(field: number): string {
    return this.messages(field).at(-1)?.toString() ?? '';
  }

  hex(field: number): string {
    return this.messages(field).at(-1)?.toString('hex') ?? '';
  }

  /** Unsigned; 0 when absent, as the format has it. */
  number(field: number): bigint {
    const value = this.#fields.get(field)?.at(-1) ?? 0n;
    if (typeof value !== 'bigint') throw new Error(`field ${String(field)} is no number`);
    return value;
  }

  double(field: number): number {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(this.number(field));
    return bytes.readDoubleLE();
  }

  #value(wireType: number): bigint | Buffer {
    switch (wireType) {
      case VARINT:
        return this.#varint();
      case FIXED64:
        return this.#take(8).readBigUInt64LE();
      case LENGTH_DELIMITED:
        return this.#take(Number(this.#varint()));
      case FIXED32:
        return BigInt(this.#take(4).readUInt32LE());
      default:
        throw new Error(`wire type ${String(wireType)}`);
    }
  }

  #varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#take(1).readUInt8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Error('a number without end');
  }

  #take(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw new Error('a message that ends too early');
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }
}
