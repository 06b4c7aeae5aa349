// DNS messages (RFC 1035, section 4), as far as one question needs them.

const A = 1;
const AAAA = 28;
const HEADER_BYTES = 12;
/** What of an answer is read: the length that TCP puts before it, and the header. */
export const TCP_ANSWER_BYTES = 2 + HEADER_BYTES;

/** A question for the addresses of `name`, of the family of the server that is asked. */
export function dnsQuestion(name: string, server: string, id = Math.floor(Math.random() * 0x10000)): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  // Recursion desired; one question.
  header.writeUInt16BE(0x0100, 2);
  header.writeUInt16BE(1, 4);
  const labels = name.split('.').map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  // End of the name, type, class IN.
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, server.includes(':') ? AAAA : A, 0, 1])]);
}

/** Over TCP a message has its length before it. */
export function withLength(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Whether a message answers this question without an error and with at least one record. */
export function answers(message: Buffer, question: Buffer): boolean {
  if (message.length < HEADER_BYTES || message.readUInt16BE(0) !== question.readUInt16BE(0)) return false;
  const flags = message.readUInt16BE(2);
  const isResponse = (flags & 0x8000) !== 0;
  return isResponse && (flags & 0x000f) === 0 && message.readUInt16BE(6) > 0;
}

/** The cluster's domain as kubelet writes it into a pod's resolv.conf: `search default.svc.cluster.local svc.cluster.local`. */
export function clusterDomain(resolvConf: string): string {
  const search = /^search\s+(.*)$/m.exec(resolvConf)?.[1]?.split(/\s+/) ?? [];
  return search.find(domain => domain.startsWith('svc.'))?.slice('svc.'.length) ?? 'cluster.local';
}
