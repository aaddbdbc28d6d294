/*
 * herdctl ca list: what the authority has issued, and what of it is good.
 */
#include "base/clock.h"
#include "ctl/ca.h"

#define SOON_S (30 * CA_DAY_S)

static void
show_state(struct writer *w, const struct ca_entry *e, int64_t now_s)
{
	bool is_over = e->expires_s <= now_s, is_soon = e->expires_s - now_s < SOON_S;

	writer_style(w, e->revoked_s || is_over ? WRITER_FAINT : is_soon ? WRITER_WARNING : WRITER_GOOD);
	writer_string(w, "state", e->revoked_s ? "revoked" : is_over ? "expired" : "good");
}

static void
show_entry(struct writer *w, const struct ca_entry *e, int64_t now_s)
{
	char serial[CA_SERIAL_MAX + 1];

	ca_serial_format(e->serial, serial);
	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "name", e->name);
	show_state(w, e, now_s);
	writer_time(w, "issued", e->issued_s * CLOCK_SECOND_NS);
	writer_time(w, "expires", e->expires_s * CLOCK_SECOND_NS);
	writer_details(w, true);
	if (e->revoked_s)
		writer_time(w, "revoked", e->revoked_s * CLOCK_SECOND_NS);
	else
		writer_none(w, "revoked");
	writer_details(w, false);
	writer_string(w, "serial", serial);
	writer_object_end(w);
}

static int
list_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(ca_done) struct ca ca = {.folder = -1};
	char fingerprint[CA_FINGERPRINT_MAX];
	struct writer *w = ctl->out;
	int64_t now_s = ca_now_s();
	int r;

	(void)argc;
	(void)argv;
	r = ca_open(&ca, ctl, CA_READ);
	if (r != 0)
		return r;
	ca_cert_fingerprint(ca.authority.certificate, fingerprint);
	writer_object_begin(w, NULL);
	writer_string(w, "dir", ca.path);
	writer_time(w, "expires", ca_cert_until_s(ca.authority.certificate) * CLOCK_SECOND_NS);
	writer_string(w, "sha256", fingerprint);
	writer_list_begin(w, "issued");
	for (size_t i = 0; i < ca.list.count; i++)
		show_entry(w, &ca.list.at[i], now_s);
	writer_list_end(w);
	writer_object_end(w);
	return 0;
}

const struct command command_ca_list = {
	.name = "ca list",
	.help = "Show which certificates were issued",
	.entries = (const struct options_entry[]){CA_ENTRY_DIR, {0}},
	.takes_bad_conf = true,
	.run = list_run,
};
