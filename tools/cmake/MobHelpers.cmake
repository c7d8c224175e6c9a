# SPDX-License-Identifier: Apache-2.0
# The functions that a folder's CMakeLists.txt is made of.
#
#   mob_sources(<file>...)                 files of the layer of this folder
#   mob_add_layer(<name> [DEPENDS ...] [BUILD_LIBS ...] [INSTALL_LIBS ...])
#   mob_add_plugin(<kind>_<name> <file>... [FOLDER <folder>])
#   mob_add_tool(<name> <file>... [INSTALL])
#   mob_add_test(<name> <file>... LABELS <label>... [TIMEOUT s] [LIBS ...])
#   mob_add_unit_tests(<layer> <noun>...)

set(MOB_LAYER_MAP "${PROJECT_BINARY_DIR}/layer.map")
configure_file("${PROJECT_SOURCE_DIR}/tools/cmake/layer.map.in"
	"${MOB_LAYER_MAP}" @ONLY)

# Public headers, as programs and plugins see them.
add_library(mob_headers INTERFACE)
add_library(mobula::headers ALIAS mob_headers)
set_target_properties(mob_headers PROPERTIES EXPORT_NAME headers)
foreach(layer core store sched)
	target_include_directories(mob_headers INTERFACE
		"$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/${layer}/include>")
endforeach()
target_include_directories(mob_headers INTERFACE
	"$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>"
	"$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")

# mob_sources(<file>...): adds files to the layer that mob_add_layer() makes in
# the same folder. A file that is not there stops the configuration.
macro(mob_sources)
	foreach(file IN ITEMS ${ARGN})
		cmake_path(ABSOLUTE_PATH file NORMALIZE)
		if(NOT EXISTS "${file}")
			message(FATAL_ERROR
				"${CMAKE_CURRENT_LIST_FILE} lists ${file}, "
				"which does not exist.")
		endif()
		list(APPEND MOB_SOURCES "${file}")
	endforeach()
endmacro()

# Every symbol must be found at link time. Not with sanitizers: clang leaves
# those of its run-time to the program.
if(MOB_SANITIZE)
	set(MOB_LINK_DEFS "")
else()
	set(MOB_LINK_DEFS LINKER:-z,defs)
endif()

# A library that ships: soname, version script, name of export.
function(mob_shared_library target output map)
	set_target_properties(${target} PROPERTIES
		OUTPUT_NAME "${output}"
		VERSION "${PROJECT_VERSION}"
		SOVERSION "${MOB_ABI}"
		LINK_DEPENDS "${map}"
		INSTALL_RPATH "$ORIGIN")
	target_link_options(${target} PRIVATE
		"LINKER:--version-script=${map}"
		LINKER:-Bsymbolic-functions ${MOB_LINK_DEFS})
endfunction()

# mob_add_layer(<name> [DEPENDS <layer>...] [BUILD_LIBS <lib>...]
#               [INSTALL_LIBS <lib>...])
#
# Makes from the sources of mob_sources():
#   mobula_<name>_objects  what the umbrella and the static library are made of
#   mobula_<name>_static   libmobula-<name>.a       (mobula::<name>_static)
#   mobula_<name>          libmobula-<name>.so      (mobula::<name>)
# The shared library of a layer is compiled apart, because what one layer uses
# of another has to be visible in it. BUILD_LIBS are linked here; INSTALL_LIBS
# is what the static library asks of programs that use the installed package.
function(mob_add_layer name)
	cmake_parse_arguments(arg "" "" "DEPENDS;BUILD_LIBS;INSTALL_LIBS"
		${ARGN})
	set(objects mobula_${name}_objects)

	add_library(${objects} OBJECT ${MOB_SOURCES})
	mob_layer_compile(${objects} ${name} "${arg_DEPENDS}")
	target_link_libraries(${objects} PRIVATE ${arg_BUILD_LIBS})

	add_library(mobula_${name}_static STATIC $<TARGET_OBJECTS:${objects}>)
	add_library(mobula::${name}_static ALIAS mobula_${name}_static)
	set_target_properties(mobula_${name}_static PROPERTIES
		OUTPUT_NAME mobula-${name} EXPORT_NAME ${name}_static
		LINKER_LANGUAGE C)
	target_link_libraries(mobula_${name}_static
		PUBLIC mob_headers Threads::Threads ${CMAKE_DL_LIBS})
	foreach(lib IN LISTS arg_BUILD_LIBS)
		target_link_libraries(mobula_${name}_static
			PRIVATE "$<BUILD_INTERFACE:${lib}>")
	endforeach()
	foreach(lib IN LISTS arg_INSTALL_LIBS)
		target_link_libraries(mobula_${name}_static
			INTERFACE "$<INSTALL_INTERFACE:${lib}>")
	endforeach()
	foreach(layer IN LISTS arg_DEPENDS)
		target_link_libraries(mobula_${name}_static
			PUBLIC mobula_${layer}_static)
	endforeach()

	if(MOB_LAYER_LIBS)
		add_library(mobula_${name} SHARED ${MOB_SOURCES})
		add_library(mobula::${name} ALIAS mobula_${name})
		mob_layer_compile(mobula_${name} ${name} "${arg_DEPENDS}")
		set_target_properties(mobula_${name} PROPERTIES
			C_VISIBILITY_PRESET default EXPORT_NAME ${name})
		mob_shared_library(mobula_${name} mobula-${name}
			"${MOB_LAYER_MAP}")
		target_link_libraries(mobula_${name} PUBLIC mob_headers
			PRIVATE ${arg_BUILD_LIBS} Threads::Threads
				${CMAKE_DL_LIBS})
		foreach(layer IN LISTS arg_DEPENDS)
			target_link_libraries(mobula_${name}
				PUBLIC mobula_${layer})
		endforeach()
	endif()

	set_property(GLOBAL APPEND PROPERTY MOB_LAYERS ${name})
	set_property(GLOBAL APPEND PROPERTY MOB_BUILD_LIBS ${arg_BUILD_LIBS})
	set_property(GLOBAL APPEND PROPERTY MOB_INSTALL_LIBS
		${arg_INSTALL_LIBS})
endfunction()

# What a file of a layer sees: its own folder and those of the layers below,
# so that an include against the order of the layers does not compile.
function(mob_layer_compile target name depends)
	target_link_libraries(${target} PRIVATE
		"$<BUILD_INTERFACE:mob_flags>" Threads::Threads)
	# What the library makes is made by its callers.
	target_compile_definitions(${target} PRIVATE MOB_NO_SITES)
	target_include_directories(${target} PRIVATE
		"${PROJECT_BINARY_DIR}/include")
	foreach(layer ${name} ${depends})
		target_include_directories(${target} PRIVATE
			"${PROJECT_SOURCE_DIR}/${layer}"
			"${PROJECT_SOURCE_DIR}/${layer}/include")
	endforeach()
endfunction()

# mob_add_umbrella(): libmobula.so and libmobula.a, all layers in one, and
# mobula_testing, what tools and tests link: the same objects, with the private
# headers in sight.
function(mob_add_umbrella)
	get_property(layers GLOBAL PROPERTY MOB_LAYERS)
	get_property(build_libs GLOBAL PROPERTY MOB_BUILD_LIBS)
	get_property(install_libs GLOBAL PROPERTY MOB_INSTALL_LIBS)
	set(objects "")
	foreach(layer IN LISTS layers)
		list(APPEND objects $<TARGET_OBJECTS:mobula_${layer}_objects>)
	endforeach()

	add_library(mobula SHARED ${objects})
	add_library(mobula::mobula ALIAS mobula)
	mob_shared_library(mobula mobula
		"${PROJECT_SOURCE_DIR}/tools/cmake/mobula.map")
	set_target_properties(mobula PROPERTIES LINKER_LANGUAGE C)
	target_link_libraries(mobula PUBLIC mob_headers
		PRIVATE "$<BUILD_INTERFACE:mob_flags>" ${build_libs}
			Threads::Threads ${CMAKE_DL_LIBS})

	add_library(mobula_static STATIC ${objects})
	add_library(mobula::mobula_static ALIAS mobula_static)
	set_target_properties(mobula_static PROPERTIES
		OUTPUT_NAME mobula LINKER_LANGUAGE C)
	target_link_libraries(mobula_static
		PUBLIC mob_headers Threads::Threads ${CMAKE_DL_LIBS})
	foreach(lib IN LISTS build_libs)
		target_link_libraries(mobula_static
			PRIVATE "$<BUILD_INTERFACE:${lib}>")
	endforeach()
	foreach(lib IN LISTS install_libs)
		target_link_libraries(mobula_static
			INTERFACE "$<INSTALL_INTERFACE:${lib}>")
	endforeach()

	add_library(mobula_testing STATIC ${objects})
	set_target_properties(mobula_testing PROPERTIES LINKER_LANGUAGE C)
	target_link_libraries(mobula_testing
		PUBLIC mob_flags mob_headers ${build_libs} Threads::Threads
			${CMAKE_DL_LIBS})
	foreach(layer IN LISTS layers)
		target_include_directories(mobula_testing
			PUBLIC "${PROJECT_SOURCE_DIR}/${layer}")
	endforeach()
endfunction()

# mob_add_plugin(<kind>_<name> <file>... [FOLDER <folder>]): a module that is
# loaded by name. It sees public headers only and exports one function. With
# FOLDER it goes to that folder of the build instead, and is not installed.
function(mob_add_plugin id)
	cmake_parse_arguments(arg "" "FOLDER" "" ${ARGN})
	set(target mob_plugin_${id})
	set(map "${PROJECT_SOURCE_DIR}/tools/cmake/plugin.map")
	add_library(${target} MODULE ${arg_UNPARSED_ARGUMENTS})
	set_target_properties(${target} PROPERTIES
		PREFIX "" OUTPUT_NAME ${id}
		LIBRARY_OUTPUT_DIRECTORY "${MOB_PLUGIN_OUTPUT_DIR}"
		LINK_DEPENDS "${map}")
	target_link_libraries(${target} PRIVATE mob_flags mob_headers)
	target_link_options(${target} PRIVATE
		"LINKER:--version-script=${map}" ${MOB_LINK_DEFS})
	set_property(GLOBAL APPEND PROPERTY MOB_PLUGINS ${target})
	if(arg_FOLDER)
		set_target_properties(${target} PROPERTIES
			LIBRARY_OUTPUT_DIRECTORY
			"${PROJECT_BINARY_DIR}/${arg_FOLDER}")
	else()
		install(TARGETS ${target}
			LIBRARY DESTINATION "${MOB_PLUGIN_INSTALL_DIR}"
			COMPONENT runtime)
	endif()
endfunction()

# mob_add_tool(<name> <file>... [INSTALL]): a program of ours. The library is
# linked into it whole, and its public functions are visible to modules that
# the program loads.
function(mob_add_tool name)
	cmake_parse_arguments(arg "INSTALL" "" "" ${ARGN})
	add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
	target_link_libraries(${name} PRIVATE
		"$<LINK_LIBRARY:WHOLE_ARCHIVE,mobula_testing>")
	set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)
	if(arg_INSTALL)
		install(TARGETS ${name}
			RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
			COMPONENT tools)
	endif()
endfunction()

set(MOB_LABELS unit conform multi crash long cli patterns models)
# A test at its long count: three days.
set(MOB_LONG_TIMEOUT 259200)

# mob_add_test(<name> [<file>...] LABELS <label>... [TIMEOUT s] [LIBS ...]
#              [COMMAND ...] [ENVIRONMENT NAME=VALUE...] [SERIAL]
#              [UNFIT <sanitizer>...])
# An executable test_<name> of the files, with cmocka, run as ctest <name>; with
# COMMAND that is run instead. The time-out is 120 s; label unit: 60 s. Exit 77
# is skip. With MOB_TEST_LONG tests run at their long counts, for up to three days;
# label long has those that have one and are not crash. A test that measures or loads both processors is SERIAL. UNFIT names
# the sanitizers (address, thread) under which the test cannot run at all.
function(mob_add_test name)
	cmake_parse_arguments(arg "SERIAL" "TIMEOUT"
		"LABELS;LIBS;COMMAND;ENVIRONMENT;UNFIT" ${ARGN})
	foreach(sanitizer IN LISTS arg_UNFIT)
		if(MOB_SANITIZE MATCHES "${sanitizer}")
			return()
		endif()
	endforeach()
	if(NOT arg_LABELS)
		message(FATAL_ERROR "test ${name}: no LABELS")
	endif()
	foreach(label IN LISTS arg_LABELS)
		if(NOT label IN_LIST MOB_LABELS)
			message(FATAL_ERROR "test ${name}: label ${label} is "
				"none of ${MOB_LABELS}")
		endif()
	endforeach()
	if(NOT arg_TIMEOUT)
		set(arg_TIMEOUT 120)
		if("unit" IN_LIST arg_LABELS)
			set(arg_TIMEOUT 60)
		endif()
	endif()
	if(MOB_SANITIZE)
		math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
	endif()
	if(MOB_TEST_LONG)
		set(arg_TIMEOUT ${MOB_LONG_TIMEOUT})
		list(APPEND arg_ENVIRONMENT MOB_TEST_LONG=1)
	endif()

	string(REPLACE "." "_" target "test_${name}")
	if(arg_UNPARSED_ARGUMENTS)
		add_executable(${target} ${arg_UNPARSED_ARGUMENTS}
			"${PROJECT_SOURCE_DIR}/tests/support/filter.c")
		target_link_libraries(${target} PRIVATE
			mobula_testing PkgConfig::MOB_CMOCKA ${arg_LIBS})
		target_include_directories(${target} PRIVATE
			"${PROJECT_SOURCE_DIR}/tests/support")
		set_target_properties(${target} PROPERTIES
			ENABLE_EXPORTS ON)
	endif()
	if(NOT arg_COMMAND)
		set(arg_COMMAND ${target})
	endif()
	add_test(NAME ${name} COMMAND ${arg_COMMAND})
	# COST: those that may take long begin first, so that none runs alone at the
	# end.
	set_tests_properties(${name} PROPERTIES
		LABELS "${arg_LABELS}"
		COST ${arg_TIMEOUT}
		TIMEOUT ${arg_TIMEOUT}
		SKIP_RETURN_CODE 77
		ENVIRONMENT "${MOB_TEST_ENVIRONMENT};${arg_ENVIRONMENT}")
	if(arg_SERIAL)
		set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
	endif()
endfunction()

# mob_add_unit_tests(<layer> <noun>...): a test for each test_<noun>.c of this
# folder, run as <layer>.<noun>.
function(mob_add_unit_tests layer)
	foreach(noun IN LISTS ARGN)
		mob_add_test(${layer}.${noun} test_${noun}.c LABELS unit)
	endforeach()
endfunction()
