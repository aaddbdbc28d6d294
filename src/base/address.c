/*
 * inet_pton() for the host, our own digits for the port: getaddrinfo() may ask
 * name servers, and settings must not wait for a network.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static int
parse_port(struct text t, in_port_t *ret)
{
	unsigned int port = 0;

	if (t.len == 0 || t.len > 5)
		return ADDRESS_E_INVALID;
	for (size_t i = 0; i < t.len; i++) {
		if (!text_is_digit(t.at[i]))
			return ADDRESS_E_INVALID;
		port = port * 10 + (unsigned int)(t.at[i] - '0');
	}
	if (port > 65535)
		return ADDRESS_E_INVALID;
	*ret = htons((in_port_t)port);
	return 0;
}

/* host: with its brackets, so that they tell the family. */
static int
parse_host(struct text host, in_port_t port, struct address *ret)
{
	struct address a = {.len = 0};
	struct sockaddr_in *in4 = (struct sockaddr_in *)&a.socket;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.socket;
	bool six = host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
	char name[INET6_ADDRSTRLEN + 1];

	if (six) {
		host.at++;
		host.len -= 2;
	}
	if (host.len == 0 || host.len >= sizeof(name) || memchr(host.at, '\0', host.len))
		return ADDRESS_E_INVALID;
	memcpy(name, host.at, host.len);
	name[host.len] = '\0';

	if (six) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		a.len = sizeof(*in6);
	} else {
		in4->sin_family = AF_INET;
		in4->sin_port = port;
		a.len = sizeof(*in4);
	}
	if (inet_pton(a.socket.ss_family, name, six ? (void *)&in6->sin6_addr : (void *)&in4->sin_addr) != 1)
		return ADDRESS_E_INVALID;
	*ret = a;
	return 0;
}

int
address_parse(struct text t, struct address *ret)
{
	in_port_t port;
	size_t colon = t.len;

	while (colon > 0 && t.at[colon - 1] != ':')
		colon--;
	if (colon == 0 || parse_port((struct text){t.at + colon, t.len - colon}, &port) != 0)
		return ADDRESS_E_INVALID;
	return parse_host((struct text){t.at, colon - 1}, port, ret);
}

const char *
address_format(const struct sockaddr *socket, char out[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (socket->sa_family == AF_INET) {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)socket;

		inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host));
		snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in4->sin_port));
	} else if (socket->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)socket;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		snprintf(out, ADDRESS_TEXT_MAX, "%s", socket->sa_family == AF_UNIX ? "unix" : "?");
	}
	return out;
}

bool
address_same_host(const struct address *a, const struct address *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->socket;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *)&b->socket;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->socket;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&b->socket;

	if (a->socket.ss_family != b->socket.ss_family)
		return false;
	if (a->socket.ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->socket.ss_family == AF_INET6 &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

bool
address_equal(const struct address *a, const struct address *b)
{
	return address_same_host(a, b) && address_port(a) == address_port(b);
}

uint16_t
address_port(const struct address *a)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->socket;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->socket;

	return ntohs(a->socket.ss_family == AF_INET ? in4->sin_port : in6->sin6_port);
}

bool
address_is_any(const struct address *a)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->socket;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->socket;

	return a->socket.ss_family == AF_INET ? in4->sin_addr.s_addr == htonl(INADDR_ANY)
					      : IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

bool
address_clashes(const struct address *a, const struct address *b)
{
	if (a->socket.ss_family != b->socket.ss_family || address_port(a) != address_port(b))
		return false;
	return address_is_any(a) || address_is_any(b) || address_equal(a, b);
}
