// The DNS Service's answers: addresses of Services by name (RFC 1035, section 4).
import type { ServiceView } from './services.ts';

export const CLUSTER_DOMAIN = 'cluster.local';
const HEADER_BYTES = 12;
const A = 1;
const NAME_ERROR = 3;

/** The answer to a question; undefined for what is none, which a server drops. */
export function answerDns(question: Uint8Array, services: ServiceView): Buffer | undefined {
  const message = Buffer.from(question);
  if (message.length < HEADER_BYTES + 5 || message.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const asked = message.subarray(0, at + 5);
  const address = addressOf(labels.join('.'), services);
  const records = address !== undefined && message.readUInt16BE(at + 1) === A ? [record(address)] : [];
  const answer = Buffer.concat([asked, ...records]);
  // A response, authoritative, recursion available.
  answer.writeUInt16BE(0x8580 | (address === undefined ? NAME_ERROR : 0), 2);
  answer.writeUInt16BE(records.length, 6);
  return answer;
}

function addressOf(name: string, { ports }: ServiceView): string | undefined {
  const [, service, namespace] = new RegExp(`^([^.]+)\\.([^.]+)\\.svc\\.${CLUSTER_DOMAIN}\\.?$`, 'i').exec(name) ?? [];
  return ports.find(port => port.service === `${namespace}/${service}`)?.clusterIP;
}

/** The name by a pointer to the question, type A, class IN, 30 s, four bytes. */
function record(address: string): Buffer {
  return Buffer.from([0xc0, HEADER_BYTES, 0, A, 0, 1, 0, 0, 0, 30, 0, 4, ...address.split('.').map(Number)]);
}
