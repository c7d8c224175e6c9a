/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures one after the other: on a terminal each takes the whole screen (the
 * alternate one, so that nothing is lost) and keys are read; elsewhere they are
 * printed. */
#ifndef MOBI_CMD_SCREEN_H
#define MOBI_CMD_SCREEN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct cmd_screen {
	bool on;
	struct termios was;
	sigset_t signals; /* as they were */
};

struct cli;

/* The options --interval, --batch and --once; rounds 0: without end. CLI_DONE, or an
 * error that is told. */
int cmd_screen_opts(struct cli *c, uint64_t *out_interval_ns,
		    uint64_t *out_rounds);
/* Catches the signals that end a program; wanted: on a terminal, if there is
 * one. */
void cmd_screen_begin(struct cmd_screen *s, bool wanted);
void cmd_screen_end(const struct cmd_screen *s);
/* Before each picture. */
void cmd_screen_next(const struct cmd_screen *s, bool first);
/* Lines that it has; 0: no end. */
uint32_t cmd_screen_lines(const struct cmd_screen *s);
/* Waits; calls key (may be NULL) for each. True: q, the end of the input, or a
 * signal. */
bool cmd_screen_wait(const struct cmd_screen *s, uint64_t interval_ns,
		     void (*key)(char c, void *arg), void *arg);
/* What to exit with: rc, but for an interrupt. */
int cmd_screen_exit(int rc);

#endif /* MOBI_CMD_SCREEN_H */
