# SPDX-License-Identifier: Apache-2.0
# Targets for what tools/check does: `cmake --build --preset dev --target lint`.

function(mob_check_target name)
	add_custom_target(${name}
		COMMAND ${ARGN}
		WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
		USES_TERMINAL VERBATIM)
endfunction()

set(check "${PROJECT_SOURCE_DIR}/tools/check")
mob_check_target(format "${check}/format" --fix)
mob_check_target(check-format "${check}/format")
mob_check_target(lint "${check}/lint")
mob_check_target(check-layers "${check}/layers")
mob_check_target(check-docs "${check}/docs")
mob_check_target(check-headers "${check}/headers" "${PROJECT_BINARY_DIR}")
mob_check_target(check-symbols "${check}/symbols" "${PROJECT_BINARY_DIR}")
add_dependencies(check-symbols mobula)
