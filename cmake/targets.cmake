# One target per folder:
#   cc_library(NAME cache HDRS ... SRCS ... DEPS base tensor)   -> forerun::cache
#   cc_test(NAME cache SRCS a_test.cc b_test.cc DEPS cache)     -> build target cache_test
#   cc_bench(NAME kernels SRCS x_bench.cc DEPS kernels)         -> build target kernels_bench
# DEPS names sibling folders; LIBS names third-party targets.

function(_forerun_link target visibility)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${target} ${visibility} forerun::${dep})
  endforeach()
  if(ARG_LIBS)
    target_link_libraries(${target} ${visibility} ${ARG_LIBS})
  endif()
endfunction()

# Sanitizers' builds are for CI, where most of the time goes into reading the same headers again: each
# of their targets reads them once. The release build does without, so that every source keeps naming
# what it needs.
function(forerun_precompile target)
  if(FORERUN_SANITIZE AND NOT FORERUN_FUZZ)
    target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h ${ARGN})
  endif()
endfunction()

# For the same reason, several sources at a time. Two of a folder may then not define the same name in
# their unnamed namespaces.
function(forerun_unite target)
  if(FORERUN_SANITIZE)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()

function(cc_library)
  cmake_parse_arguments(ARG "" "NAME" "HDRS;SRCS;DEPS;LIBS" ${ARGN})
  if(ARG_SRCS)
    add_library(forerun_${ARG_NAME} STATIC ${ARG_SRCS} ${ARG_HDRS})
    target_link_libraries(forerun_${ARG_NAME} PUBLIC forerun_options)
    _forerun_link(forerun_${ARG_NAME} PUBLIC DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
    forerun_precompile(forerun_${ARG_NAME})
    forerun_unite(forerun_${ARG_NAME})
  else()
    add_library(forerun_${ARG_NAME} INTERFACE)
    target_link_libraries(forerun_${ARG_NAME} INTERFACE forerun_options)
    _forerun_link(forerun_${ARG_NAME} INTERFACE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
  endif()
  add_library(forerun::${ARG_NAME} ALIAS forerun_${ARG_NAME})
endfunction()

# Seconds a test may take; sanitizers slow it down.
function(_forerun_set_timeout test seconds)
  if(NOT seconds)
    set(seconds 120)
  endif()
  if(FORERUN_SANITIZE STREQUAL "thread")
    math(EXPR seconds "5 * ${seconds}")
  elseif(FORERUN_SANITIZE)
    math(EXPR seconds "2 * ${seconds}")
  endif()
  set_tests_properties(${test} PROPERTIES TIMEOUT ${seconds})
endfunction()

function(cc_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "SRCS;DEPS;LIBS" ${ARGN})
  if(FORERUN_FUZZ AND NOT FORERUN_COVERAGE)
    return()
  endif()
  add_executable(${ARG_NAME}_test ${ARG_SRCS})
  _forerun_link(${ARG_NAME}_test PRIVATE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS} GTest::gtest_main)
  target_compile_definitions(${ARG_NAME}_test PRIVATE FORERUN_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  forerun_precompile(${ARG_NAME}_test <gtest/gtest.h>)
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME}_test)
  _forerun_set_timeout(${ARG_NAME} "${ARG_TIMEOUT}")
endfunction()

function(cc_bench)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  if(FORERUN_FUZZ OR FORERUN_SANITIZE)
    return()
  endif()
  add_executable(${ARG_NAME}_bench ${ARG_SRCS})
  _forerun_link(${ARG_NAME}_bench PRIVATE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS} benchmark::benchmark)
endfunction()

# cc_fuzz(NAME gguf SRCS gguf_fuzz.cc DEPS formats) -> gguf_fuzz, a libFuzzer program (clang only)
function(cc_fuzz)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  if(NOT FORERUN_FUZZ)
    return()
  endif()
  add_executable(${ARG_NAME}_fuzz ${ARG_SRCS})
  _forerun_link(${ARG_NAME}_fuzz PRIVATE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
  target_link_options(${ARG_NAME}_fuzz PRIVATE -fsanitize=fuzzer)
  if(NOT TARGET fuzz_targets)
    add_custom_target(fuzz_targets)
  endif()
  add_dependencies(fuzz_targets ${ARG_NAME}_fuzz)
endfunction()
