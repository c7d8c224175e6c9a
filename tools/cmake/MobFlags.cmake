# SPDX-License-Identifier: Apache-2.0
# Options, output folders, and mob_flags: the private interface target with
# warnings and instrumentation. It is never exported.

option(MOB_TESTS "Build the tests (needs libcmocka-dev)" OFF)
option(MOB_FAILPOINTS "Compile failpoints in, for tests that kill" OFF)
option(MOB_TEST_LONG "Run tests at their long counts: hours" OFF)
option(MOB_LAYER_LIBS "Build a shared library for each layer too" ON)
option(MOB_WERROR "Warnings are errors" OFF)
option(MOB_COVERAGE "Instrument for coverage (gcc)" OFF)
set(MOB_SANITIZE "" CACHE STRING
	"Sanitizers, as for -fsanitize: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
	set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
# POSIX calls (strdup, pthreads, openat); GNU ones only in core/os_*.c.
add_compile_definitions(_POSIX_C_SOURCE=200809L)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(MOB_PLUGIN_OUTPUT_DIR "${PROJECT_BINARY_DIR}/lib/mobula/plugins")
set(MOB_PLUGIN_INSTALL_DIR "${CMAKE_INSTALL_LIBDIR}/mobula/plugins")

add_library(mob_flags INTERFACE)
target_compile_options(mob_flags INTERFACE
	-Wall -Wextra -Wpedantic -Wshadow
	$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
	$<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes> -Wcast-qual -Wconversion -Wundef -Wvla
	-Wformat=2 -Wpointer-arith -Wwrite-strings
	-fno-semantic-interposition
	$<$<BOOL:${MOB_WERROR}>:-Werror>
	$<$<BOOL:${MOB_COVERAGE}>:--coverage>)
target_link_options(mob_flags INTERFACE
	$<$<BOOL:${MOB_COVERAGE}>:--coverage>)
target_compile_definitions(mob_flags INTERFACE
	$<$<BOOL:${MOB_FAILPOINTS}>:MOB_FAILPOINTS>)

if(MOB_SANITIZE)
	set(sanitize "-fsanitize=${MOB_SANITIZE}" -fno-omit-frame-pointer)
	if(MOB_SANITIZE MATCHES "undefined")
		list(APPEND sanitize -fno-sanitize-recover=all)
	endif()
	target_compile_options(mob_flags INTERFACE ${sanitize})
	target_link_options(mob_flags INTERFACE ${sanitize})
endif()
