# Writes the header `HEADER` with the commit of the tree `SOURCE`, at every build, touching it only
# when that has changed:
#   cmake -DSOURCE=... -DHEADER=... -P commit.cmake
execute_process(
  COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "unknown")
else()
  execute_process(
    COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no
    OUTPUT_VARIABLE changes ERROR_QUIET)
  if(NOT changes STREQUAL "")
    string(APPEND commit "+changes")
  endif()
endif()
set(text "#pragma once\n\nnamespace forerun {\n\nconstexpr char kCommit[] = \"${commit}\";\n\n}  // namespace forerun\n")
set(before "")
if(EXISTS ${HEADER})
  file(READ ${HEADER} before)
endif()
if(NOT text STREQUAL before)
  file(WRITE ${HEADER} "${text}")
endif()
