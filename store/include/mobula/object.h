/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects beyond put and get: made of parts, growing while they are written,
 * parts of others without a copy, and with a header that says what they hold.
 *
 * All functions may be called from any thread; a pending object is written,
 * resized and sealed by one thread at a time.
 */
#ifndef MOBULA_OBJECT_H
#define MOBULA_OBJECT_H

#include <mobula/store.h>

MOB_EXTERN_C_BEGIN

/* ---- headers ---- */

/* A type of elements, as DLDataType of DLPack 1.0 has it. bits 0: no array. */
enum mob_dtype_code {
	MOB_DTYPE_INT = 0,
	MOB_DTYPE_UINT = 1,
	MOB_DTYPE_FLOAT = 2,
	MOB_DTYPE_BFLOAT = 4,
	MOB_DTYPE_COMPLEX = 5,
	MOB_DTYPE_BOOL = 6
};
struct mob_dtype {
	uint8_t code;   /* enum mob_dtype_code */
	uint8_t bits;   /* of one element: a multiple of 8 */
	uint16_t lanes; /* elements side by side, usually 1 */
};

#define MOB_ARRAY_DIMS 8
#define MOB_CONTENT_TYPE_MAX 127
#define MOB_HEADER_USER_MAX 4096

/*
 * What an object holds, for who has only its ref: a content type (MIME, or what
 * the programs agree on), the elements and shape of an array in row order, bytes
 * of the user. All of it is optional. Grows at the end only; start from
 * MOB_OBJECT_HEADER_INIT.
 */
struct mob_object_header {
	uint32_t struct_size;
	uint32_t ndim; /* of an array: 0 (one element) to MOB_ARRAY_DIMS */
	uint64_t shape[MOB_ARRAY_DIMS];
	const char *content_type; /* NULL: none */
	const void *user;
	uint32_t user_size;
	struct mob_dtype dtype;
};
#define MOB_OBJECT_HEADER_INIT                                                 \
	{                                                                      \
		(uint32_t)sizeof(struct mob_object_header), 0, { 0 }, 0, 0, 0, \
		{                                                              \
			0, 0, 0                                                \
		}                                                              \
	}

/*
 * As mob_object_create, with a header (NULL: none), which is copied. An array
 * whose shape and dtype do not make size bytes is INVAL. The header costs its
 * bytes, rounded up to 8, behind those of the object. Since 0.1.
 */
MOB_API MOB_NODISCARD int
mob_object_create_with(struct mob_store *store, uint64_t size, mob_type_id type,
		       const struct mob_object_header *header,
		       struct mob_ref *out_ref, void **out_at);

/*
 * The header of a viewed object. Returns 1; 0 if it has none (*out is cleared).
 * content_type and user point into the view. Errors: CORRUPT. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_view_header(const struct mob_view *view,
					  struct mob_object_header *out);

/*
 * A tensor of DLPack 1.0 over a viewed array, without a copy: layout and rules
 * of DLManagedTensorVersioned (dmlc/dlpack, include/dlpack/dlpack.h), CPU,
 * READ_ONLY. *out takes the view over: its deleter releases it, in any thread,
 * before the store is closed. Errors: TYPE (no array), NOMEM, CORRUPT; then the
 * view stays the caller's. Since 0.1.
 */
struct mob_dlpack {
	uint32_t version_major;
	uint32_t version_minor;
	void *manager;
	void (*deleter)(struct mob_dlpack *self);
	uint64_t flags;
	struct {
		void *data;
		int32_t device_type;
		int32_t device_id;
		int32_t ndim;
		struct mob_dtype dtype;
		int64_t *shape;
		int64_t *strides;
		uint64_t byte_offset;
	} tensor;
};
MOB_API MOB_NODISCARD int mob_view_dlpack(struct mob_store *store,
					  struct mob_view *view,
					  struct mob_dlpack **out);

/* ---- parts ---- */

struct mob_part {
	const void *at;
	uint64_t size;
};

/* As mob_object_put, of n parts one after the other, with a header (NULL:
 * none). Errors: those of mob_object_create_with; INVAL if the sizes add up to
 * more than 2^64. Since 0.1. */
MOB_API MOB_NODISCARD int
mob_object_put_parts(struct mob_store *store, const struct mob_part *parts,
		     size_t n, mob_type_id type,
		     const struct mob_object_header *header,
		     struct mob_ref *out_ref);

/*
 * An object of its own that is the size bytes at off of a sealed one, without a
 * copy: it keeps the other alive, and costs an entry in the table. A part of a
 * part is one of the whole. Its bytes are aligned as off is. The caller, or
 * somebody, must hold ref. Errors: INVAL (not inside, with the limits), STATE
 * (not sealed yet), those of mob_object_get, LIMIT. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_object_range(struct mob_store *store,
					   struct mob_ref ref, uint64_t off,
					   uint64_t size, mob_type_id type,
					   struct mob_ref *out_ref);

/* ---- growing and shrinking ---- */

/*
 * Changes the size of a pending object of this process. The bytes up to the
 * smaller of both sizes stay, those after them are anything; *out_at is where
 * they are now, the earlier pointer is invalid. Shrinking moves the object when
 * half of its memory or more comes free by it. Errors: STATE (not a pending one
 * of this process, or its header says that it is an array), STORE_FULL (nothing
 * has changed), BAD_REF. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_object_resize(struct mob_store *store,
					    struct mob_ref ref, uint64_t size,
					    void **out_at);

/* Appends bytes to a pending object of this process; what mob_object_create
 * gave is invalid then. Room is taken ahead, so that n appends copy O(n) bytes;
 * mob_object_resize to the same size gives back what is too much. Errors: those
 * of mob_object_resize. Since 0.1. */
MOB_API MOB_NODISCARD int mob_object_append(struct mob_store *store,
					    struct mob_ref ref, const void *at,
					    uint64_t size);

/* ---- where objects are made ---- */

/* The same functions with the place in the source that is shown for the object; it
 * is static, or NULL. The plain names are macros that give their own. Errors: as
 * mob_object_create_with. */
MOB_API MOB_NODISCARD int mob_object_create_with_from(
	struct mob_store *store, uint64_t size, mob_type_id type,
	const struct mob_object_header *header, struct mob_ref *out_ref,
	void **out_at, struct mob_site *site);
/* Errors: as mob_object_put_parts. */
MOB_API MOB_NODISCARD int
mob_object_put_parts_from(struct mob_store *store, const struct mob_part *parts,
			  size_t n, mob_type_id type,
			  const struct mob_object_header *header,
			  struct mob_ref *out_ref, struct mob_site *site);
/* Errors: as mob_object_range. */
MOB_API MOB_NODISCARD int
mob_object_range_from(struct mob_store *store, struct mob_ref ref, uint64_t off,
		      uint64_t size, mob_type_id type, struct mob_ref *out_ref,
		      struct mob_site *site);

#ifdef MOB_HERE
#define mob_object_create_with(...)                                            \
	mob_object_create_with_from(__VA_ARGS__, MOB_HERE)
#define mob_object_put_parts(...)                                              \
	mob_object_put_parts_from(__VA_ARGS__, MOB_HERE)
#define mob_object_range(...) mob_object_range_from(__VA_ARGS__, MOB_HERE)
#endif

MOB_EXTERN_C_END

#endif /* MOBULA_OBJECT_H */
