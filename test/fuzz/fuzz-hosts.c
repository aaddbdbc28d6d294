/*
 * Fuzzes the list of hosts: any bytes as its file. It is either refused with a
 * printable reason, and changes nothing, or makes a list that comes out the same
 * when it is written down and read again.
 */
#include <assert.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "conf/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
write_down(const struct hosts *hosts, struct buffer *out)
{
	for (size_t i = 0; i < hosts->count; i++) {
		const struct host *host = &hosts->at[i];
		char line[HOSTS_ADDRESS_MAX + 2 * HOSTS_NAME_MAX + 16];
		int r;

		snprintf(line, sizeof(line), "%s %s%s%s\n", host->name, host->address,
			 host->site[0] ? " site=" : "", host->site);
		r = buffer_append(out, text_of(line));
		assert(r == 0);
	}
}

static void
check_round(const struct hosts *hosts)
{
	CLEANUP(buffer_done) struct buffer text = {.max = 16 << 20};
	CLEANUP(hosts_done) struct hosts again = {0};
	char why[HOSTS_WHY_MAX];
	int r;

	write_down(hosts, &text);
	r = hosts_read(&again, (struct text){text.bytes, text.len}, "x", why);
	assert(r == 0);
	assert(again.count == hosts->count);
	for (size_t i = 0; i < again.count; i++) {
		assert(strcmp(again.at[i].name, hosts->at[i].name) == 0);
		assert(strcmp(again.at[i].site, hosts->at[i].site) == 0);
		assert(strcmp(again.at[i].address, hosts->at[i].address) == 0);
		assert(hosts_find(hosts, again.at[i].name) == &hosts->at[i]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(hosts_done) struct hosts hosts = {0};
	char why[HOSTS_WHY_MAX], printed[8 * HOSTS_WHY_MAX];
	int r;

	r = hosts_read(&hosts, (struct text){(const char *)data, size}, "x", why);
	if (r != 0) {
		assert(r == HOSTS_E_INVALID && hosts.count == 0);
		assert(utf8_escape(text_of(why), printed, sizeof(printed)) == strlen(why));
	} else if (hosts.count) {
		check_round(&hosts);
	}
	return 0;
}
