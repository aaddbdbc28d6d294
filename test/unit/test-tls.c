/* Tests of flood/tls.h: who gets a link and who does not, with certificates made here. */
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tls-help.h"
#include "flood/tls.h"

struct place {
	char root[64];
	char hill[80], smith[80]; /* two hosts' folders */
	struct help_ca ca, other;
};

static int
make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->root, sizeof(p->root), "/tmp/herd-tls-XXXXXX");
	assert_non_null(mkdtemp(p->root));
	snprintf(p->hill, sizeof(p->hill), "%s/hill", p->root);
	snprintf(p->smith, sizeof(p->smith), "%s/smith", p->root);
	assert_int_equal(mkdir(p->hill, 0700), 0);
	assert_int_equal(mkdir(p->smith, 0700), 0);
	help_ca_new(&p->ca, "herd");
	help_ca_new(&p->other, "others");
	*state = p;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
remove_place(void **state)
{
	struct place *p = *state;

	help_ca_done(&p->ca);
	help_ca_done(&p->other);
	assert_int_equal(nftw(p->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(p);
	return 0;
}

static struct tls *
load(const char *folder, const char *host)
{
	const struct tls_options options = {.folder = folder, .psk_file = "", .host = host};
	char why[TLS_WHY_MAX] = "";
	struct tls *t = NULL;
	int r = tls_new(&t, &options, why);

	assert_string_equal(why, "");
	assert_int_equal(r, 0);
	return t;
}

static void
write_file(const char *folder, const char *name, mode_t mode, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* --- two ends ------------------------------------------------------------------- */

struct pair {
	int fd[2];
	struct tls_session *dialled, *accepted;
	int outcome[2]; /* of their handshakes */
};

static void
pair_done(struct pair *p)
{
	tls_session_free(p->dialled);
	tls_session_free(p->accepted);
	close(p->fd[0]);
	close(p->fd[1]);
}

static void
step(struct tls_session *s, int fd, int *outcome)
{
	if (*outcome > 0)
		*outcome = tls_handshake(s);
	if (*outcome < 0)
		shutdown(fd, SHUT_RDWR);
}

static void
meet(struct pair *ret, struct tls *dialling, struct tls *accepting, const char *name)
{
	struct pair p = {.outcome = {1, 1}};

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fd), 0);
	assert_int_equal(tls_session_new(&p.dialled, dialling, p.fd[0], true, name), 0);
	assert_int_equal(tls_session_new(&p.accepted, accepting, p.fd[1], false, NULL), 0);
	for (int i = 0; i < 20; i++) {
		step(p.dialled, p.fd[0], &p.outcome[0]);
		step(p.accepted, p.fd[1], &p.outcome[1]);
	}
	*ret = p;
}

/* One byte each way. */
static void
talk(struct pair *p)
{
	struct tls_session *ends[] = {p->dialled, p->accepted};
	char byte = 0;
	size_t n = 0;

	assert_string_equal(tls_session_why(p->dialled), "");
	assert_string_equal(tls_session_why(p->accepted), "");
	assert_int_equal(p->outcome[0], 0);
	assert_int_equal(p->outcome[1], 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tls_read(ends[1 - i], &byte, 1, &n), TLS_E_WANT_READ);
		assert_int_equal(tls_write(ends[i], i ? "b" : "a", 1, &n), 0);
		assert_int_equal(tls_read(ends[1 - i], &byte, 1, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(byte, i ? 'b' : 'a');
	}
}

static void
check_meet(struct tls *dialling, struct tls *accepting, const char *name, const char *why_dialling,
	   const char *why_accepting)
{
	CLEANUP(pair_done) struct pair p;

	meet(&p, dialling, accepting, name);
	if (!why_dialling && !why_accepting) {
		talk(&p);
		return;
	}
	if (why_dialling) {
		assert_int_equal(p.outcome[0], -EPROTO);
		assert_string_equal(tls_session_why(p.dialled), why_dialling);
	}
	if (why_accepting) {
		assert_int_equal(p.outcome[1], -EPROTO);
		assert_string_equal(tls_session_why(p.accepted), why_accepting);
	}
}

static void
test_good(void **state)
{
	struct place *p = *state;
	CLEANUP(tls_unrefp) struct tls *hill = NULL;
	CLEANUP(tls_unrefp) struct tls *smith = NULL;
	CLEANUP(pair_done) struct pair pair;
	uint8_t one[TLS_SECRET_BYTES], other[TLS_SECRET_BYTES];
	char big[40000] = {0};
	const char *file = NULL;
	int64_t expires_s = 0;
	size_t n = 0, got = 0;

	help_issue(&p->ca, p->hill, "hill,DNS:hill.example", -60, 3600);
	help_issue(&p->ca, p->smith, "Smith", -60, 200 * 86400L);
	hill = load(p->hill, "HILL.example");
	smith = load(p->smith, "smith");
	assert_false(tls_is_psk(hill));
	assert_string_equal(tls_warning(hill), "");
	tls_secret(hill, one);
	tls_secret(smith, other);
	assert_memory_equal(one, other, sizeof(one));
	assert_true(tls_expires(hill, &expires_s, &file));
	assert_string_equal(file, "host.crt");
	assert_true(llabs(expires_s - (int64_t)time(NULL) - 3600) < 60);
	assert_true(tls_expires(smith, &expires_s, &file));
	assert_string_equal(file, "ca.crt");

	check_meet(hill, smith, NULL, NULL, NULL);
	check_meet(hill, smith, "smith", NULL, NULL);
	check_meet(hill, hill, "hill.example", NULL, NULL);
	meet(&pair, hill, smith, "smith");
	talk(&pair);
	assert_true(tls_session_is_for(pair.accepted, "hill"));
	assert_true(tls_session_is_for(pair.accepted, "hill.EXAMPLE"));
	assert_false(tls_session_is_for(pair.accepted, "example"));
	assert_false(tls_session_is_for(pair.accepted, ".example"));
	assert_false(tls_session_is_for(pair.accepted, "a host"));
	assert_string_equal(tls_session_name(pair.accepted), "hill");

	/* More than one record: what was received is told, though the socket is empty. */
	assert_int_equal(tls_write(pair.dialled, big, sizeof(big), &n), 0);
	assert_int_equal(tls_read(pair.accepted, big, 10, &got), 0);
	assert_true(tls_has_pending(pair.accepted));
	/* A peer that vanishes, without a word. */
	assert_int_equal(shutdown(pair.fd[0], SHUT_RDWR), 0);
	do
		assert_int_equal(tls_read(pair.accepted, big, sizeof(big), &got), 0);
	while (got > 0);
	assert_int_equal(tls_write(pair.accepted, big, sizeof(big), &got), -EPROTO);
}

static void
test_refused(void **state)
{
	struct place *p = *state;
	CLEANUP(tls_unrefp) struct tls *hill = NULL;
	CLEANUP(tls_unrefp) struct tls *smith = NULL;
	CLEANUP(tls_unrefp) struct tls *strange = NULL;
	CLEANUP(tls_unrefp) struct tls *old = NULL;

	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	hill = load(p->hill, "hill");
	help_issue(&p->ca, p->smith, "smith", -60, 3600);
	smith = load(p->smith, "smith");
	check_meet(hill, smith, "jaquez", "its certificate is for 'smith', not for 'jaquez'", NULL);
	check_meet(hill, smith, ".smith", "its certificate is for 'smith', not for '.smith'", NULL);

	help_issue(&p->other, p->smith, "smith", -60, 3600);
	strange = load(p->smith, "smith");
	check_meet(hill, strange, "smith",
		   "its certificate for 'smith': unable to get local issuer certificate", NULL);
	check_meet(strange, hill, NULL, "its certificate for 'hill': unable to get local issuer certificate",
		   NULL);

	help_issue(&p->ca, p->smith, "smith", -3600, -60);
	old = load(p->smith, "smith");
	assert_non_null(
		strstr(tls_warning(old), "/host.crt: certificate has expired: other hosts refuse it"));
	check_meet(hill, old, "smith", "its certificate for 'smith': certificate has expired", NULL);
	check_meet(old, hill, "hill", NULL, "its certificate for 'smith': certificate has expired");
}

/* Somebody with neither certificate nor key, who believes everybody. */
static void
check_naked(struct tls *accepting, int version, const char *why)
{
	SSL_CTX *context = SSL_CTX_new(TLS_method());
	SSL *ssl = SSL_new(context);
	struct tls_session *s = NULL;
	int fd[2], r = 1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(tls_session_new(&s, accepting, fd[1], false, NULL), 0);
	SSL_set_max_proto_version(ssl, version);
	SSL_set_fd(ssl, fd[0]);
	SSL_set_connect_state(ssl);
	for (int i = 0; i < 20 && r > 0; i++) {
		(void)SSL_do_handshake(ssl);
		r = tls_handshake(s);
	}
	assert_int_equal(r, -EPROTO);
	assert_string_equal(tls_session_why(s), why);
	tls_session_free(s);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd[0]);
	close(fd[1]);
}

static void
test_naked(void **state)
{
	struct place *p = *state;
	CLEANUP(tls_unrefp) struct tls *hill = NULL;
	CLEANUP(tls_unrefp) struct tls *keyed = NULL;
	struct tls_options options = {.folder = p->hill, .host = "hill"};
	char key[128], why[TLS_WHY_MAX];

	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	hill = load(p->hill, "hill");
	check_naked(hill, TLS1_3_VERSION, "TLS: peer did not return a certificate");
	check_naked(hill, TLS1_2_VERSION, "TLS: unsupported protocol");
	write_file(p->hill, "key", 0600, "0123456789abcdef\n");
	snprintf(key, sizeof(key), "%s/key", p->hill);
	options.psk_file = key;
	assert_int_equal(tls_new(&keyed, &options, why), 0);
	check_naked(keyed, TLS1_3_VERSION, "TLS: no suitable signature algorithm");
}

static void
test_garbage(void **state)
{
	struct place *p = *state;
	CLEANUP(tls_unrefp) struct tls *hill = NULL;
	struct tls_session *s = NULL;
	int fd[2];

	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	hill = load(p->hill, "hill");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(tls_session_new(&s, hill, fd[1], false, NULL), 0);
	assert_int_equal(tls_handshake(s), TLS_E_WANT_READ);
	assert_int_equal(write(fd[0], "HERD 1 herd 00", 14), 14);
	assert_int_equal(tls_handshake(s), -EPROTO);
	assert_string_equal(tls_session_why(s), "TLS: wrong version number");
	tls_session_free(s);
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(tls_session_new(&s, hill, fd[1], false, NULL), 0);
	close(fd[0]);
	assert_int_equal(tls_handshake(s), -EPROTO);
	assert_string_equal(tls_session_why(s), "the peer has closed the connection");
	tls_session_free(s);
	close(fd[1]);
}

/* --- files read again ------------------------------------------------------------------ */

static void
test_judges_again(void **state)
{
	struct place *p = *state;
	CLEANUP(tls_unrefp) struct tls *hill = NULL;
	CLEANUP(tls_unrefp) struct tls *smith = NULL;
	CLEANUP(tls_unrefp) struct tls *again = NULL;
	CLEANUP(tls_unrefp) struct tls *moved = NULL;
	CLEANUP(pair_done) struct pair pair;
	char why[TLS_WHY_MAX];

	help_issue(&p->ca, p->smith, "smith", -60, 3600);
	smith = load(p->smith, "smith");
	help_issue(&p->ca, p->hill, "hill", -60, 3600); /* the last: the one to be revoked */
	help_revoke(&p->ca, p->smith, 0, 3600);
	hill = load(p->hill, "hill");
	meet(&pair, hill, smith, "smith");
	talk(&pair);

	again = load(p->smith, "smith");
	assert_true(tls_judge(again, pair.accepted, why));
	tls_unref(again);
	help_revoke(&p->ca, p->smith, p->ca.serial, 3600);
	again = load(p->smith, "smith");
	assert_string_equal(tls_warning(again), "");
	assert_false(tls_judge(again, pair.accepted, why));
	assert_string_equal(why, "its certificate: certificate revoked");
	check_meet(hill, again, "smith", NULL, "its certificate for 'hill': certificate revoked");
	/* A list past its date is honoured, with a warning, and stops nobody else. */
	tls_unref(again);
	help_revoke(&p->ca, p->smith, p->ca.serial, -60);
	again = load(p->smith, "smith");
	assert_non_null(strstr(tls_warning(again), "/ca.crl: is older than it says"));
	assert_false(tls_judge(again, pair.accepted, why));
	check_meet(again, smith, "smith", NULL, NULL);
	/* The session lives on with what it began with. */
	smith = tls_unref(smith);
	talk(&pair);
	/* Another authority: whoever was let in by the old one has to go. */
	help_issue(&p->other, p->smith, "smith", -60, 3600);
	help_revoke(&p->other, p->smith, 0, 3600);
	moved = load(p->smith, "smith");
	assert_false(tls_judge(moved, pair.accepted, why));
	assert_string_equal(why, "its certificate: unable to get local issuer certificate");
}

static void
check_refused(const struct tls_options *options, const char *expected)
{
	char why[TLS_WHY_MAX] = "", text[512];
	struct tls *t = NULL;

	snprintf(text, sizeof(text), "%s/%s", options->folder, expected);
	assert_int_equal(tls_new(&t, options, why), TLS_E_REFUSED);
	assert_string_equal(why, text);
	assert_null(t);
}

static void
remove_file(const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(unlink(path), 0);
}

static void
test_files(void **state)
{
	struct place *p = *state;
	struct tls_options o = {.folder = p->hill, .psk_file = "", .host = "hill"};
	char path[512], why[TLS_WHY_MAX];
	struct tls *t = NULL;

	assert_int_equal(tls_new(&t, &o, why), TLS_E_NONE);
	help_issue(&p->ca, p->hill, "smith", -60, 3600);
	check_refused(&o,
		      "host.crt: is for 'smith', but this host's name is 'hill' (see the setting 'name')");
	help_issue(&p->ca, p->hill, NULL, -60, 3600);
	check_refused(&o, "host.crt: is for '', but this host's name is 'hill' (see the setting 'name')");
	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	help_write_pem(p->hill, "ca.crt", 0644, p->other.certificate, NULL, NULL);
	check_refused(&o,
		      "host.crt: is no certificate of the authority in ca.crt: unable to get local issuer "
		      "certificate");
	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	help_write_pem(p->hill, "host.key", 0600, NULL, p->ca.key, NULL);
	check_refused(&o, "host.key: is not the key of host.crt");
	snprintf(path, sizeof(path), "%s/host.key", p->hill);
	assert_int_equal(chmod(path, 0640), 0);
	check_refused(&o, "host.key: others may read or write it (expected mode 0600 or 0400)");
	remove_file(p->hill, "host.key");
	check_refused(&o, "host.key: No such file or directory");
	write_file(p->hill, "host.key", 0400,
		   "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
	assert_int_equal(tls_new(&t, &o, why), TLS_E_REFUSED);
	assert_non_null(strstr(why, "/host.key: holds no key that can be read: "));
	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	write_file(p->hill, "ca.crl", 0644, "nonsense");
	assert_int_equal(tls_new(&t, &o, why), TLS_E_REFUSED);
	assert_non_null(strstr(why, "/ca.crl: holds no list of revoked certificates that can be read"));
	help_revoke(&p->other, p->hill, 0, 3600);
	check_refused(&o, "ca.crl: is not signed by the authority of ca.crt");
	remove_file(p->hill, "ca.crl");
	write_file(p->hill, "ca.crt", 0644, "");
	check_refused(&o, "ca.crt: holds no certificate");
	write_file(p->hill, "ca.crt", 0644, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	assert_int_equal(tls_new(&t, &o, why), TLS_E_REFUSED);
	assert_non_null(strstr(why, "/ca.crt: cannot be read: "));
	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	snprintf(path, sizeof(path), "%s/host.crt", p->hill);
	assert_int_equal(rename(path, "/dev/null/x") < 0 && errno == ENOTDIR, 1);
	remove_file(p->hill, "host.crt");
	assert_int_equal(mkdir(path, 0700), 0);
	check_refused(&o, "host.crt: is no plain file");
}

static void
test_credential(void **state)
{
	struct place *p = *state;
	struct tls_options o = {.folder = p->hill, .psk_file = "", .credentials = p->smith, .host = "hill"};
	char from[512], to[512], why[TLS_WHY_MAX] = "";
	struct tls *t = NULL;

	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	snprintf(from, sizeof(from), "%s/host.key", p->hill);
	snprintf(to, sizeof(to), "%s/flood.key", p->smith);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(chmod(to, 0440), 0); /* the service manager's business */
	assert_int_equal(tls_new(&t, &o, why), 0);
	tls_unref(t);
	write_file(p->smith, "flood.psk", 0440, "a key that all of us have\n");
	assert_int_equal(tls_new(&t, &o, why), 0);
	assert_true(tls_is_psk(t));
	tls_unref(t);
}

/* --- shared keys --------------------------------------------------------------------------- */

static struct tls *
keyed(struct place *p, const char *keys)
{
	struct tls_options o = {.folder = p->hill, .host = "hill"};
	char path[512], why[TLS_WHY_MAX] = "";
	struct tls *t = NULL;
	int r;

	write_file(p->hill, "key", 0600, keys);
	snprintf(path, sizeof(path), "%s/key", p->hill);
	o.psk_file = path;
	r = tls_new(&t, &o, why);
	assert_string_equal(why, "");
	assert_int_equal(r, 0);
	return t;
}

static void
test_keys(void **state)
{
	struct place *p = *state;
	CLEANUP(tls_unrefp) struct tls *one = keyed(p, "the first key, so long\n");
	CLEANUP(tls_unrefp)
	struct tls *both = keyed(p, "the first key, so long  \r\n\nanother key, longer still");
	CLEANUP(tls_unrefp) struct tls *other = keyed(p, "another key, longer still\n");
	CLEANUP(tls_unrefp) struct tls *certified = NULL;
	CLEANUP(pair_done) struct pair pair;
	uint8_t a[TLS_SECRET_BYTES], b[TLS_SECRET_BYTES];
	char why[TLS_WHY_MAX];
	const char *file;
	int64_t s;

	assert_false(tls_expires(one, &s, &file));
	tls_secret(one, a);
	tls_secret(both, b);
	assert_memory_equal(a, b, sizeof(a));
	tls_secret(other, b);
	assert_memory_not_equal(a, b, sizeof(a));
	check_meet(one, one, "hill", NULL, NULL);
	check_meet(one, both, "smith", NULL, NULL);
	check_meet(other, both, NULL, NULL, NULL);
	check_meet(one, other, NULL, NULL, "TLS: no suitable signature algorithm");
	check_meet(both, other, NULL, NULL, "TLS: no suitable signature algorithm");

	meet(&pair, other, both, NULL);
	talk(&pair);
	assert_true(tls_session_is_for(pair.accepted, "anybody"));
	assert_string_equal(tls_session_name(pair.accepted), "");
	assert_true(tls_judge(both, pair.accepted, why));
	assert_true(tls_judge(both, pair.dialled, why));
	assert_true(tls_judge(other, pair.accepted, why));
	assert_false(tls_judge(one, pair.accepted, why));
	assert_string_equal(why, "its key is no longer accepted");

	help_issue(&p->ca, p->hill, "hill", -60, 3600);
	certified = load(p->hill, "hill");
	assert_false(tls_judge(certified, pair.accepted, why));
	assert_string_equal(why, "links are made with certificates now");
	check_meet(certified, one, NULL, NULL, "TLS: no suitable signature algorithm");
	check_meet(one, certified, NULL, "TLS: certificate verify failed", NULL);
}

static void
test_key_files(void **state)
{
	struct place *p = *state;
	char path[512], why[TLS_WHY_MAX];
	struct tls_options o = {.folder = p->hill, .psk_file = path, .host = "hill"};
	struct tls *t = NULL;

	snprintf(path, sizeof(path), "%s/key", p->hill);
	check_refused(&o, "key: No such file or directory");
	write_file(p->hill, "key", 0600, "0123456789abcde\n");
	check_refused(&o, "key: a key of 15 characters (expected 16 to 512)");
	write_file(p->hill, "key", 0600, "\n\n");
	check_refused(&o, "key: holds no key");
	write_file(p->hill, "key", 0644, "0123456789abcdef\n");
	check_refused(&o, "key: others may read or write it (expected mode 0600 or 0400)");
	write_file(p->hill, "key", 0600, "0123456789abcdef\n0123456789abcdeg\n0123456789abcdeh\n");
	assert_int_equal(tls_new(&t, &o, why), TLS_E_REFUSED);
	assert_non_null(strstr(why, "/key: more than two keys"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_refused, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_naked, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_garbage, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_judges_again, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_files, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_credential, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_keys, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_key_files, make_place, remove_place),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
