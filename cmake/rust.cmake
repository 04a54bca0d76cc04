# The Rust crate text/ as the imported library forerun_text_crate.
#
# Its build folder is shared by all presets: sanitizers do not reach into it, so one build serves
# them all. Cargo locks it against a second build at the same time.
set(FORERUN_RUST_MINIMUM 1.87)
set(FORERUN_RUST_BUILD ${CMAKE_SOURCE_DIR}/build/rust CACHE PATH "Where cargo builds text/")

# Sets `variable` to a cargo whose rustc is new enough. Debian's cargo-web installs itself as
# /usr/bin/cargo, possibly behind an older one in PATH.
function(_forerun_find_cargo variable)
  set(told "")
  foreach(folder IN ITEMS $ENV{CARGO_HOME}/bin $ENV{HOME}/.cargo/bin "" /usr/bin)
    if(folder STREQUAL "")
      find_program(candidate cargo NO_CACHE)
    else()
      find_program(candidate cargo PATHS ${folder} NO_DEFAULT_PATH NO_CACHE)
    endif()
    if(candidate)
      execute_process(COMMAND ${candidate} --version OUTPUT_VARIABLE version ERROR_QUIET)
      string(REGEX MATCH "[0-9]+\\.[0-9]+(\\.[0-9]+)?" version "${version}")
      if(version VERSION_GREATER_EQUAL FORERUN_RUST_MINIMUM)
        set(${variable} ${candidate} PARENT_SCOPE)
        message(STATUS "Rust for text/: ${candidate} ${version}")
        return()
      endif()
      string(APPEND told " Found ${candidate}, version '${version}'.")
    endif()
    unset(candidate)
  endforeach()
  message(FATAL_ERROR
    "The text edge needs cargo ${FORERUN_RUST_MINIMUM} or newer.${told} On Debian 12: "
    "apt-get install rustc-web cargo-web (from the security archive). "
    "Without it: -DFORERUN_TEXT=OFF builds an engine that takes token ids.")
endfunction()

function(forerun_add_text_crate)
  _forerun_find_cargo(cargo)
  get_filename_component(cargo_folder ${cargo} DIRECTORY)
  set(crate ${CMAKE_SOURCE_DIR}/text)
  set(archive ${FORERUN_RUST_BUILD}/release/libforerun_text.a)
  file(GLOB sources CONFIGURE_DEPENDS ${crate}/src/*.rs)
  add_custom_command(
    OUTPUT ${archive}
    # Cargo leaves an archive that is already right untouched; ninja goes by its time.
    COMMAND ${CMAKE_COMMAND} -E env
            "PATH=${cargo_folder}:$ENV{PATH}" "CARGO_TARGET_DIR=${FORERUN_RUST_BUILD}"
            ${cargo} build --release --locked --quiet --manifest-path ${crate}/Cargo.toml
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
endfunction()
