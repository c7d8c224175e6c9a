# SPDX-License-Identifier: Apache-2.0
# mob_man_pages(<page>.scd...): builds and installs man pages. The file
# mob-task.1.scd becomes share/man/man1/mob-task.1. mob fills in the lists of
# options from the tables that parse the command line.
function(mob_man_pages)
	if(NOT MOB_SCDOC)
		message(STATUS "scdoc is missing: no man pages "
			"(Debian package scdoc)")
		return()
	endif()
	set(pages "")
	foreach(source IN LISTS ARGN)
		cmake_path(ABSOLUTE_PATH source)
		cmake_path(GET source STEM LAST_ONLY page)
		string(REGEX MATCH "[1-8]$" section "${page}")
		if(NOT section)
			message(FATAL_ERROR "${source}: the name of a man "
				"page is <name>.<section>.scd")
		endif()
		set(out "${PROJECT_BINARY_DIR}/man/man${section}/${page}")
		add_custom_command(OUTPUT "${out}"
			COMMAND "${CMAKE_COMMAND}" -E make_directory
				"${PROJECT_BINARY_DIR}/man/man${section}"
			COMMAND sh -c "\"$1\" man-options <\"$3\" >\"$4.scd\" && exec \"$2\" <\"$4.scd\" >\"$4\"" sh
				"$<TARGET_FILE:mob>" "${MOB_SCDOC}"
				"${source}" "${out}"
			DEPENDS "${source}" mob
			COMMENT "Building man page ${page}" VERBATIM)
		install(FILES "${out}"
			DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}"
			COMPONENT tools)
		list(APPEND pages "${out}")
	endforeach()
	add_custom_target(man ALL DEPENDS ${pages})
endfunction()
