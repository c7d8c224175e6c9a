# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where. Components: runtime, dev, tools.
include(CMakePackageConfigHelpers)

foreach(layer core store sched)
	install(DIRECTORY "${PROJECT_SOURCE_DIR}/${layer}/include/mobula"
		DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
		COMPONENT dev FILES_MATCHING PATTERN "*.h")
endforeach()
install(FILES "${PROJECT_BINARY_DIR}/include/mobula/version.h"
	DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/mobula" COMPONENT dev)

get_property(layers GLOBAL PROPERTY MOB_LAYERS)
set(libs mob_headers mobula mobula_static)
foreach(layer IN LISTS layers)
	list(APPEND libs mobula_${layer}_static)
	if(MOB_LAYER_LIBS)
		list(APPEND libs mobula_${layer})
	endif()
endforeach()
install(TARGETS ${libs} EXPORT mobulaTargets
	LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
		COMPONENT runtime NAMELINK_COMPONENT dev
	ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT dev)

set(cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/mobula")
install(EXPORT mobulaTargets NAMESPACE mobula::
	DESTINATION "${cmake_dir}" COMPONENT dev)
configure_package_config_file(
	"${PROJECT_SOURCE_DIR}/tools/cmake/mobulaConfig.cmake.in"
	"${PROJECT_BINARY_DIR}/mobulaConfig.cmake"
	INSTALL_DESTINATION "${cmake_dir}"
	PATH_VARS MOB_PLUGIN_INSTALL_DIR)
write_basic_package_version_file(
	"${PROJECT_BINARY_DIR}/mobulaConfigVersion.cmake"
	COMPATIBILITY SameMinorVersion)
install(FILES
	"${PROJECT_BINARY_DIR}/mobulaConfig.cmake"
	"${PROJECT_BINARY_DIR}/mobulaConfigVersion.cmake"
	"${PROJECT_SOURCE_DIR}/tools/cmake/plugin.map"
	DESTINATION "${cmake_dir}" COMPONENT dev)

# mob_install_pc(<name> <library> <description> <requires> <private libraries>)
# Paths are relative to the file, so that an installed tree can be moved.
function(mob_install_pc PC_NAME PC_LIB PC_DESCRIPTION PC_REQUIRES PC_PRIVATE)
	cmake_path(SET pc_dir "/${CMAKE_INSTALL_LIBDIR}/pkgconfig")
	cmake_path(RELATIVE_PATH pc_dir BASE_DIRECTORY "/"
		OUTPUT_VARIABLE from_prefix)
	string(REGEX REPLACE "[^/]+" ".." PC_UP "${from_prefix}")
	configure_file("${PROJECT_SOURCE_DIR}/tools/cmake/mobula.pc.in"
		"${PROJECT_BINARY_DIR}/${PC_NAME}.pc" @ONLY)
	install(FILES "${PROJECT_BINARY_DIR}/${PC_NAME}.pc"
		DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT dev)
endfunction()

set(context_libs "-l:libboost_context.a")
mob_install_pc(mobula mobula "${PROJECT_DESCRIPTION}" ""
	"-llmdb -llz4 ${context_libs} -pthread -ldl")
mob_install_pc(mobula-core mobula-core
	"Errors, shared memory and the plugin loader of Mobula" ""
	"-pthread -ldl")
mob_install_pc(mobula-store mobula-store
	"The object store of Mobula" "mobula-core = ${PROJECT_VERSION}"
	"-llmdb -llz4")
mob_install_pc(mobula-sched mobula-sched
	"Tasks and scheduling of Mobula" "mobula-store = ${PROJECT_VERSION}"
	"${context_libs}")
