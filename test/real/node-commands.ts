// Shell scripts for a node that do what is no damage to rules, and those that undo it.

export interface Undoable {
  readonly script: string;
  readonly undo: string;
  /** Either may take minutes on a slow node, longer than a shell there lives. */
  readonly slow?: true;
}

const DIR = '/run/px-fault';
const CONNTRACK = '/proc/sys/net/netfilter/nf_conntrack';
/** What proxyctl never sets. */
const MARK = 4711;

export const stopped: Undoable = {
  script: 'kill -STOP $(pidof kube-proxy)',
  undo: 'kill -CONT $(pidof kube-proxy)',
};

/** Each kube-proxy dies soon after its start; the kubelet backs off. */
export const crashLoop: Undoable = {
  script: `mkdir -p ${DIR}
echo 'while :; do pids=$(pidof kube-proxy) && kill -KILL $pids; sleep 0.5; done' > ${DIR}/loop
setsid bash ${DIR}/loop > /dev/null 2>&1 < /dev/null &
echo $! > ${DIR}/loop.pid`,
  undo: `kill $(cat ${DIR}/loop.pid)`,
};

/** Before connection tracking and translation, from pods and from the node itself. */
export const udpDropped: Undoable = {
  script: `echo 'table ip px-fault {
  chain in { type filter hook prerouting priority -310; ip daddr 10.96.0.0/16 meta l4proto udp drop; }
  chain out { type filter hook output priority -310; ip daddr 10.96.0.0/16 meta l4proto udp drop; }
}' | nft -f -`,
  undo: 'nft delete table ip px-fault',
};

/** Connections that nobody makes. */
export const fullTable: Undoable = {
  slow: true,
  script: `mkdir -p ${DIR}
wanted=$(( $(cat ${CONNTRACK}_max) * 3 / 4 ))
awk -v n=$wanted 'BEGIN {
  for (i = 0; i < n; i++)
    printf "-I -p udp -s 198.18.%d.%d -d 198.19.0.1 --sport %d --dport 9 -t 1800 -m ${MARK}\\n", i / 256 % 256, i % 256, 1024 + i / 65536
}' > ${DIR}/connections
conntrack -R ${DIR}/connections > /dev/null
rm ${DIR}/connections
[ $(cat ${CONNTRACK}_count) -ge $wanted ]`,
  undo: `conntrack -D -m ${MARK} > /dev/null 2>&1
[ $(cat ${CONNTRACK}_count) -lt $(( $(cat ${CONNTRACK}_max) / 2 )) ]`,
};

export const smallTable: Undoable = {
  script: `mkdir -p ${DIR}
cat ${CONNTRACK}_max > ${DIR}/max
echo $(( $(cat ${DIR}/max) / 2 )) > ${CONNTRACK}_max`,
  undo: `cat ${DIR}/max > ${CONNTRACK}_max`,
};

/** In what the node has of kube-proxy's image: pods that run already do without it in the other modes. */
const inImage = (from: string, to: string) => `images=$(find /var/lib/containerd -path '*/usr/local/bin/kube-proxy')
[ -n "$images" ]
for image in $images; do
  tools="\${image%/usr/local/bin/kube-proxy}/usr/sbin"
  if [ -e "$tools/${from}" ]; then mv "$tools/${from}" "$tools/${to}"; fi
done`;

export const noNft: Undoable = { script: inImage('nft', 'nft.gone'), undo: inImage('nft.gone', 'nft') };
