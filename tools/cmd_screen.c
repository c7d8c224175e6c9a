/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cmd_screen.h"

#include "cli.h"
#include "out.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SCREEN_ON "\033[?1049h\033[?25l"
#define SCREEN_OFF "\033[?25h\033[?1049l"
#define SCREEN_CLEAR "\033[H\033[J"

static volatile sig_atomic_t ended_by;

static void on_signal(int sig)
{
	ended_by = sig;
}

static void catch_signals(struct cmd_screen *s)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigset_t ends;

	(void)sigemptyset(&act.sa_mask);
	(void)sigemptyset(&ends);
	for (int i = 0; i < 3; i++) {
		int sig = i == 0 ? SIGINT : i == 1 ? SIGTERM : SIGHUP;

		(void)sigaddset(&ends, sig);
		(void)sigaction(sig, &act, NULL);
	}
	(void)sigprocmask(SIG_BLOCK, &ends, &s->signals);
}

int cmd_screen_opts(struct cli *c, uint64_t *out_interval_ns,
		    uint64_t *out_rounds)
{
	*out_interval_ns = cli_number(c, "interval");
	*out_rounds = cli_flag(c, "once") ? 1 : cli_number(c, "batch");
	if (*out_interval_ns < 10000000 ||
	    *out_interval_ns > UINT64_C(86400000000000)) {
		return cli_fail(CLI_USAGE, NULL,
				"--interval is '%s'; 10ms to 24h",
				cli_text(c, "interval"));
	}
	if (cli_given(c, "batch") && !*out_rounds) {
		return cli_fail(CLI_USAGE, NULL,
				"--batch is 0; how many pictures, from 1 on");
	}
	return CLI_DONE;
}

void cmd_screen_begin(struct cmd_screen *s, bool wanted)
{
	struct termios raw;

	catch_signals(s);
	s->on = wanted && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) &&
		!tcgetattr(STDIN_FILENO, &s->was);
	if (!s->on) {
		return;
	}
	raw = s->was;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	(void)fputs(SCREEN_ON, stdout);
}

void cmd_screen_end(const struct cmd_screen *s)
{
	if (s->on) {
		(void)fputs(SCREEN_OFF, stdout);
		(void)out_flush();
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &s->was);
	}
}

void cmd_screen_next(const struct cmd_screen *s, bool first)
{
	(void)fputs(s->on ? SCREEN_CLEAR : first ? "" : "\n", stdout);
}

uint32_t cmd_screen_lines(const struct cmd_screen *s)
{
	struct winsize ws;

	return s->on && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) ? ws.ws_row : 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

bool cmd_screen_wait(const struct cmd_screen *s, uint64_t interval_ns,
		     void (*key)(char c, void *arg), void *arg)
{
	uint64_t end = now_ns() + interval_ns;
	uint64_t now;

	while (!ended_by && (now = now_ns()) < end) {
		struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
		const struct timespec left = {
			(time_t)((end - now) / 1000000000u),
			(long)((end - now) % 1000000000u)
		};
		char c;

		/* Signals come only here, where they end the wait. */
		if (ppoll(&in, s->on ? 1 : 0, &left, &s->signals) <= 0) {
			continue;
		}
		if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q') {
			return true;
		}
		if (key) {
			key(c, arg);
		}
	}
	return ended_by != 0;
}

int cmd_screen_exit(int rc)
{
	return rc == 0 && ended_by == SIGINT ? CLI_INTERRUPTED : rc;
}
