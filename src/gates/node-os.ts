import { nodesInScope } from '../core/evidence.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { lacksIptables } from '../core/way-back.ts';
import { count } from '../core/words.ts';

/** Systems whose nft writes what the nft 1.0 in kube-proxy images before 1.37 cannot read: kubernetes issue 136786. */
const NEW_NFT = /(Fedora\D*4[3-9]|(Red Hat Enterprise Linux|AlmaLinux|Rocky Linux)\D*10\.[1-9]|Bottlerocket)/;

export const nodeOs = defineGate({
  id: 'node-os',
  title: 'The operating systems are not known to fail in the mode',
  hint: 'let the first node of each operating system be one whose loss does not matter (order.canary)',
  moments: ['preflight'],
  observe: look => nodesInScope(look),
  judge(nodes, look) {
    const findings = nodes.flatMap((node): Finding[] => {
      const subject = `node ${node.name}`;
      if (look.to !== 'nftables' && lacksIptables(node.osImage)) {
        return [
          {
            level: 'error',
            subject,
            message: `${node.osImage} has no iptables kernel modules, which ${look.to} needs`,
          },
        ];
      }
      if (look.to === 'nftables' && NEW_NFT.test(node.osImage)) {
        const message = `${node.osImage} has an nft that older kube-proxy images crash on (kubernetes issue 136786)`;
        return [{ level: 'warning', subject, message }];
      }
      return [];
    });
    return { findings, summary: `${count(nodes.length, 'node')}` };
  },
});
