/* SPDX-License-Identifier: Apache-2.0 */
/* A program of somebody else that uses the layer sched. */
#include <mobula/session.h>

#include <stdio.h>

int main(void)
{
	struct mob_session *session = NULL;
	int rc = mob_session_open("no-such-session-anywhere", &session);

	printf("%s: %s\n", mob_err_name(rc), mob_err_detail(rc));
	return rc >= 0;
}
