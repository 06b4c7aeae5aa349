/** A line as klog writes it: `I1121 10:04:13.123456       1 server.go:236] "..."`. */
export function klog(level: string, place: string, message: string): string {
  const [date = '', time = ''] = new Date().toISOString().split('T');
  const [, month, day] = date.split('-');
  return `${level}${month}${day} ${time.slice(0, 12)}000       1 ${place}] ${message}`;
}
