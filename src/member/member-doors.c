/* Member and doors: the sockets that were passed, or those that the settings name. */
#include "member/member-private.h"

#include <errno.h>

#include "base/log.h"
#include "member/door.h"
#include "net/passed.h"

static int
member_add_door(struct member *m, const struct listen_socket *socket)
{
	int r;

	if (m->door_count == MEMBER_DOORS_MAX)
		return -E2BIG;
	r = door_new(&m->doors[m->door_count], m, socket);
	if (r < 0)
		return log_error_r(r, "Cannot serve %s", socket->text);
	log_info("Listening on %s", door_text(m->doors[m->door_count]));
	m->door_count++;
	return 0;
}

static int
member_adopt_doors(struct member *m, size_t count, char **names)
{
	struct listen_socket socket;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = listen_adopt(&socket, i, names, count);
		if (r == LISTEN_E_FOREIGN) {
			log_warning(
				"The service manager passed a socket '%s' that is nothing of mine, ignoring",
				names ? names[i] : "?");
			r = 0;
			continue;
		}
		if (r == LISTEN_E_STORED) {
			r = 0;
			continue;
		}
		r = r < 0 ? log_error_r(r, "Cannot take over a socket") : member_add_door(m, &socket);
	}
	return r;
}

static int
member_bind_addresses(struct member *m, const struct conf_addresses *addresses,
		      int (*bind_one)(struct listen_socket *ret, const struct address *address))
{
	for (size_t i = 0; i < addresses->count; i++) {
		struct listen_socket socket;
		char text[ADDRESS_TEXT_MAX];
		int r = bind_one(&socket, &addresses->at[i]);

		if (r < 0)
			return log_error_r(r, "Cannot listen on %s",
					   address_format((struct sockaddr *)&addresses->at[i].socket, text));
		r = member_add_door(m, &socket);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
member_bind_doors(struct member *m)
{
	int r = member_bind_addresses(m, &m->conf.listen, listen_tcp);

	if (r == 0)
		r = member_bind_addresses(m, &m->conf.udp, listen_udp);
	for (size_t i = 0; i < m->conf.unix_paths.count && r == 0; i++) {
		struct listen_socket socket;

		r = listen_unix(&socket, m->conf.unix_paths.at[i]);
		r = r < 0 ? log_error_r(r, "Cannot listen on unix %s", m->conf.unix_paths.at[i])
			  : member_add_door(m, &socket);
	}
	return r;
}

int
member_open_doors(struct member *m)
{
	char **names = NULL;
	int count = passed_sockets(&names, true);
	int r;

	if (count < 0)
		return log_error_r(count, "Cannot read what sockets were passed");
	m->health.adopted = listen_count(names, (size_t)count) > 0;
	r = m->health.adopted ? member_adopt_doors(m, (size_t)count, names) : member_bind_doors(m);
	passed_names_free(names);
	if (r == 0 && m->door_count == 0) {
		log_error("Nothing to listen on: give --listen ADDR:PORT, or `listen =` in [member %s]",
			  m->name);
		r = -EDESTADDRREQ;
	}
	return r;
}
