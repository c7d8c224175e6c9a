/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory of Linux: files of a tmpfs, mapped. */
#define _GNU_SOURCE

#include "os_shm.h"

#include "err.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Since Linux 5.14; older C libraries do not name it. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/*
 * tmpfs refuses at once what it can never hold, and undoes the whole of a call
 * that fails or is interrupted: so backing is asked for in one call first, and
 * in steps of this size if a signal comes, which make progress however often
 * signals come.
 */
#define BACK_STEP (UINT64_C(16) << 20)

size_t mobi_page_size(void)
{
	long n = sysconf(_SC_PAGESIZE);

	MOB_ASSERT(n > 0);
	return (size_t)n;
}

/* A file beyond the limit of its process would be the end of it: SIGXFSZ. */
static int check_file_limit(const char *name, uint64_t size)
{
	struct rlimit max;

	if (getrlimit(RLIMIT_FSIZE, &max) || max.rlim_cur >= size) {
		return 0;
	}
	return mobi_err(MOB_E_LIMIT,
			"shared memory file '%s' of %" PRIu64 " bytes: this "
			"process may make files of %" PRIu64 " bytes; raise "
			"that (ulimit -f)",
			name, size, (uint64_t)max.rlim_cur);
}

static int shm_create(int dirfd, const char *name, uint64_t size)
{
	int fd = check_file_limit(name, size);
	int rc;

	if (fd < 0) {
		return fd;
	}
	fd = openat(dirfd, name,
		    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST) {
		return mobi_err(MOB_E_EXISTS, "shared memory file '%s' exists",
				name);
	}
	if (fd < 0) {
		return mobi_err_errno("creating shared memory file '%s'", name);
	}
	if (ftruncate(fd, (off_t)size) != 0) {
		rc = mobi_err_errno("setting shared memory file '%s' to "
				    "%" PRIu64 " bytes",
				    name, size);
		(void)unlinkat(dirfd, name, 0);
		(void)close(fd);
		return rc;
	}
	return fd;
}

int mobi_shm_open(int dirfd, const char *name, bool create, uint64_t size)
{
	struct stat st;
	int fd;
	int rc;

	if (size > INT64_MAX) {
		return mobi_err(MOB_E_INVAL,
				"shared memory file '%s': size is %" PRIu64
				", at most %" PRId64,
				name, size, INT64_MAX);
	}
	if (create) {
		return shm_create(dirfd, name, size);
	}
	fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		return mobi_err(MOB_E_NOT_FOUND, "no shared memory file '%s'",
				name);
	}
	if (fd < 0) {
		return mobi_err_errno("opening shared memory file '%s'", name);
	}
	if (fstat(fd, &st) != 0) {
		rc = mobi_err_errno("looking at shared memory file '%s'", name);
	} else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < size) {
		rc = mobi_err(MOB_E_CORRUPT,
			      "shared memory file '%s' is %s of %" PRId64
			      " bytes, at least %" PRIu64 " are needed",
			      name,
			      S_ISREG(st.st_mode) ? "a file" :
						    "not a file, but",
			      (int64_t)st.st_size, size);
	} else {
		return fd;
	}
	(void)close(fd);
	return rc;
}

static int map_failed(uint64_t size)
{
	int saved = errno;
	struct rlimit max;

	if (saved == ENOMEM && !getrlimit(RLIMIT_AS, &max) &&
	    max.rlim_cur != RLIM_INFINITY) {
		return mobi_err(MOB_E_NOMEM,
				"mapping %" PRIu64 " bytes of shared memory: "
				"this process may map %" PRIu64 " bytes; raise "
				"that (ulimit -v)",
				size, (uint64_t)max.rlim_cur);
	}
	errno = saved;
	return mobi_err_errno("mapping %" PRIu64 " bytes of shared memory",
			      size);
}

int mobi_shm_map(int fd, uint64_t size, bool writable, void **out_at)
{
	void *at;

	if (size == 0 || size > SIZE_MAX) {
		return mobi_err(MOB_E_INVAL,
				"mapping shared memory: size is %" PRIu64 ", "
				"from"
				" 1 "
				"to "
				"%zu",
				size, SIZE_MAX);
	}
	at = mmap(NULL, (size_t)size, PROT_READ | (writable ? PROT_WRITE : 0),
		  MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		return map_failed(size);
	}
	*out_at = at;
	return 0;
}

void mobi_shm_unmap(void *at, uint64_t size)
{
	if (at) {
		MOB_ASSERT(munmap(at, (size_t)size) == 0);
	}
}

static int shm_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
	return fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)off,
			 (off_t)len);
}

/* In steps, each as often as signals want. */
static int shm_back_steps(int fd, uint64_t off, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		uint64_t step = len - done;

		if (step > BACK_STEP) {
			step = BACK_STEP;
		}
		if (shm_fallocate(fd, 0, off + done, step) == 0) {
			done += step;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

int mobi_shm_back(int fd, uint64_t off, uint64_t len)
{
	int rc = len == 0 ? 0 : shm_fallocate(fd, 0, off, len);

	if (rc != 0 && errno == EINTR) {
		rc = shm_back_steps(fd, off, len);
	}
	if (rc != 0) {
		return mobi_err_errno("backing %" PRIu64 " bytes at %" PRIu64
				      " with memory",
				      len, off);
	}
	return 0;
}

bool mobi_shm_back_at(void *at, size_t len)
{
	/* It returns an error where a touch would be a SIGBUS. */
	return madvise(at, len, MADV_POPULATE_WRITE) == 0;
}

int mobi_shm_punch(int fd, uint64_t off, uint64_t len)
{
	int rc = 0;

	if (len != 0) {
		do {
			rc = shm_fallocate(fd, FALLOC_FL_PUNCH_HOLE, off, len);
		} while (rc != 0 && errno == EINTR);
	}
	if (rc != 0) {
		return mobi_err_errno("giving back %" PRIu64 " bytes at "
				      "%" PRIu64,
				      len, off);
	}
	return 0;
}

int mobi_shm_protect(void *at, size_t len, bool writable)
{
	uintptr_t page = mobi_page_size();
	uintptr_t into = (uintptr_t)at % page;

	if (mprotect((char *)at - into, len + into,
		     PROT_READ | (writable ? PROT_WRITE : 0))) {
		return mobi_err_errno("protecting %zu bytes", len);
	}
	return 0;
}

void mobi_shm_populate(void *at, size_t len)
{
	uintptr_t page = mobi_page_size();
	uintptr_t into = (uintptr_t)at % page;

	/* By reading: pages of a shared file are mapped writable by that too,
	 * sixteen at a time, which takes a third of the time of a write. */
	if (len != 0) {
		(void)madvise((char *)at - into, len + into,
			      MADV_POPULATE_READ);
	}
}
