# Writes a C++ source that holds files as they are:
#   cmake -DFOLDER=... "-DFILES=index.html;page.css" -DSOURCE=... -P embed_status_page.cmake
set(TYPE_html "text/html; charset=utf-8")
set(TYPE_css "text/css; charset=utf-8")
set(TYPE_js "text/javascript; charset=utf-8")
set(TYPE_svg "image/svg+xml")


set(contents "")
set(rows "")
set(count 0)
foreach(file IN LISTS FILES)
  string(REGEX MATCH "[a-z]+$" ending ${file})
  file(READ ${FOLDER}/${file} bytes HEX)
  file(SHA256 ${FOLDER}/${file} digest)
  string(SUBSTRING ${digest} 0 16 tag)
  # Sixteen bytes a line, so that an editor can open it.
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  string(REPLACE "index.html" "" path "/${file}")
  string(APPEND contents "constexpr char kFile${count}[] = {${bytes}};\n\n")
  string(APPEND rows
    "    {\"${path}\", \"${TYPE_${ending}}\", \"\\\"${tag}\\\"\", {kFile${count}, sizeof kFile${count}}},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${SOURCE} "#include \"server/status_page_files.h\"

namespace forerun {
namespace {

${contents}constexpr StatusPageFile kFiles[] = {
${rows}};

}  // namespace

std::span<const StatusPageFile> status_page_files() { return kFiles; }

}  // namespace forerun
")
