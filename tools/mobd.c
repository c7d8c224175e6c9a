/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mobd: makes a named session and supervises it until it is stopped. Programs
 * attach to it by mob_init with its name; its workers run the tasks of the
 * module.
 */
#define _GNU_SOURCE
#include <mobula/mobula.h>
#include <mobula/version.h>

#include "conf.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] =
	"usage: mobd --session NAME [--module FILE.so] [--workers N]\n"
	"            [--policy NAME|PATH] [--store-bytes SIZE]\n"
	"\n"
	"Makes the session NAME and supervises it: starts and replaces "
	"workers,\n"
	"cleans up after dead processes, keeps the catalogue. It runs in the\n"
	"foreground until `mob session stop NAME` or a signal.\n"
	"\n"
	"  --session NAME      name by which programs attach\n"
	"  --module FILE.so    module that holds the tasks\n"
	"  --workers N         worker processes; default: one a processor\n"
	"  --policy NAME|PATH  scheduling policy\n"
	"  --store-bytes SIZE  size of the object store; K, M and G are known\n"
	"  --help, --version\n";

static int usage(const char *what)
{
	fprintf(stderr, "mobd: %s\nhint: mobd --help\n", what);
	return 2;
}

static int parse(int argc, char **argv, struct mob_init_opts *o)
{
	static const struct option options[] = {
		{ "session", required_argument, NULL, 's' },
		{ "module", required_argument, NULL, 'm' },
		{ "workers", required_argument, NULL, 'w' },
		{ "policy", required_argument, NULL, 'p' },
		{ "store-bytes", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	long n;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			o->session = optarg;
			break;
		case 'm':
			o->module = optarg;
			break;
		case 'w':
			n = strtol(optarg, &end, 10);
			if (*end || end == optarg || n < INT32_MIN ||
			    n > INT32_MAX) {
				return usage("--workers takes a number");
			}
			o->workers = (int32_t)n;
			break;
		case 'p':
			o->policy = optarg;
			break;
		case 'b':
			if (mobi_conf_parse_bytes(optarg, &o->store_bytes)) {
				return usage("--store-bytes takes a size such "
					     "as 512M");
			}
			break;
		case 'h':
			fputs(text, stdout);
			exit(0);
		case 'v':
			printf("mobd %s\n", mob_version());
			exit(0);
		default:
			return usage("unknown option");
		}
	}
	if (optind < argc) {
		return usage("no argument is taken");
	}
	return o->session ? 0 : usage("--session NAME is needed");
}

MOB_MAIN(int argc, char **argv)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	int rc = parse(argc, argv, &o);

	if (rc) {
		return rc;
	}
	rc = mob_session_serve(&o);
	if (rc < 0) {
		fprintf(stderr, "mobd: %s\n", mob_err_detail(rc));
		return 1;
	}
	return 0;
}
