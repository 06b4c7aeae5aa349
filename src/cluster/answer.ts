// The body of an answer, held to a size.
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** A page of 500 objects is a tenth of it where objects are large. Bytes. */
export const MOST_BYTES = 64 << 20;
/** Of a refusal only the first words are told. */
const MOST_OF_REFUSAL = 64 << 10;

/** Thrown instead of reading on. */
export class AnswerTooLarge extends Error {
  override readonly name = 'AnswerTooLarge';
}

/** The whole body as text, unpacked where `encoding` is gzip; of a refusal its beginning. @throws AnswerTooLarge. */
export async function textOf(body: Readable, status: number, encoding?: string): Promise<string> {
  const isRefusal = status >= 300;
  const most = isRefusal ? MOST_OF_REFUSAL : MOST_BYTES;
  const chunks: Buffer[] = [];
  let size = 0;
  // What goes wrong in between is thrown where it is read.
  const plain = encoding === 'gzip' ? pipeline(body, createGunzip(), () => undefined) : body;
  for await (const chunk of plain) {
    chunks.push(chunk);
    size += chunk.length;
    if (size <= most) continue;
    if (!isRefusal) throw new AnswerTooLarge();
    // Leaving the loop destroys the body.
    break;
  }
  return Buffer.concat(chunks).toString('utf8', 0, Math.min(size, most));
}
