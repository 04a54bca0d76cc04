# The Rust crate text/ as the imported library forerun_text_crate.
#
# Its build folder is shared by all presets: sanitizers do not reach into it, so one build serves
# them all. Cargo locks it against a second build at the same time. Only the fuzz targets have one of
# their own, which tells libFuzzer what it covers (options of stable rustc).
if(FORERUN_FUZZ)
  set(FORERUN_RUST_BUILD ${CMAKE_SOURCE_DIR}/build/rust-fuzz CACHE PATH "Where cargo builds text/")
  set(FORERUN_RUST_FLAGS -Cpasses=sancov-module)
  foreach(option level=3 inline-8bit-counters pc-table)
    list(APPEND FORERUN_RUST_FLAGS -Cllvm-args=-sanitizer-coverage-${option})
  endforeach()
  list(JOIN FORERUN_RUST_FLAGS " " FORERUN_RUST_FLAGS)
else()
  set(FORERUN_RUST_BUILD ${CMAKE_SOURCE_DIR}/build/rust CACHE PATH "Where cargo builds text/")
  set(FORERUN_RUST_FLAGS "")
endif()

function(_forerun_find_cargo variable)
  execute_process(
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/find_cargo
    OUTPUT_VARIABLE cargo OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_VARIABLE told
    RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR
      "The text edge needs a newer cargo than this machine has. ${told}"
      "On Debian 12: apt-get install rustc-web cargo-web (from the security archive). "
      "Without it: -DFORERUN_TEXT=OFF builds an engine that takes token ids.")
  endif()
  message(STATUS "Rust for text/: ${cargo}")
  set(${variable} ${cargo} PARENT_SCOPE)
endfunction()

function(forerun_add_text_crate)
  _forerun_find_cargo(cargo)
  get_filename_component(cargo_folder ${cargo} DIRECTORY)
  set(crate ${CMAKE_SOURCE_DIR}/text)
  set(environment "PATH=${cargo_folder}:$ENV{PATH}" "CARGO_TARGET_DIR=${FORERUN_RUST_BUILD}")
  set(target "")
  set(archive ${FORERUN_RUST_BUILD}/release/libforerun_text.a)
  if(FORERUN_RUST_FLAGS)
    # With a target named, the flags stay away from build scripts and macros, which run here.
    execute_process(COMMAND ${cargo_folder}/rustc -vV OUTPUT_VARIABLE version)
    string(REGEX MATCH "host: ([^\n]+)" host "${version}")
    set(target --target ${CMAKE_MATCH_1})
    list(APPEND environment "RUSTFLAGS=${FORERUN_RUST_FLAGS}")
    set(archive ${FORERUN_RUST_BUILD}/${CMAKE_MATCH_1}/release/libforerun_text.a)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${crate}/src/*.rs)
  add_custom_command(
    OUTPUT ${archive}
    # Cargo leaves an archive that is already right untouched; ninja goes by its time.
    COMMAND ${CMAKE_COMMAND} -E env ${environment}
            ${cargo} build --release --locked --quiet ${target} --manifest-path ${crate}/Cargo.toml
    COMMAND ${CMAKE_COMMAND} -E touch ${archive}
    DEPENDS ${sources} ${crate}/Cargo.toml ${crate}/Cargo.lock
    COMMENT "Building the Rust crate text/"
    VERBATIM)
  add_custom_target(forerun_text_crate_build DEPENDS ${archive})
  add_library(forerun_text_crate STATIC IMPORTED GLOBAL)
  set_target_properties(forerun_text_crate PROPERTIES
    IMPORTED_LOCATION ${archive}
    INTERFACE_INCLUDE_DIRECTORIES ${crate}
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
  add_dependencies(forerun_text_crate forerun_text_crate_build)
  # The crate's own tests, once: no other preset changes it. They share the build's dependencies.
  if(NOT FORERUN_SANITIZE AND NOT FORERUN_FUZZ)
    add_test(NAME text_crate
      COMMAND ${CMAKE_COMMAND} -E env ${environment}
              ${cargo} test --release --locked --manifest-path ${crate}/Cargo.toml)
    set_tests_properties(text_crate PROPERTIES TIMEOUT 300)
  endif()
endfunction()
