/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix_get SOCKET TEXT [FILE]: sends the text, in which \n stands for CR LF, to a unix
 * socket, makes the file, and prints what comes until the other side ends. Exits 1 if
 * nobody listens.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char buf[4096];
	ssize_t n;

	if (argc < 3 || argc > 4 || fd < 0 ||
	    strlen(argv[1]) >= sizeof(a.sun_path)) {
		return 2;
	}
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", argv[1]);
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a))) {
		return 1;
	}
	for (const char *at = argv[2]; *at; at++) {
		if (at[0] == '\\' && at[1] == 'n') {
			at++;
			if (write(fd, "\r\n", 2) != 2) {
				return 1;
			}
		} else if (write(fd, at, 1) != 1) {
			return 1;
		}
	}
	if (argc == 4 && !freopen(argv[3], "w", stderr)) {
		return 2;
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		(void)fwrite(buf, 1, (size_t)n, stdout);
	}
	return 0;
}
