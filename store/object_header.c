/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an object says of itself: content type, elements and shape, user bytes.
 *
 * DLPack, not the C data interface of Arrow: an object is one run of numbers,
 * which is what a DLPack tensor is, and NumPy, PyTorch, JAX and CuPy take one
 * without a copy. An Arrow array is a tree of buffers with a validity bitmap and
 * a schema; that is a matter of who writes them, by refs in an object.
 */
#include "object_header.h"

#include "err.h"
#include "segment.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1u

/* Followed by shape, content type with its NUL, user bytes at a multiple of 8. */
struct written {
	uint8_t version;
	uint8_t ndim;
	uint16_t type_bytes; /* of the content type, its NUL counted; 0: none */
	uint32_t user_bytes;
	struct mob_dtype dtype;
	uint32_t reserved;
};
_Static_assert(sizeof(struct written) == 16, "fixed: other processes read it");

static uint64_t user_at(uint32_t ndim, uint32_t type_bytes)
{
	return MOBI_HEADER_AT(sizeof(struct written) + ndim * sizeof(uint64_t) +
			      type_bytes);
}

/* Bytes of an array; UINT64_MAX if they are more. */
static uint64_t array_bytes(struct mob_dtype t, uint32_t ndim,
			    const uint64_t *shape)
{
	uint64_t n = (uint64_t)t.bits / 8 * t.lanes;

	for (uint32_t i = 0; i < ndim; i++) {
		if (__builtin_mul_overflow(n, shape[i], &n)) {
			return UINT64_MAX;
		}
	}
	return n;
}

static int check_array(const struct mob_object_header *h, uint64_t size,
		       const char *call)
{
	uint64_t n;

	if (!h->dtype.bits) {
		return !h->ndim ? 0 :
				  mobi_err(MOB_E_INVAL,
					   "%s: header.ndim is %u without a "
					   "dtype; set dtype.bits",
					   call, h->ndim);
	}
	if (h->dtype.bits % 8 || !h->dtype.lanes ||
	    h->dtype.code > MOB_DTYPE_BOOL || h->dtype.code == 3) {
		return mobi_err(MOB_E_INVAL,
				"%s: header.dtype is code %u, %u bits, %u "
				"lanes; a code of enum mob_dtype_code, a "
				"multiple of 8 bits, at least 1 lane",
				call, h->dtype.code, h->dtype.bits,
				h->dtype.lanes);
	}
	if (h->ndim > MOB_ARRAY_DIMS) {
		return mobi_err(MOB_E_INVAL,
				"%s: header.ndim is %u; at most %d", call,
				h->ndim, MOB_ARRAY_DIMS);
	}
	n = array_bytes(h->dtype, h->ndim, h->shape);
	if (n != size) {
		return mobi_err(MOB_E_INVAL,
				"%s: the array of the header has %llu bytes, "
				"the object %llu",
				call, (unsigned long long)n,
				(unsigned long long)size);
	}
	return 0;
}

int mobi_header_check(const struct mob_object_header *h, uint64_t size,
		      const char *call, uint32_t *out_bytes)
{
	size_t type_bytes;

	*out_bytes = 0;
	if (!h) {
		return 0;
	}
	if (h->struct_size != sizeof(*h)) {
		return mobi_err(MOB_E_INVAL,
				"%s: header.struct_size is %u, not %zu; start "
				"from MOB_OBJECT_HEADER_INIT",
				call, h->struct_size, sizeof(*h));
	}
	type_bytes = h->content_type ? strlen(h->content_type) + 1 : 0;
	if (type_bytes > MOB_CONTENT_TYPE_MAX + 1) {
		return mobi_err(MOB_E_INVAL,
				"%s: header.content_type has %zu bytes; at "
				"most %d",
				call, type_bytes - 1, MOB_CONTENT_TYPE_MAX);
	}
	if (h->user_size > MOB_HEADER_USER_MAX || (h->user_size && !h->user)) {
		return mobi_err(MOB_E_INVAL,
				"%s: header.user_size is %u%s; at most %d",
				call, h->user_size,
				h->user ? "" : " and user is NULL",
				MOB_HEADER_USER_MAX);
	}
	*out_bytes = (uint32_t)(user_at(h->ndim > MOB_ARRAY_DIMS ? 0 : h->ndim,
					(uint32_t)type_bytes) +
				h->user_size);
	return check_array(h, size, call);
}

void mobi_header_write(const struct mob_object_header *h, void *at)
{
	struct written w = {
		.version = VERSION,
		.ndim = (uint8_t)h->ndim,
		.user_bytes = h->user_size,
		.dtype = h->dtype,
	};
	unsigned char *p = at;
	size_t shape_bytes = h->ndim * sizeof(uint64_t);

	w.type_bytes = h->content_type ?
			       (uint16_t)(strlen(h->content_type) + 1) :
			       0;
	memcpy(p, &w, sizeof(w));
	memcpy(p + sizeof(w), h->shape, shape_bytes);
	if (w.type_bytes) {
		memcpy(p + sizeof(w) + shape_bytes, h->content_type,
		       w.type_bytes);
	}
	if (h->user_size) {
		memcpy(p + user_at(h->ndim, w.type_bytes), h->user,
		       h->user_size);
	}
}

bool mobi_header_is_array(const void *bytes)
{
	struct written w;

	if (!bytes) {
		return false;
	}
	memcpy(&w, bytes, sizeof(w));
	return w.dtype.bits != 0;
}

static int corrupt(const struct mob_view *view)
{
	return mobi_err(MOB_E_CORRUPT,
			"the header of object %u is not one that this build "
			"writes",
			(uint32_t)view->ref.lo);
}

int mob_view_header(const struct mob_view *view, struct mob_object_header *out)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	const unsigned char *p;
	const char *type;
	struct written w;

	*out = h;
	if (!view->header_size) {
		return 0;
	}
	p = (const unsigned char *)view->at + MOBI_HEADER_AT(view->size);
	if (view->header_size < sizeof(w)) {
		return corrupt(view);
	}
	memcpy(&w, p, sizeof(w));
	if (w.version != VERSION || w.ndim > MOB_ARRAY_DIMS ||
	    user_at(w.ndim, w.type_bytes) + w.user_bytes != view->header_size) {
		return corrupt(view);
	}
	h.ndim = w.ndim;
	h.dtype = w.dtype;
	memcpy(h.shape, p + sizeof(w), w.ndim * sizeof(uint64_t));
	type = (const char *)p + sizeof(w) + w.ndim * sizeof(uint64_t);
	if (w.type_bytes) {
		if (type[w.type_bytes - 1]) {
			return corrupt(view);
		}
		h.content_type = type;
	}
	h.user = w.user_bytes ? p + user_at(w.ndim, w.type_bytes) : NULL;
	h.user_size = w.user_bytes;
	if (h.dtype.bits &&
	    array_bytes(h.dtype, h.ndim, h.shape) != view->size) {
		return corrupt(view);
	}
	*out = h;
	return 1;
}

/* ---- DLPack ---- */

#define DLPACK_MAJOR 1u
#define DLPACK_MINOR 0u
#define DLPACK_CPU 1
#define DLPACK_READ_ONLY UINT64_C(1)

struct tensor {
	struct mob_dlpack dl;
	struct mob_store *store;
	struct mob_view view;
	int64_t shape[MOB_ARRAY_DIMS];
	int64_t strides[MOB_ARRAY_DIMS];
};

static void delete_tensor(struct mob_dlpack *self)
{
	struct tensor *t = self->manager;

	mob_view_release(t->store, &t->view);
	free(t);
}

int mob_view_dlpack(struct mob_store *store, struct mob_view *view,
		    struct mob_dlpack **out)
{
	struct mob_object_header h;
	int64_t stride = 1;
	struct tensor *t;
	int rc;

	MOBI_ENTER(store);
	rc = mob_view_header(view, &h);
	if (rc < 0) {
		return rc;
	}
	if (!h.dtype.bits) {
		return mobi_err(MOB_E_TYPE,
				"mob_view_dlpack: the header of object %u says "
				"of no array",
				(uint32_t)view->ref.lo);
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		return mobi_err(MOB_E_NOMEM, "mob_view_dlpack: out of memory");
	}
	t->store = store;
	t->view = *view;
	for (uint32_t i = h.ndim; i-- > 0;) {
		t->shape[i] = (int64_t)h.shape[i];
		t->strides[i] = stride;
		stride *= t->shape[i];
	}
	t->dl.version_major = DLPACK_MAJOR;
	t->dl.version_minor = DLPACK_MINOR;
	t->dl.manager = t;
	t->dl.deleter = delete_tensor;
	t->dl.flags = DLPACK_READ_ONLY;
	/* Read only by its flag; the type has no const. */
	memcpy(&t->dl.tensor.data, &view->at, sizeof(view->at));
	t->dl.tensor.device_type = DLPACK_CPU;
	t->dl.tensor.ndim = (int32_t)h.ndim;
	t->dl.tensor.dtype = h.dtype;
	t->dl.tensor.shape = t->shape;
	t->dl.tensor.strides = t->strides;
	*view = (struct mob_view){ .ref = MOB_REF_NONE };
	*out = &t->dl;
	return 0;
}
