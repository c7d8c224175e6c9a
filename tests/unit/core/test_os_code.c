/* SPDX-License-Identifier: Apache-2.0 */
/* Builds of files of code: by build id, else by a hash of all bytes. */
#define _GNU_SOURCE
#include "os_code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mobula/err.h>

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void write_file(const void *at, size_t n)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(at, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static struct mobi_code code_of(const void *at, size_t n)
{
	struct mobi_code c;

	write_file(at, n);
	assert_int_equal(mobi_code_of_file(path, &c), 0);
	return c;
}

/* The values of FNV-1a of 128 bits for "", "a" and "foobar". */
static void test_os_code_hash_known_values(void **state)
{
	struct mobi_code c = code_of("", 0);

	(void)state;
	assert_true(c.word[1] == UINT64_C(0x6c62272e07bb0142));
	assert_true(c.word[0] == UINT64_C(0x62b821756295c58d));
	c = code_of("a", 1);
	assert_true(c.word[1] == UINT64_C(0xd228cb696f1a8caf));
	assert_true(c.word[0] == UINT64_C(0x78912b704e4a8964));
	c = code_of("foobar", 6);
	assert_true(c.word[1] == UINT64_C(0x343e1662793c64bf));
	assert_true(c.word[0] == UINT64_C(0x6f0d3597ba446f18));
}

/* A file of nothing but a header and two notes. */
struct tiny {
	Elf64_Ehdr e;
	Elf64_Phdr p;
	Elf64_Nhdr other;
	char other_name[8];
	Elf64_Nhdr h;
	char name[4];
	unsigned char id[20];
};

static struct tiny tiny_file(void)
{
	struct tiny t = { .p.p_type = PT_NOTE };

	memcpy(t.e.e_ident, ELFMAG, SELFMAG);
	t.e.e_phoff = offsetof(struct tiny, p);
	t.e.e_phentsize = sizeof(t.p);
	t.e.e_phnum = 1;
	t.p.p_offset = offsetof(struct tiny, other);
	t.p.p_filesz = sizeof(t) - offsetof(struct tiny, other);
	t.other = (Elf64_Nhdr){ 6, 0, NT_GNU_BUILD_ID };
	memcpy(t.other_name, "Other", 6);
	t.h = (Elf64_Nhdr){ 4, 20, NT_GNU_BUILD_ID };
	memcpy(t.name, "GNU", 4);
	for (unsigned char i = 0; i < 20; i++) {
		t.id[i] = i;
	}
	return t;
}

static void test_os_code_is_the_build_id(void **state)
{
	struct tiny t = tiny_file();
	struct mobi_code c = code_of(&t, sizeof(t));
	char text[MOBI_CODE_TEXT];

	(void)state;
	mobi_code_text(&c, text);
	assert_string_equal(text, "000102030405060708090a0b0c0d0e0f");
	/* A short one is filled up. */
	t.h.n_descsz = 8;
	c = code_of(&t, sizeof(t));
	mobi_code_text(&c, text);
	assert_string_equal(text, "00010203040506070000000000000000");
}

/* Notes that go beyond their file are none: all bytes count then. */
static void test_os_code_damaged_notes_are_none(void **state)
{
	static const size_t at[] = { offsetof(struct tiny, other.n_namesz),
				     offsetof(struct tiny, other.n_descsz),
				     offsetof(struct tiny, h.n_descsz) };
	static const uint32_t bad[] = { 0xffffffff, 0xfffffffc, 0x7fffffff,
					200 };

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
			struct tiny t = tiny_file();
			struct mobi_code a;
			struct mobi_code b;

			memcpy((char *)&t + at[i], &bad[k], sizeof(bad[k]));
			a = code_of(&t, sizeof(t));
			t.e.e_flags ^= 1;
			b = code_of(&t, sizeof(t));
			assert_false(mobi_code_same(&a, &b));
		}
	}
}

static void test_os_code_of_the_running_program(void **state)
{
	struct mobi_code a;
	struct mobi_code b;
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	assert_int_equal(mobi_code_of_program(&a), 0);
	assert_int_equal(mobi_code_of_file(self, &b), 0);
	assert_true(mobi_code_same(&a, &b));
	assert_int_equal(mobi_code_of_file("/no/such/file", &a),
			 MOB_E_NOT_FOUND);
}

static int begin(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/mob-code-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_os_code_hash_known_values),
		cmocka_unit_test(test_os_code_is_the_build_id),
		cmocka_unit_test(test_os_code_damaged_notes_are_none),
		cmocka_unit_test(test_os_code_of_the_running_program),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
