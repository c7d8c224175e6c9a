/* SPDX-License-Identifier: Apache-2.0 */
/* mob object put, and headers of objects as text. */
#ifndef MOBI_CMD_PUT_H
#define MOBI_CMD_PUT_H

#include "cmd.h"

#include <mobula/object.h>

extern const struct cli_opt cmd_put_opts[];
int cmd_put(struct cli *c);

/* Room for the text of a dtype or shape. */
#define CMD_ARRAY_MAX 200
/* "f64", or "f32x4" of several lanes; NULL of no array. */
const char *cmd_dtype_text(char text[CMD_ARRAY_MAX], struct mob_dtype type);
/* "3x4"; "scalar" without dimensions. */
const char *cmd_shape_text(char text[CMD_ARRAY_MAX],
			   const struct mob_object_header *h);

#endif /* MOBI_CMD_PUT_H */
