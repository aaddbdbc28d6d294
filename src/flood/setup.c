/*
 * An identity is made of what is there anyway: the machine's name, and its id.
 * The latter never leaves the machine: an id for applications is derived from
 * it, and mixed with the name of the shared memory, because several herds on
 * one host are as many hosts to their peers.
 */
#include "flood/setup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "flood/machine.h"

__attribute__((format(printf, 2, 3))) static int
invalid(char why[SETUP_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, SETUP_WHY_MAX, format, ap);
	va_end(ap);
	return SETUP_E_INVALID;
}

/* --- who we are ----------------------------------------------------------------- */

static int
take_name(struct setup *s, const struct conf *conf, char why[SETUP_WHY_MAX])
{
	char name[256] = "";

	if (conf->flood_name[0]) {
		snprintf(s->self.host, sizeof(s->self.host), "%s", conf->flood_name);
		return 0;
	}
	if (gethostname(name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	name[strcspn(name, ".")] = '\0';
	if (!host_name_valid(text_of(name)))
		return invalid(why,
			       "this machine's name, '%.63s', is no name of a host (set 'name' in [flood])",
			       name);
	snprintf(s->self.host, sizeof(s->self.host), "%.63s", name);
	return 0;
}

/* A machine without an id gets another one at each start, and keeps it at a reload: links were made with it. */
static int
make_id(uint8_t ret[16])
{
	static uint8_t made[16];
	static bool is_made;

	if (!is_made && getrandom(made, sizeof(made), 0) < 0)
		return -errno;
	is_made = true;
	memcpy(ret, made, sizeof(made));
	return 0;
}

static int
take_machine_id(struct setup *s, const char *shm)
{
	uint8_t id[MACHINE_ID_BYTES], hash[TLS_SECRET_BYTES];

	if (machine_id(id) < 0)
		return make_id(s->self.host_id);
	if (!tls_hash(shm, id, sizeof(id), hash))
		return -ENOMEM;
	memcpy(s->self.host_id, hash, sizeof(s->self.host_id));
	return 0;
}

static int
take_id(struct setup *s, const struct conf *conf)
{
	const char *hex = conf->flood_host_id;

	if (!hex[0])
		return take_machine_id(s, conf->shm);
	for (size_t i = 0; i < sizeof(s->self.host_id); i++)
		s->self.host_id[i] = (uint8_t)(text_hex_digit(hex[2 * i]) << 4 |
					       text_hex_digit(hex[2 * i + 1]));
	return 0;
}

/* --- which hosts there are ----------------------------------------------------------- */

/* `peer` lines draw the graph, and `hosts` then only says who may be linked with. */
static int
take_hosts(struct setup *s, const struct conf *conf, char why[SETUP_WHY_MAX])
{
	char reason[HOSTS_WHY_MAX];
	int r = hosts_read_known(&s->known, conf, reason);

	s->drawn = conf->flood_peers.count > 0;
	if (r == 0 && s->drawn)
		r = hosts_add_entries(&s->hosts, &conf->flood_peers, true, reason);
	for (size_t i = 0; r == 0 && !s->drawn && i < s->known.count; i++)
		r = hosts_add(&s->hosts, &s->known.at[i], reason);
	return r == 0 || r == -ENOMEM ? r : invalid(why, "%s", reason);
}

/* Looked up for everybody who comes. */
static int
take_numbers(struct setup *s)
{
	s->numbers = calloc(s->hosts.count + 1, sizeof(*s->numbers));
	if (!s->numbers)
		return -ENOMEM;
	for (size_t i = 0; i < s->hosts.count; i++)
		s->number_count += address_parse(text_of(s->hosts.at[i].address),
						 &s->numbers[s->number_count]) == 0;
	return 0;
}

/* --- what protects the links ------------------------------------------------------------ */

static bool
is_loopback(const struct address *a)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->socket;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->socket;

	if (a->socket.ss_family == AF_INET)
		return ntohl(in4->sin_addr.s_addr) >> 24 == 127;
	return a->socket.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static bool
leads_to_loopback(const char *address)
{
	struct address a;

	return address_parse(text_of(address), &a) == 0 ? is_loopback(&a)
							: strncmp(address, "localhost:", 10) == 0;
}

/* The first address beyond this machine; NULL: none. */
static const char *
find_beyond(const struct setup *s, const struct conf *conf, char out[ADDRESS_TEXT_MAX])
{
	for (size_t i = 0; i < conf->flood_listen.count; i++)
		if (!is_loopback(&conf->flood_listen.at[i]))
			return address_format((const struct sockaddr *)&conf->flood_listen.at[i].socket, out);
	for (size_t i = 0; i < s->hosts.count; i++)
		if (!leads_to_loopback(s->hosts.at[i].address))
			return s->hosts.at[i].address;
	return NULL;
}

static int
take_tls(struct setup *s, const struct conf *conf, char why[SETUP_WHY_MAX])
{
	const struct tls_options options = {
		.folder = conf->flood_tls_dir,
		.psk_file = conf->flood_psk_file,
		.credentials = getenv("CREDENTIALS_DIRECTORY"),
		.host = s->self.host,
	};
	char address[ADDRESS_TEXT_MAX], reason[TLS_WHY_MAX];
	const char *beyond;
	int r;

	r = tls_new(&s->tls, &options, reason);
	if (conf->flood_plain) {
		s->tls = tls_unref(s->tls);
		s->spurns_tls = r == 0 || r == TLS_E_REFUSED;
		return r < 0 ? r : 0;
	}
	if (r == TLS_E_REFUSED)
		return invalid(why, "%s", reason);
	if (r != TLS_E_NONE)
		return r;
	beyond = find_beyond(s, conf, address);
	if (!beyond)
		return 0;
	(void)invalid(
		why,
		"no link beyond this machine (%s) without protection: there is neither a certificate in "
		"'%s' nor a shared key (see 'herdctl ca' for certificates, the settings 'psk-file' and "
		"'plain' otherwise)",
		beyond, conf->flood_tls_dir);
	return SETUP_E_PLAIN;
}

static int
take_key(struct setup *s, const struct conf *conf)
{
	uint8_t secret[TLS_SECRET_BYTES];

	if (s->tls)
		tls_secret(s->tls, secret);
	else if (!tls_hash("herd: rings and digests, of a name", conf->flood_herd, strlen(conf->flood_herd),
			   secret))
		return -ENOMEM;
	memcpy(&s->key, secret, sizeof(s->key));
	s->self.key_check = hash_siphash13(&s->key, "check", 5);
	return 0;
}

/* --- all of it ------------------------------------------------------------------------------ */

int
setup_read(struct setup *ret, const struct conf *conf, char why[SETUP_WHY_MAX])
{
	CLEANUP(setup_done) struct setup s = {0};
	int r;

	s.is_on = conf->flood_listen.count > 0 || conf->flood_peers.count > 0 || conf->flood_hosts.count > 0;
	if (!s.is_on)
		return 0;
	snprintf(s.self.herd, sizeof(s.self.herd), "%s", conf->flood_herd);
	s.self.ttl_s = conf->fix_ttl_ns / CLOCK_SECOND_NS;
	r = take_name(&s, conf, why);
	if (r == 0)
		r = take_id(&s, conf);
	if (r == 0)
		r = take_hosts(&s, conf, why);
	if (r == 0)
		r = take_numbers(&s);
	if (r == 0)
		r = take_tls(&s, conf, why);
	if (r == 0)
		r = take_key(&s, conf);
	if (r != 0)
		return r;
	*ret = s;
	s = (struct setup){0};
	return 0;
}

void
setup_done(struct setup *s)
{
	hosts_done(&s->hosts);
	hosts_done(&s->known);
	free(s->numbers);
	tls_unref(s->tls);
	memset(s, 0, sizeof(*s));
}

bool
setup_fits(const struct setup *a, const struct setup *b)
{
	return a->is_on == b->is_on && strcmp(a->self.host, b->self.host) == 0 &&
	       a->self.ttl_s == b->self.ttl_s && a->key.k0 == b->key.k0 && a->key.k1 == b->key.k1 &&
	       (a->tls == NULL) == (b->tls == NULL);
}
