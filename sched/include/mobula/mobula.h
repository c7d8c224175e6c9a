/* SPDX-License-Identifier: Apache-2.0 */
/* All that a program needs: tasks, objects, errors. */
#ifndef MOBULA_MOBULA_H
#define MOBULA_MOBULA_H

#include <mobula/cancel.h>
#include <mobula/err.h>
#include <mobula/graph.h>
#include <mobula/map.h>
#include <mobula/memory.h>
#include <mobula/object.h>
#include <mobula/output.h>
#include <mobula/store.h>
#include <mobula/stream.h>
#include <mobula/task.h>
#include <mobula/task_stream.h>
#include <mobula/types.h>

#endif /* MOBULA_MOBULA_H */
