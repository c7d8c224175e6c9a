# SPDX-License-Identifier: Apache-2.0
# What Mobula needs from the system. Nothing is downloaded; what is missing is
# named with its Debian package.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig)
if(NOT PKG_CONFIG_FOUND)
	message(FATAL_ERROR "pkg-config is missing.\n"
		"Install the Debian package pkg-config, or run "
		"tools/install-deps build.")
endif()

# mob_find_pkg(<prefix> <module> <Debian package> <set of install-deps>)
function(mob_find_pkg prefix module package set)
	pkg_check_modules(${prefix} QUIET IMPORTED_TARGET "${module}")
	if(NOT ${prefix}_FOUND)
		message(FATAL_ERROR "${module} is missing.\n"
			"Install the Debian package ${package}, or run "
			"tools/install-deps ${set}.")
	endif()
endfunction()

mob_find_pkg(MOB_LMDB lmdb liblmdb-dev build)
mob_find_pkg(MOB_LZ4 liblz4 liblz4-dev build)

# The C symbols of Boost.Context (make_fcontext, jump_fcontext) come from the
# static archive: its shared library would bring the C++ run-time along.
find_library(MOB_BOOST_CONTEXT NAMES libboost_context.a)
if(NOT MOB_BOOST_CONTEXT)
	message(FATAL_ERROR "libboost_context.a is missing.\n"
		"Install the Debian package libboost-context-dev, or run "
		"tools/install-deps build.")
endif()

if(MOB_TESTS)
	mob_find_pkg(MOB_CMOCKA cmocka libcmocka-dev test)
endif()

# Man pages are built where scdoc is.
find_program(MOB_SCDOC scdoc)
