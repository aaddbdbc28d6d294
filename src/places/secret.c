/*
 * The file is read with read(2) straight into the page: no buffer of anybody
 * else's ever has the key.
 */
#include "places/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"

enum {
	ROOM = SECRET_LEN_MAX + 2, /* an LF, and what would be too much */
	PATH_SIZE = 4096 + 64,
	SHOWN_MAX = 120,
};

/* Of a path in a sentence, for %.*s. */
#define SHOWN(path) (int)utf8_cut((struct text){path, strnlen(path, SHOWN_MAX)}), path

struct secret {
	size_t len;
	char bytes[ROOM];
};

__attribute__((format(printf, 3, 4))) static int
refuse(int error, char why[SECRET_WHY_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, SECRET_WHY_MAX, format, args);
	va_end(args);
	return error;
}

/* --- the page ------------------------------------------------------------------------ */

static struct secret *
page_new(void)
{
	void *page = mmap(NULL, sizeof(struct secret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	(void)mlock(page, sizeof(struct secret)); /* where the limit allows it */
	if (madvise(page, sizeof(struct secret), MADV_DONTDUMP) < 0 ||
	    madvise(page, sizeof(struct secret), MADV_DONTFORK) < 0) {
		munmap(page, sizeof(struct secret));
		return NULL;
	}
	return page;
}

struct secret *
secret_free(struct secret *s)
{
	if (!s)
		return NULL;
	explicit_bzero(s, sizeof(*s));
	munmap(s, sizeof(*s));
	return NULL;
}

/* --- the file ------------------------------------------------------------------------- */

/* What the service manager hands over is for nobody else, whatever its mode says. */
static int
check_file(int fd, const char *path, bool is_credential, char why[SECRET_WHY_MAX])
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return refuse(-errno, why, "key file '%.*s': %s", SHOWN(path), strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(-EINVAL, why, "key file '%.*s' is no plain file", SHOWN(path));
	if (is_credential)
		return 0;
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return refuse(-EPERM, why,
			      "key file '%.*s': others may read or write it (expected mode 0600 or 0400)",
			      SHOWN(path));
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return refuse(-EPERM, why, "key file '%.*s' belongs to user %u (expected root or %u)",
			      SHOWN(path), (unsigned int)st.st_uid, (unsigned int)geteuid());
	return 0;
}

static int
read_all(int fd, struct secret *s)
{
	ssize_t n = 1;

	while (n != 0 && s->len < ROOM) {
		n = read(fd, s->bytes + s->len, ROOM - s->len);
		if (n < 0 && errno != EINTR)
			return -errno;
		s->len += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static bool
is_key(const struct secret *s)
{
	if (s->len == 0 || s->len > SECRET_LEN_MAX)
		return false;
	for (size_t i = 0; i < s->len; i++)
		if (s->bytes[i] <= ' ' || s->bytes[i] > '~')
			return false;
	return true;
}

static int
load_file(struct secret **ret, const char *path, bool is_credential, char why[SECRET_WHY_MAX])
{
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	CLEANUP(secret_freep) struct secret *s = NULL;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return SECRET_E_NONE;
	if (fd < 0)
		return refuse(-errno, why, "key file '%.*s': %s", SHOWN(path), strerror(errno));
	r = check_file(fd, path, is_credential, why);
	if (r < 0)
		return r;
	s = page_new();
	if (!s)
		return refuse(-ENOMEM, why, "no memory for a key");
	r = read_all(fd, s);
	if (r < 0)
		return refuse(r, why, "key file '%.*s': %s", SHOWN(path), strerror(-r));
	if (s->len > 0 && s->bytes[s->len - 1] == '\n')
		s->len--;
	if (!is_key(s))
		return refuse(-EINVAL, why,
			      "key file '%.*s' holds no key (expected 1 to %d printable characters without "
			      "blanks)",
			      SHOWN(path), SECRET_LEN_MAX);
	*ret = s;
	s = NULL;
	return 0;
}

int
secret_load(struct secret **ret, const char *credential, const char *file, char why[SECRET_WHY_MAX])
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[PATH_SIZE];
	int r = SECRET_E_NONE;

	if (folder && snprintf(path, sizeof(path), "%s/%s", folder, credential) < (int)sizeof(path))
		r = load_file(ret, path, true, why);
	if (r == SECRET_E_NONE && file && *file)
		r = load_file(ret, file, false, why);
	if (r == 0)
		(void)prctl(PR_SET_DUMPABLE, 0);
	return r;
}

struct text
secret_text(const struct secret *s)
{
	return (struct text){s->bytes, s->len};
}
