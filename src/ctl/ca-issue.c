/*
 * herdctl ca issue: a host's key and certificate. What is signed stands in the
 * list before anybody can have it, so that everything there is can be revoked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "ctl/ca-deliver.h"
#include "ctl/ca.h"

enum { HOST_DAYS = 825 }; /* hosts live shorter than the authority; the helper warns a month before */

struct issue {
	struct ca ca;
	struct delivery delivery;
	const char *name;
	bool renew;
	struct ca_entry entry;
	EVP_PKEY *key;	   /* of a renewal: only its public half */
	X509 *certificate; /* what is issued */
};

static void
issue_done(struct issue *i)
{
	X509_free(i->certificate);
	EVP_PKEY_free(i->key);
	delivery_done(&i->delivery);
	ca_done(&i->ca);
}

/* --- may it be? ----------------------------------------------------------------------------------- */

/* A second certificate with another key is no renewal: somebody then has to revoke the first. */
static int
check_new(struct issue *i, const struct ctl *ctl)
{
	const struct ca_entry *good = ca_list_good(&i->ca.list, i->name, ca_now_s());
	int r;

	if (good && !options_value(ctl->options, "force"))
		return ctl_fail(
			CTL_FAILED,
			"'%s' has a certificate that is still good. --renew makes another one for the "
			"same key; if the key is lost, 'herdctl ca revoke %s' first",
			good->name, good->name);
	r = delivery_check(&i->delivery, ctl, &i->ca);
	return r == 0 ? delivery_check_vacant(&i->delivery, ctl) : r;
}

/* The certificate that is to be renewed, as it was issued. */
static int
read_last(const struct issue *i, X509 **ret)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_FILE_MAX};
	char name[CA_NAME_MAX + sizeof(CA_CERTS "/.crt")];
	int r;

	snprintf(name, sizeof(name), CA_CERTS "/%s.crt", i->name);
	r = file_read(i->ca.folder, name, &bytes);
	if (r == -ENOENT)
		return ctl_fail(CTL_NO, "No certificate of '%s' was issued here: there is nothing to renew",
				i->name);
	if (r < 0)
		return ca_fail(r, "read", i->ca.path, name);
	r = ca_cert_read((struct text){bytes.bytes, bytes.len}, ret);
	return r < 0 ? ctl_fail(CTL_FAILED, "'%s/%s' is no certificate: %s", i->ca.path, name, ca_cert_why())
		     : 0;
}

static int
check_renewal(struct issue *i, const struct ctl *ctl)
{
	CLEANUP(X509_freep) X509 *last = NULL;
	const struct ca_entry *entry;
	int r;

	r = read_last(i, &last);
	if (r != 0)
		return r;
	entry = ca_list_find(&i->ca.list, ca_cert_serial(last));
	if (!entry || strcmp(entry->name, i->name) != 0)
		return ctl_fail(CTL_FAILED,
				"'%s/" CA_CERTS
				"/%s.crt' is not in the list of what was issued: it cannot be renewed",
				i->ca.path, i->name);
	if (entry->revoked_s)
		return ctl_fail(
			CTL_FAILED,
			"The last certificate of '%s' was revoked, and its key with it; without --renew the "
			"host gets a new one",
			i->name);
	r = delivery_check(&i->delivery, ctl, &i->ca);
	if (r == 0)
		r = delivery_check_key(&i->delivery, last);
	if (r != 0)
		return r;
	i->key = X509_get_pubkey(last);
	return i->key ? 0 : ca_fail_crypto(-EBADMSG, "read the last certificate's key");
}

/* --- it is -------------------------------------------------------------------------------------------- */

static int
sign(struct issue *i, int64_t days)
{
	int64_t now_s = ca_now_s(), end_s = ca_cert_until_s(i->ca.authority.certificate);
	int r = 0;

	i->entry.issued_s = now_s;
	i->entry.expires_s = now_s + days * CA_DAY_S < end_s ? now_s + days * CA_DAY_S : end_s;
	snprintf(i->entry.name, sizeof(i->entry.name), "%s", i->name);
	if (!i->key)
		r = ca_key_make(&i->key);
	do {
		if (r == 0)
			r = ca_serial_make(&i->entry.serial);
	} while (r == 0 && ca_list_find(&i->ca.list, i->entry.serial));
	if (r == 0)
		r = ca_host_make(&i->certificate, &i->ca.authority, i->key, &i->entry, now_s - CA_BACKDATE_S);
	return r < 0 ? ca_fail_crypto(r, "make a certificate") : 0;
}

/* In the list, and as what a renewal begins with. */
static int
record(struct issue *i)
{
	CLEANUP(buffer_done) struct buffer bytes = {.max = CA_FILE_MAX};
	CLEANUP(cleanup_close) int folder = -1;
	char name[CA_NAME_MAX + sizeof(".crt")];
	int r;

	r = ca_list_add(&i->ca.list, &i->entry);
	if (r == 0)
		r = ca_save_list(&i->ca);
	if (r != 0)
		return r;
	snprintf(name, sizeof(name), "%s.crt", i->name);
	if (mkdirat(i->ca.folder, CA_CERTS, 0700) < 0 && errno != EEXIST)
		return ca_fail(-errno, "make the folder", i->ca.path, CA_CERTS);
	folder = openat(i->ca.folder, CA_CERTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return ca_fail(-errno, "open the folder", i->ca.path, CA_CERTS);
	r = ca_cert_write(i->certificate, &bytes);
	return r < 0 ? ca_fail_crypto(r, "write the certificate")
		     : ca_write_text(folder, i->ca.path, name, &bytes, 0644);
}

static int
issue(struct issue *i, int64_t days)
{
	char serial[CA_SERIAL_MAX + 1];
	int r = sign(i, days);

	if (r == 0)
		r = record(i);
	if (r == 0)
		r = delivery_write(&i->delivery, &i->ca, i->certificate, i->renew ? NULL : i->key);
	if (r != 0 && ca_list_find(&i->ca.list, i->entry.serial)) {
		ca_serial_format(i->entry.serial, serial);
		log_error("The certificate with serial %s of '%s' may be in the list, but is of no use",
			  serial, i->name);
	}
	return r;
}

/* --- what to do next ------------------------------------------------------------------------------------ */

enum { NEXT_MAX = 4, NEXT_TEXT_MAX = CA_PATH_MAX + 160 };

struct next {
	char text[NEXT_MAX][NEXT_TEXT_MAX];
	const char *at[NEXT_MAX];
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void
add_next(struct next *n, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(n->text[n->count], sizeof(n->text[0]), format, ap);
	va_end(ap);
	n->at[n->count] = n->text[n->count];
	n->count++;
}

/* systemd reads a key when it starts the helper, the helper a certificate whenever it is told to. */
static void
find_next(const struct issue *i, struct next *n)
{
	const char *where = i->delivery.is_own ? "here" : "there", *path = i->delivery.path;

	if (!i->delivery.is_own && i->renew)
		add_next(n, "scp -p %s/ca.crt %s/ca.crl %s/host.crt root@%s:/etc/herd/tls/", path, path, path,
			 i->name);
	else if (!i->delivery.is_own)
		add_next(n, "scp -p %s/* root@%s:/etc/herd/tls/", path, i->name);
	if (i->renew)
		add_next(n, "%s: systemctl reload herd-flood", where);
	else
		add_next(n, "%s: systemctl daemon-reload && systemctl restart herd-flood", where);
	if (!i->delivery.is_own && !i->renew)
		add_next(n, "then, as that key is the other host's alone: rm %s/host.key", path);
}

static void
show(const struct ctl *ctl, const struct issue *i)
{
	struct next next = {.count = 0};
	char serial[CA_SERIAL_MAX + 1];
	struct writer *w = ctl->out;

	ca_serial_format(i->entry.serial, serial);
	find_next(i, &next);
	writer_object_begin(w, NULL);
	writer_string(w, "name", i->name);
	writer_string(w, "serial", serial);
	writer_time(w, "expires", i->entry.expires_s * CLOCK_SECOND_NS);
	writer_bool(w, "new_key", !i->renew, "yes", "no");
	writer_string(w, "dir", i->delivery.path);
	writer_strings(w, "next", next.at, next.count);
	writer_object_end(w);
}

static int
issue_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(issue_done)
	struct issue i = {.ca = {.folder = -1},
			  .delivery = {.folder = -1},
			  .name = argv[0],
			  .renew = options_value(ctl->options, "renew") != NULL};
	int64_t days = HOST_DAYS;
	int r;

	(void)argc;
	if (!ca_name_valid(text_of(i.name)))
		return ctl_fail(
			CTL_USAGE,
			"'%s' is no host: its name has 1 to %d letters, digits, '-' and '.', beginning with "
			"a letter or digit",
			i.name, CA_NAME_MAX);
	r = ca_option_days(ctl, &days);
	if (r == 0)
		r = ca_open(&i.ca, ctl, CA_SIGN);
	if (r == 0)
		r = delivery_open(&i.delivery, ctl, &i.ca, i.name);
	if (r == 0)
		r = i.renew ? check_renewal(&i, ctl) : check_new(&i, ctl);
	if (r == 0)
		r = issue(&i, days);
	if (r == 0)
		show(ctl, &i);
	return r;
}

const struct command command_ca_issue = {
	.name = "ca issue",
	.operands = "NAME",
	.help = "Make the key and certificate of a host",
	.more = "NAME is the host as the setting flood.hosts (or peer) has it. Without --out and --install "
		"the\n"
		"files are in hosts/NAME in the authority's folder. Exit code 1: there is nothing to renew.",
	.entries =
		(const struct options_entry[]){
			CA_ENTRY_DIR,
			{.name = "out", .argument = "DIR", .help = "Put the files there"},
			{.name = "install", .help = "Put them where this host's helper reads them"},
			{.name = "renew", .help = "A new certificate for the key that the host has"},
			{.name = "days", .argument = "N", .help = "Good for so long (825)"},
			{.name = "force", .help = "Also when the host has a good one, or files are there"},
			{0},
		},
	.operands_min = 1,
	.operands_max = 1,
	.run = issue_run,
};
