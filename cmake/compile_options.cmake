# Flags for our own code. Third-party headers come in as SYSTEM and are not held to them.
add_library(forerun_options INTERFACE)
target_compile_options(forerun_options INTERFACE
  -Wall -Wextra -Werror
  # GCC fuses a*b+c by itself under -mfma, and two instances of one template may then round
  # differently; every fused operation in this tree is written as one (row invariance).
  -ffp-contract=off
  -fno-math-errno)
target_include_directories(forerun_options INTERFACE ${CMAKE_SOURCE_DIR}/src)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 sees overlapping copies in `"literal" + std::string` (GCC bug 105651).
  target_compile_options(forerun_options INTERFACE -Wno-restrict)
endif()

if(FORERUN_SANITIZE)
  # What a sanitizer adds leads GCC's checks of copies and bounds to faults that are not there.
  target_compile_options(forerun_options INTERFACE -Wno-error)
endif()
if(FORERUN_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(FORERUN_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  # ThreadSanitizer knows no fences, and GCC says so; Asio's queues order what they pass on by locks.
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
elseif(FORERUN_SANITIZE)
  message(FATAL_ERROR "FORERUN_SANITIZE is '${FORERUN_SANITIZE}'; it takes 'address', 'thread' or nothing.")
endif()
if(FORERUN_COVERAGE)
  add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
  add_link_options(-fprofile-instr-generate)
elseif(FORERUN_FUZZ)
  # Coverage instrumentation for every library; the fuzz targets themselves add the driver.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
