/*
 * One place through which a program's messages leave, and three promises: a
 * message is one line in one system call, whatever bytes it was made of; no
 * message ever makes the event loop wait; none is lost without being counted.
 *
 * The journal is spoken to in its own protocol (a datagram of NAME=value lines,
 * systemd.io/JOURNAL_NATIVE_PROTOCOL) and not through sd_journal_send(): that
 * one sends on a blocking socket in systemd 252 (it was seen to hang after some
 * dozen messages that nobody took), so a journald that is stopped or drowning
 * would stop every member of the host with it. Values are escaped
 * before, so the protocol's form for values with line ends is never needed.
 */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/utf8.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define KERNEL_LOG     "/dev/kmsg"

enum {
	NAME_SIZE = 64,
	LINE_SIZE = 4096,	 /* PIPE_BUF: a pipe takes it whole or not at all */
	RECORD_SIZE = 16 * 1024, /* a journal datagram with its fields */
	FIELD_SIZE = 1024,
	KERNEL_LINE_SIZE = 960, /* the kernel refuses longer ones */
};

static struct {
	char program[NAME_SIZE];
	char instance[NAME_SIZE];
	int journal; /* socket, -1: to stderr */
	struct sockaddr_un journal_at;
	bool early;  /* when the journal takes nothing, there are kernel and stderr */
	bool missed; /* which has happened */
	int kernel;  /* -1: none */
	int out;     /* our own non-blocking way to where stderr goes; -1: use 2 itself */
	bool out_is_socket;
	bool out_may_block; /* could not be opened once more: ask before writing */
	uint64_t lost;
	char last_error[LOG_TEXT_MAX];
} logger = {.journal = -1, .kernel = -1, .out = -1};

int log_level_now = LOG_INFO;

void
log_set_level(int level)
{
	log_level_now = level;
}

const char *
log_last_error(void)
{
	return logger.last_error;
}

/* --- where to ---------------------------------------------------------- */

/* systemd sets JOURNAL_STREAM for whatever it starts; only a match with stderr itself says that
   stderr was not redirected since. */
static bool
stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return WITH_SYSTEMD && stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* O_NONBLOCK belongs to the open file, which stderr shares with the shell and every other program
   that writes there; opening it once more gives us one of our own. Files never block. */
static void
open_stderr(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	logger.out_is_socket = S_ISSOCK(st.st_mode);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		logger.out = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		logger.out_may_block = logger.out < 0;
	}
}

static void
set_names(const char *program, const char *instance)
{
	utf8_escape(text_of(program), logger.program, sizeof(logger.program));
	utf8_escape(text_of(instance ? instance : ""), logger.instance, sizeof(logger.instance));
}

void
log_open_journal(const char *program, const char *instance, const char *path)
{
	log_close();
	set_names(program, instance);
	open_stderr();
	logger.journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	logger.journal_at.sun_family = AF_UNIX;
	snprintf(logger.journal_at.sun_path, sizeof(logger.journal_at.sun_path), "%s", path);
}

void
log_open(const char *program, const char *instance)
{
	if (stderr_is_journal()) {
		log_open_journal(program, instance, JOURNAL_SOCKET);
		return;
	}
	log_close();
	set_names(program, instance);
	open_stderr();
}

void
log_open_early(const char *program, const char *journal, const char *kernel)
{
	log_open_journal(program, NULL, journal ? journal : JOURNAL_SOCKET);
	logger.early = true;
	logger.missed = false;
	logger.kernel = open(kernel ? kernel : KERNEL_LOG, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

bool
log_missed_journal(void)
{
	return logger.missed;
}

void
log_close(void)
{
	if (logger.journal >= 0)
		close(logger.journal);
	if (logger.kernel >= 0)
		close(logger.kernel);
	if (logger.out >= 0)
		close(logger.out);
	logger.journal = -1;
	logger.early = false;
	logger.kernel = -1;
	logger.out = -1;
	logger.out_is_socket = false;
	logger.out_may_block = false;
	logger.lost = 0;
}

/* --- one record, built and sent ----------------------------------------- */

struct record {
	char bytes[RECORD_SIZE];
	size_t len;
};

static void
record_add(struct record *rec, struct text t)
{
	if (t.len <= sizeof(rec->bytes) - rec->len) {
		memcpy(rec->bytes + rec->len, t.at, t.len);
		rec->len += t.len;
	}
}

/* A field is dropped as a whole when there is no room for it. */
static void
record_field(struct record *rec, struct text name, struct text value)
{
	char clean[LINE_SIZE];
	size_t len = utf8_escape(value, clean, sizeof(clean));

	if (name.len + 1 + len + 1 > sizeof(rec->bytes) - rec->len)
		return;
	record_add(rec, name);
	record_add(rec, TEXT("="));
	record_add(rec, (struct text){clean, len});
	record_add(rec, TEXT("\n"));
}

static void
record_begin(struct record *rec, int level, const char *id)
{
	char digit[2] = {(char)('0' + level), '\0'};

	rec->len = 0;
	record_field(rec, TEXT("PRIORITY"), text_of(digit));
	record_field(rec, TEXT("SYSLOG_IDENTIFIER"), text_of(logger.program));
	if (logger.instance[0])
		record_field(rec, TEXT("HERD_MEMBER"), text_of(logger.instance));
	if (id)
		record_field(rec, TEXT("MESSAGE_ID"), text_of(id));
}

/* One field as log_event() takes it: "NAME=" and one conversion, whose argument is taken from ap. */
static void
record_event_field(struct record *rec, const char *format, va_list *ap)
{
	const char *equals = strchr(format, '=');
	const char *conversion = equals ? equals + 1 : "";
	char value[FIELD_SIZE];

	if (strcmp(conversion, "%s") == 0)
		snprintf(value, sizeof(value), "%s", va_arg(*ap, const char *));
	else if (strcmp(conversion, "%d") == 0)
		snprintf(value, sizeof(value), "%d", va_arg(*ap, int));
	else if (strcmp(conversion, "%u") == 0)
		snprintf(value, sizeof(value), "%u", va_arg(*ap, unsigned int));
	else if (strcmp(conversion, "%ld") == 0)
		snprintf(value, sizeof(value), "%ld", va_arg(*ap, long));
	else if (strcmp(conversion, "%lu") == 0)
		snprintf(value, sizeof(value), "%lu", va_arg(*ap, unsigned long));
	else if (strcmp(conversion, "%lld") == 0)
		snprintf(value, sizeof(value), "%lld", va_arg(*ap, long long));
	else if (strcmp(conversion, "%llu") == 0)
		snprintf(value, sizeof(value), "%llu", va_arg(*ap, unsigned long long));
	else if (strcmp(conversion, "%zu") == 0)
		snprintf(value, sizeof(value), "%zu", va_arg(*ap, size_t));
	else
		abort(); /* a bug: log_event() does not know this conversion */

	record_field(rec, (struct text){format, (size_t)(equals - format)}, text_of(value));
}

static bool
send_to_stderr(const char *bytes, size_t len)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	if (logger.out_is_socket)
		n = send(STDERR_FILENO, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	else if (logger.out_may_block && poll(&room, 1, 0) != 1)
		return false;
	else
		n = write(logger.out >= 0 ? logger.out : STDERR_FILENO, bytes, len);
	return n >= 0;
}

/* False: the other end took nothing. */
static bool
send_bytes(const char *bytes, size_t len)
{
	if (logger.journal < 0)
		return send_to_stderr(bytes, len);
	return sendto(logger.journal, bytes, len, MSG_NOSIGNAL, (const struct sockaddr *)&logger.journal_at,
		      sizeof(logger.journal_at)) >= 0;
}

/* A plain line: "herd-member[Alpha]: text". */
static void
record_line(struct record *rec, const char *text)
{
	char clean[LINE_SIZE - 2 * NAME_SIZE - 8];
	size_t len = utf8_escape(text_of(text), clean, sizeof(clean));

	rec->len = 0;
	record_add(rec, text_of(logger.program[0] ? logger.program : program_invocation_short_name));
	if (logger.instance[0]) {
		record_add(rec, TEXT("["));
		record_add(rec, text_of(logger.instance));
		record_add(rec, TEXT("]"));
	}
	record_add(rec, TEXT(": "));
	record_add(rec, (struct text){clean, len});
	record_add(rec, TEXT("\n"));
}

static void
record_message(struct record *rec, int level, const char *text)
{
	if (logger.journal < 0) {
		record_line(rec, text);
		return;
	}
	record_begin(rec, level, NULL);
	record_field(rec, TEXT("MESSAGE"), text_of(text));
}

/* To whoever takes it: "<27>herd-generator[314]: text" for the kernel, else a plain line. */
static void
send_early(int level, const char *text)
{
	char clean[KERNEL_LINE_SIZE - NAME_SIZE - 32], line[KERNEL_LINE_SIZE];
	struct record rec;
	int len;

	logger.missed = true;
	utf8_escape(text_of(text), clean, sizeof(clean));
	len = snprintf(line, sizeof(line), "<%d>%s[%d]: %s\n", LOG_DAEMON | level, logger.program,
		       (int)getpid(), clean);
	if (logger.kernel >= 0 && write(logger.kernel, line, (size_t)len) >= 0)
		return;
	record_line(&rec, text);
	(void)send_to_stderr(rec.bytes, rec.len);
}

/* Tells first how many messages nobody took before this one. */
static void
record_send(const struct record *rec)
{
	if (logger.lost > 0) {
		struct record note;
		char text[96];

		snprintf(text, sizeof(text), "Log messages lost before this one, nobody read them: %" PRIu64,
			 logger.lost);
		record_message(&note, LOG_WARNING, text);
		if (send_bytes(note.bytes, note.len))
			logger.lost = 0;
	}
	if (logger.lost > 0 || !send_bytes(rec->bytes, rec->len))
		logger.lost++;
}

void
log_send(int level, const char *id, const char *text, ...)
{
	struct record rec;
	int saved = errno;

	if (level <= LOG_ERR)
		snprintf(logger.last_error, sizeof(logger.last_error), "%s", text);
	if (logger.journal >= 0) {
		va_list ap;

		record_begin(&rec, level, id);
		va_start(ap, text);
		for (const char *format; (format = va_arg(ap, const char *)) != NULL;)
			record_event_field(&rec, format, &ap);
		va_end(ap);
		record_field(&rec, TEXT("MESSAGE"), text_of(text));
	} else {
		record_line(&rec, text);
	}
	if (!logger.early)
		record_send(&rec);
	else if (!send_bytes(rec.bytes, rec.len))
		send_early(level, text);
	errno = saved;
}

/* --- texts --------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static void
format_text(char text[LOG_TEXT_MAX], const char *format, va_list ap)
{
	int n = vsnprintf(text, LOG_TEXT_MAX, format, ap);

	if (n >= LOG_TEXT_MAX)
		memcpy(text + LOG_TEXT_MAX - 4, "...", 4);
	else if (n < 0)
		memcpy(text, "?", 2);
}

void
log_format(char text[LOG_TEXT_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	format_text(text, format, ap);
	va_end(ap);
}

void
log_print(int level, const char *format, ...)
{
	char text[LOG_TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	format_text(text, format, ap);
	va_end(ap);
	log_send(level, NULL, text, LOG_NO_FIELDS);
}

int
log_print_r(int level, int r, const char *format, ...)
{
	char text[LOG_TEXT_MAX], whole[LOG_TEXT_MAX];
	va_list ap;

	if (!log_enabled(level))
		return r;
	va_start(ap, format);
	format_text(text, format, ap);
	va_end(ap);
	log_format(whole, "%s: %s", text, strerror(-r));
	log_send(level, NULL, whole, "ERRNO=%d", -r, LOG_NO_FIELDS);
	return r;
}

const char *
log_quote(struct log_quoted *q, struct text t)
{
	utf8_escape(t, q->text, sizeof(q->text));
	return q->text;
}

/* --- limits --------------------------------------------------------------- */

bool
log_limit_allow(struct log_limit *limit, int64_t now_ns)
{
	if (limit->begin_ns == 0 || now_ns - limit->begin_ns >= limit->interval_ns) {
		limit->begin_ns = now_ns;
		limit->count = 0;
	}
	if (limit->count >= limit->burst) {
		limit->suppressed++;
		return false;
	}
	limit->count++;
	if (limit->suppressed > 0) {
		log_notice("Messages about %s kept back: %" PRIu64, limit->what, limit->suppressed);
		limit->suppressed = 0;
	}
	return true;
}
