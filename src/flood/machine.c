/*
 * As sd_id128_get_machine_app_specific(3) derives it: HMAC-SHA256 of the application's id, keyed with
 * the machine's, cut to 16 bytes and marked as a random UUID.
 */
#include "config.h"

#include "flood/machine.h"

#include <errno.h>
#include <string.h>

/* Of herd. */
#define APPLICATION \
	0x9d, 0x3c, 0x1b, 0x1e, 0x6f, 0x0a, 0x4c, 0x0c, 0xa1, 0x57, 0x6a, 0x7b, 0x5e, 0x0f, 0xc2, 0x38

#if WITH_SYSTEMD
#include <systemd/sd-id128.h>

int
machine_id(uint8_t ret[MACHINE_ID_BYTES])
{
	static const sd_id128_t application = {.bytes = {APPLICATION}};
	sd_id128_t id;
	int r = sd_id128_get_machine_app_specific(application, &id);

	if (r < 0)
		return r;
	memcpy(ret, id.bytes, MACHINE_ID_BYTES);
	return 0;
}

#else
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include "base/cleanup.h"

/* 32 hexadecimal digits and the end of the line. */
static int
read_machine_id(uint8_t ret[MACHINE_ID_BYTES])
{
	CLEANUP(cleanup_close) int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[2 * MACHINE_ID_BYTES + 2] = "";
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) != sizeof(text) - 2 ||
	    OPENSSL_hexstr2buf_ex(ret, MACHINE_ID_BYTES, &len, text, '\0') != 1 || len != MACHINE_ID_BYTES)
		return -EUCLEAN;
	return 0;
}

int
machine_id(uint8_t ret[MACHINE_ID_BYTES])
{
	static const uint8_t application[] = {APPLICATION};
	uint8_t id[MACHINE_ID_BYTES], mac[EVP_MAX_MD_SIZE];
	int r = read_machine_id(id);

	if (r < 0)
		return r;
	if (!HMAC(EVP_sha256(), id, sizeof(id), application, sizeof(application), mac, NULL))
		return -ENOMEM;
	mac[6] = (uint8_t)((mac[6] & 0x0f) | 0x40);
	mac[8] = (uint8_t)((mac[8] & 0x3f) | 0x80);
	memcpy(ret, mac, MACHINE_ID_BYTES);
	return 0;
}
#endif
