/* Tells when bytes leave the guest: one line for each TCP segment that carries some.
 *
 * Use:   outgoing PORT       to that port; "<µs since 1970> <bytes>", the time the kernel
 *                            hands the packet to the network card. Until it is killed.
 * Needs: root. Undo: nothing; made and put into the guest by board/emulator/figures.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

int main(int argc, char **argv)
{
	int on = 1, port = argc == 2 ? atoi(argv[1]) : 0;
	int all = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL));

	if (port <= 0 || all < 0 || setsockopt(all, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)) < 0) {
		perror("outgoing");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		unsigned char packet[128], control[256];
		struct sockaddr_ll from;
		struct iovec part = { packet, sizeof(packet) };
		struct msghdr message = { &from, sizeof(from), &part, 1, control, sizeof(control), 0 };
		ssize_t length = recvmsg(all, &message, MSG_TRUNC);
		struct iphdr *ip = (struct iphdr *)packet;
		struct tcphdr *tcp;
		struct cmsghdr *stamp = CMSG_FIRSTHDR(&message);
		struct timeval at;
		int bytes;

		if (length < (ssize_t)(sizeof(*ip) + sizeof(*tcp)) || from.sll_pkttype != PACKET_OUTGOING ||
		    ntohs(from.sll_protocol) != ETH_P_IP || ip->protocol != IPPROTO_TCP || !stamp)
			continue;
		tcp = (struct tcphdr *)(packet + ip->ihl * 4);
		bytes = ntohs(ip->tot_len) - ip->ihl * 4 - tcp->doff * 4;
		if (ntohs(tcp->dest) != port || bytes <= 0)
			continue;
		memcpy(&at, CMSG_DATA(stamp), sizeof(at));
		printf("%lld %d\n", at.tv_sec * 1000000LL + at.tv_usec, bytes);
	}
}
